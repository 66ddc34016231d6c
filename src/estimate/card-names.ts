/** Reads what people call a GPU: a name such as rtx4090 or "RTX 4090", or the size of its memory as on the box. */
import { nearest } from '../config/nearest.ts';
import { show } from '../config/show.ts';
import { ConfigError } from '../errors.ts';
import { CARDS, type Card, cardOfSize } from './cards.ts';

/** `24`, `24gb`, `48 GB`, `24GiB`: all of them the size that is printed on the box. */
const SIZE = /^(\d+(?:\.\d+)?)\s*(?:g|gb|gib)?$/i;
/** A limit on sizes, so that bytes stay exact; no card is near it. */
const MOST_GB = 100_000;

/** Words that a name may begin with, or hold anywhere, without meaning more by it. */
const MAKERS = /nvidia|geforce|amd|radeon|intel|apple|graphics/g;

/** @throws ConfigError at `path` that lists the names */
export function cardNamed(text: string, path: string): Card {
  const gb = Number(SIZE.exec(text.trim())?.[1] ?? Number.NaN);
  if (gb > 0 && gb <= MOST_GB) return cardOfSize(gb);
  const wanted = plain(text);
  for (const [name, card] of CARDS) if (plain(name) === wanted || `${plain(name)}gb` === wanted) return card;
  throw new ConfigError([{ path, message: `got ${show(text)}, ${hint(text)}` }]);
}

/** A name without makers, spaces and hyphens. */
const plain = (name: string): string =>
  name
    .toLowerCase()
    .replaceAll(MAKERS, '')
    .replaceAll(/[\s_-]/g, '');

function hint(text: string): string {
  const alike = [...CARDS.keys()].filter((name) => plain(text).length > 1 && plain(name).startsWith(plain(text)));
  if (alike.length > 0) return `which may be one of ${alike.join(', ')}`;
  const wanted = 'wanted the size of its memory, such as 24 or 24gb, or a name';
  const near = nearest(text, CARDS.keys());
  if (near !== undefined) return `${wanted}. Did you mean ${near}?`;
  const discrete = [...CARDS.values()].filter(({ maker }) => maker !== 'apple').map(({ name }) => name);
  return `${wanted}: ${discrete.join(', ')}; of a Mac its chip and memory, such as m3-max-64`;
}
