/** Post-processors of tokenizer.json: the special tokens around the ids of one text. Pairs of texts are not part of training. */
import { show } from '../../config/show.ts';

import { isTokenId, type Part } from './read.ts';

export type PostProcessor = (ids: number[]) => number[];

/** @throws DataError for a kind that nibble does not follow, and for what cannot be followed */
export function postProcessorOf(part: Part | null): PostProcessor {
  if (part === null) return (ids) => ids;
  const type = part.text('type');
  switch (type) {
    case 'Sequence':
      return sequence(part.objects('processors'));
    case 'ByteLevel':
      return (ids) => ids;
    case 'TemplateProcessing':
      return template(part);
    case 'BertProcessing':
    case 'RobertaProcessing': {
      const first = namedId(part, 'cls');
      const last = namedId(part, 'sep');
      return (ids) => [first, ...ids, last];
    }
    default:
      throw part.unsupported('type', `is ${show(type)}, a post-processor`);
  }
}

/** Behind a template Rust has the special tokens and the text apart, and what follows takes them for a pair of texts. */
function sequence(parts: readonly Part[]): PostProcessor {
  const at = parts.findIndex(({ json }) => json.type === 'TemplateProcessing');
  const behind = parts.slice(at + 1).find(({ json }) => json.type !== 'ByteLevel');
  if (at >= 0 && behind !== undefined)
    throw behind.unsupported('type', `is ${show(behind.json.type)} behind a TemplateProcessing`);
  return parts.map(postProcessorOf).reduce(
    (before, after) => (ids) => after(before(ids)),
    (ids: number[]) => ids,
  );
}

function template(part: Part): PostProcessor {
  const special = part.object('special_tokens');
  const pieces = part.objects('single').map((piece) => pieceOf(piece, special));
  checkPair(part, special);
  return (ids) => pieces.flatMap((piece) => piece ?? ids);
}

/** The ids of a special token; null for the text itself. */
function pieceOf(piece: Part, special: Part): readonly number[] | null {
  const sequence = piece.objectOrNull('Sequence');
  if (sequence !== null) {
    const id = sequence.oneOf('id', ['A', 'B']);
    if (id === 'B') throw sequence.error('id', 'is "B", and there is one text, "A". Mend the template.');
    return null;
  }
  const name = piece.object('SpecialToken').text('id');
  if (!special.has(name)) throw special.error(null, `lacks ${show(name)}, which the template names.`);
  const token = special.object(name);
  const ids = token.list('ids');
  if (!ids.every(isTokenId)) throw token.error('ids', `is ${show(ids)}, needs token ids.`);
  return ids;
}

/** Unused here, and the tokenizers library does not read a template without it. */
function checkPair(part: Part, special: Part): void {
  for (const piece of part.objects('pair')) if (piece.has('SpecialToken')) pieceOf(piece, special);
}

function namedId(part: Part, key: string): number {
  const value = part.list(key);
  const [token, id] = value;
  if (value.length === 2 && typeof token === 'string' && isTokenId(id)) return id;
  throw part.error(key, `is ${show(value)}, needs a token and its id.`);
}
