/** Estimates generation with a base in each form that it can have: as its checkpoint holds it, and in 4 bits. */
import { DeviceError } from '../errors.ts';
import type { CategoryBytes } from '../gpu/category.ts';
import type { DeviceProfile } from '../gpu/device-profile.ts';
import type { ShaderLibrary } from '../gpu/kernel.ts';
import { estimateGeneration, type GenerationEstimate } from './generation.ts';
import { fullBatch, type GenerationBase, type GenerationLengths, roomOf } from './generation-lengths.ts';

/** Memory of one form of the base, or the reason why the device cannot do it. */
export type GenerationFigures =
  | {
      /** Type of the linear layers: the checkpoint's, or a 4-bit code, `+double` where its scales are quantized too. */
      readonly base: string;
      readonly peak_bytes: number;
      /** Whether the peak is within max_gpu_memory; absent without that setting, as are the next two. */
      readonly fits?: boolean;
      /** Sequences of this context that would fit at once; MOST_SEQUENCES stands for that many or more. */
      readonly largest_batch_size?: number;
      /** Tokens that each sequence of this batch could have. */
      readonly longest_context?: number;
      /** Bytes by category at the peak. */
      readonly by_category: CategoryBytes;
      readonly by_phase: readonly { readonly phase: string; readonly peak: number }[];
    }
  | { readonly base: string; readonly peak_bytes: null; readonly reason: string };

/** GPU memory in bytes of a full batch, as `nibble estimate --generate --json` prints it. */
export type GenerateEstimateResult = {
  /** Name of the device profile. */
  readonly profile: string;
  readonly model: string;
  readonly adapters: readonly string[];
  readonly batch_size: number;
  /** Tokens of a prompt and the text after it. */
  readonly context: number;
  readonly max_new_tokens: number;
  readonly max_position_embeddings: number;
  readonly compute_dtype: 'float32' | 'float16';
  /** Bytes that may be needed; null without that setting. */
  readonly max_gpu_memory: number | null;
  /** Bytes that a token takes in the cache of keys and values. */
  readonly kv_cache_bytes_per_token: number;
  readonly estimates: readonly GenerationFigures[];
};

export type GenerationForm = { readonly name: string; readonly base: GenerationBase };
export type GenerationEstimateJob = {
  readonly forms: readonly GenerationForm[];
  readonly lengths: GenerationLengths;
  /** Bytes that may be needed; null where nobody says. */
  readonly allowed: number | null;
  readonly profile: DeviceProfile;
  readonly shaders: ShaderLibrary;
};

/**
 * Counts the bytes of each form. @param onForm called before each; an error it throws ends the work
 * @throws DeviceError when the device can do none of them
 */
export async function estimateForms(
  job: GenerationEstimateJob,
  onForm: (name: string) => void | Promise<void> = () => undefined,
): Promise<GenerationFigures[]> {
  const found: GenerationFigures[] = [];
  for (const form of job.forms) {
    await onForm(form.name);
    found.push(figuresOf(form, job));
  }
  const [first] = found;
  if (first?.peak_bytes === null && found.every(({ peak_bytes }) => peak_bytes === null))
    throw new DeviceError(first.reason);
  return found;
}

function figuresOf({ name, base }: GenerationForm, job: GenerationEstimateJob): GenerationFigures {
  const { lengths, allowed, profile, shaders } = job;
  try {
    const estimate = estimateGeneration(fullBatch(base, lengths), profile, shaders);
    const bytes = { base: name, ...bytesOf(estimate) };
    if (allowed === null) return bytes;
    const { largestBatch, longestContext } = roomOf(base, lengths, allowed, job);
    return {
      ...bytes,
      fits: estimate.peakBytes <= allowed,
      largest_batch_size: largestBatch,
      longest_context: longestContext,
    };
  } catch (error) {
    if (error instanceof DeviceError) return { base: name, peak_bytes: null, reason: error.message };
    throw error;
  }
}

const bytesOf = ({ peakBytes, byCategory, phases }: GenerationEstimate) => ({
  peak_bytes: peakBytes,
  by_category: byCategory,
  by_phase: phases.map((p) => ({ phase: p.phase, peak: p.peakBytes })),
});
