/** What an estimate says. */
import type { CategoryBytes } from '../gpu/category.ts';
import type { PhasePeak } from '../gpu/ledger.ts';

export type Estimate = {
  readonly peakBytes: number;
  readonly byCategory: CategoryBytes;
  readonly phases: readonly PhasePeak[];
  readonly trainableParams: number;
  readonly allParams: number;
  readonly quantizedLinears: QuantizedLinears | null;
};

/** Bytes of the quantized linears, tensor by tensor, and what the format's formula says they should be. */
export type QuantizedLinears = {
  readonly tensors: readonly {
    name: string;
    elements: number;
    packedBytes: number;
    absmaxBytes: number;
    nestedBytes: number;
    offsetBytes: number;
  }[];
  readonly codeTablesBytes: number;
  readonly formulaBytes: number;
};

export const ESTIMATED_METHODS = ['lora', 'qlora', 'full'] as const;
export type EstimatedMethod = (typeof ESTIMATED_METHODS)[number];

/** The quantized linear layers together. */
export type QuantizedFigures = {
  readonly tensors: number;
  readonly bytes: number;
  readonly elements: number;
  /** Tables that they share. */
  readonly code_tables_bytes: number;
  readonly formula_bytes: number;
  readonly bits_per_parameter: number;
};

/** How QLoRA's base is quantized; `assumed`: the configuration itself does not say so. */
export type QloraRecipe = {
  readonly bnb_4bit_quant_type: 'nf4' | 'fp4';
  readonly bnb_4bit_use_double_quant: boolean;
  readonly bnb_4bit_blocksize: number;
  readonly assumed: boolean;
};

/** One method, or why the device cannot do it. */
export type MethodEstimate =
  | {
      readonly method: EstimatedMethod;
      readonly peak_bytes: number;
      /** Within max_gpu_memory; absent where that is not set. */
      readonly fits?: boolean;
      /** At the peak. */
      readonly by_category: CategoryBytes;
      readonly by_phase: readonly { readonly phase: string; readonly peak: number }[];
      readonly num_trainable_params: number;
      readonly num_total_params: number;
      readonly quantized_linears: QuantizedFigures | null;
    }
  | { readonly method: EstimatedMethod; readonly peak_bytes: null; readonly reason: string };

/** Bytes of the GPU for full batches; `nibble estimate --json` prints the same. */
export type EstimateResult = {
  /** Name of the device profile. */
  readonly profile: string;
  /** Tiles of the matrix kernels; null where they have none. */
  readonly tiles: 'default' | null;
  readonly model: string;
  readonly per_device_train_batch_size: number;
  /** At most the positions of the model. */
  readonly max_length: number;
  readonly max_position_embeddings: number;
  readonly compute_dtype: 'float32' | 'float16';
  /** Bytes that a run may need; null where nothing is said. */
  readonly max_gpu_memory: number | null;
  readonly qlora_quantization: QloraRecipe;
  readonly estimates: readonly MethodEstimate[];
};
