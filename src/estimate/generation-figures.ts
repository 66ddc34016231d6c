/** What an estimate of generation says, in the names of `nibble estimate --generate --json`. */
import type { CategoryBytes } from '../gpu/category.ts';

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
