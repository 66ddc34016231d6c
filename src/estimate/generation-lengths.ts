/** How long a context and how large a batch of generation a number of bytes has room for: counted, as any estimate is. */
import type { GenerationPlan } from '../generate/plan.ts';
import type { DeviceProfile } from '../gpu/device-profile.ts';
import type { ShaderLibrary } from '../gpu/kernel.ts';
import { estimateGeneration } from './generation.ts';

/** Lengths of the sequences of a full batch, all alike. */
export type GenerationLengths = {
  /** Tokens of a prompt and the text after it. */
  readonly context: number;
  readonly maxNewTokens: number;
  readonly batchSize: number;
};

/** A base with adapters, in one of the forms that its weights can have. */
export type GenerationBase = Omit<GenerationPlan, 'batchSize' | 'requests'>;

/** A larger batch than this is not looked for. */
export const MOST_SEQUENCES = 256;

/** The plan of a batch whose prompts fill the context but for the new tokens. */
export function fullBatch(
  base: GenerationBase,
  { context, maxNewTokens, batchSize }: GenerationLengths,
): GenerationPlan {
  const request = { prompt: context - maxNewTokens, maxNewTokens };
  return { ...base, batchSize, requests: Array.from({ length: batchSize }, () => request) };
}

export type Room = {
  /** Sequences of the given context that fit at once, MOST_SEQUENCES at most; 0 where not even one does. */
  readonly largestBatch: number;
  /** Tokens that each sequence of the given batch may have, the model's positions at most; 0 where no prompt fits. */
  readonly longestContext: number;
};

/** Finds what fits. The answer fits, and one more does not, or is not looked at. */
export function roomOf(
  base: GenerationBase,
  lengths: GenerationLengths,
  bytes: number,
  { profile, shaders }: { readonly profile: DeviceProfile; readonly shaders: ShaderLibrary },
): Room {
  const fits = (changed: Partial<GenerationLengths>): boolean =>
    estimateGeneration(fullBatch(base, { ...lengths, ...changed }), profile, shaders).peakBytes <= bytes;
  const { batchSize, context, maxNewTokens } = lengths;
  return {
    largestBatch: largestThat((n) => fits({ batchSize: n }), { start: batchSize, least: 1, most: MOST_SEQUENCES }),
    longestContext: largestThat((n) => fits({ context: n }), {
      start: context,
      least: maxNewTokens + 1,
      most: base.model.max_position_embeddings,
    }),
  };
}

/** The largest whole number that `fits`, which every smaller one then does; 0 where the least does not. */
function largestThat(
  fits: (n: number) => boolean,
  { start, least, most }: { readonly start: number; readonly least: number; readonly most: number },
): number {
  if (!fits(least)) return 0;
  let [inside, outside] = [least, most + 1];
  // doubling from where the caller is finds a bound without planning what is far too large
  for (let n = Math.max(start, least); n <= most; n *= 2) {
    if (!fits(n)) {
      outside = n;
      break;
    }
    inside = n;
  }
  while (outside - inside > 1) {
    const middle = Math.floor((inside + outside) / 2);
    if (fits(middle)) inside = middle;
    else outside = middle;
  }
  return inside;
}
