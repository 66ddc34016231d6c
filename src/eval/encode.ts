/** Texts into the rows of tokens that are scored, as lm-eval's TemplateLM and HFLM make them. */
import { DataError } from '../errors.ts';
import type { TextTokenizer } from '../formats/tokenizer.ts';

/** Tokens of which the last `own` are asked for, each after all before it. At least one comes before them. */
export type ScoredRow = { readonly ids: readonly number[]; readonly own: number };

export type Encoder = {
  readonly tokenizer: TextTokenizer;
  /** Begins what has nothing before it: BOS, or the end of text where there is none. */
  readonly prefixId: number;
  /** Tokens that the model reads at most. */
  readonly maxLength: number;
};

/** The token that lm-eval puts before what has no context. @throws DataError where the tokenizer has neither BOS nor EOS */
export function encoderOf(tokenizer: TextTokenizer, maxLength: number, where: string): Encoder {
  const prefixId = tokenizer.bosId ?? tokenizer.eosId;
  if (prefixId === null)
    throw new DataError(
      where,
      'has a tokenizer with neither bos_token nor eos_token, and nothing can stand before a text.',
    );
  return { tokenizer, prefixId, maxLength };
}

/** Tokens of a text, with those that the tokenizer adds, unless it begins with the prefix token already. */
export function encodeText({ tokenizer, prefixId }: Encoder, text: string): number[] {
  return tokenizer.encode(text, { addSpecialTokens: !text.startsWith(tokenizer.decode([prefixId])) });
}

/** A continuation after its context. White space at the end of the context is scored with the continuation. */
export function encodePair(encoder: Encoder, context: string, continuation: string, where: string): ScoredRow {
  const { tokenizer, prefixId } = encoder;
  const empty = (): never => {
    throw new DataError(where, `asks for ${JSON.stringify(continuation)}, which gives no token of its own.`);
  };
  if (context === '') {
    const own = tokenizer.encode(continuation, { addSpecialTokens: false });
    if (own.length === 0) empty();
    const begins = own[0] === prefixId;
    if (begins && own.length === 1) empty();
    return begins ? { ids: own, own: own.length - 1 } : { ids: [prefixId, ...own], own: own.length };
  }
  const kept = context.trimEnd();
  const before = encodeText(encoder, kept);
  const whole = encodeText(encoder, context + continuation);
  if (whole.length <= before.length) empty();
  // a context of white space alone may give no token
  const ids = before.length === 0 ? [prefixId, ...whole] : [...before, ...whole.slice(before.length)];
  return { ids, own: whole.length - before.length };
}

/** Cuts a row from the left to what the model reads. @throws DataError where what is asked for does not fit itself */
export function cutRow({ ids, own }: ScoredRow, { maxLength }: Pick<Encoder, 'maxLength'>, where: string): ScoredRow {
  if (own > maxLength)
    throw new DataError(
      where,
      `asks for ${own} tokens, and the model reads ${maxLength}. Shorten what follows the context.`,
    );
  // the last token is asked for and not read
  return { ids: ids.slice(-(maxLength + 1)), own };
}

/**
 * A text in windows whose tokens are asked for once each: the first window begins with the prefix token, later ones with the
 * token before them, and the last has as much context as the model reads.
 */
export function rollingWindows(
  ids: readonly number[],
  { prefixId, maxLength }: Pick<Encoder, 'prefixId' | 'maxLength'>,
): ScoredRow[] {
  const windows: ScoredRow[] = [];
  const first = Math.min(maxLength, ids.length);
  if (first > 0) windows.push({ ids: [prefixId, ...ids.slice(0, first)], own: first });
  for (let done = first; done < ids.length; ) {
    const own = Math.min(ids.length - done, maxLength);
    const end = done + own;
    windows.push({ ids: ids.slice(end - maxLength - 1, end), own });
    done = end;
  }
  return windows;
}

/** A window of a long text. Its mean loss counts `weight` times. */
export type StrideWindow = ScoredRow & { readonly begin: number; readonly end: number; readonly weight: number };

/**
 * Windows of `maxLength` tokens that begin every `stride` tokens; asked for are the tokens that no window before had, but for the
 * first of a window, which nothing predicts. Weights are those of transformers' guide on perplexity of fixed-length models, which
 * takes one off in every window.
 */
export function strideWindows(ids: readonly number[], maxLength: number, stride: number): StrideWindow[] {
  const windows: StrideWindow[] = [];
  for (let begin = 0, done = 0; done < ids.length; begin += stride) {
    const end = Math.min(begin + maxLength, ids.length);
    const fresh = end - done;
    const own = Math.min(fresh, end - begin - 1);
    if (fresh > 1) windows.push({ ids: ids.slice(begin, end), own, begin, end, weight: fresh - 1 });
    done = end;
  }
  return windows;
}
