/** Results of an estimate. */
import type { TrainConfig } from '../config/settings.ts';
import type { CategoryBytes } from '../gpu/category.ts';
import type { PhasePeak } from '../gpu/ledger.ts';
import type { QuantType } from '../wasm/types.ts';
import type { Guide } from './guide-types.ts';

export type Estimate = {
  readonly peakBytes: number;
  readonly byCategory: CategoryBytes;
  readonly phases: readonly PhasePeak[];
  readonly trainableParams: number;
  readonly allParams: number;
  readonly quantizedLinears: QuantizedLinears | null;
  readonly state: StateBytes;
  readonly gradientCheckpointing: TrainConfig['gradient_checkpointing'];
};

/** Where an optimizer's state lies. */
export type StateBytes = {
  readonly gpuBytes: number;
  /** What comes to the GPU and goes back in every step, in so many pages. */
  readonly hostBytes: number;
  readonly pages: number;
};

/** Bytes of the quantized linear layers, tensor by tensor, and those that the format's formula predicts. */
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

/** Figures of all quantized linear layers together. */
export type QuantizedFigures = {
  readonly tensors: number;
  readonly bytes: number;
  readonly elements: number;
  /** Bytes of the code tables that they share. */
  readonly code_tables_bytes: number;
  readonly formula_bytes: number;
  readonly bits_per_parameter: number;
};

/** How QLoRA's base is quantized; `assumed` where the configuration itself does not say so. */
export type QloraRecipe = {
  readonly bnb_4bit_quant_type: QuantType;
  readonly bnb_4bit_use_double_quant: boolean;
  readonly bnb_4bit_blocksize: number;
  readonly assumed: boolean;
};

/** Estimate of one method, or the reason why the device cannot do it. */
export type MethodEstimate =
  | {
      readonly method: EstimatedMethod;
      readonly peak_bytes: number;
      /** Whether the peak is within max_gpu_memory; absent without that setting. */
      readonly fits?: boolean;
      /** Bytes by category at the peak. */
      readonly by_category: CategoryBytes;
      readonly by_phase: readonly { readonly phase: string; readonly peak: number }[];
      readonly num_trainable_params: number;
      readonly num_total_params: number;
      readonly quantized_linears: QuantizedFigures | null;
      /** What gradient_checkpointing: auto takes; absent without it. */
      readonly gradient_checkpointing?: TrainConfig['gradient_checkpointing'];
      /** Bytes of a paged optimizer's state in host memory; absent where none are. */
      readonly optimizer_host_bytes?: number;
    }
  | { readonly method: EstimatedMethod; readonly peak_bytes: null; readonly reason: string };

/** GPU memory in bytes for full batches, as `nibble estimate --json` prints it. */
export type EstimateResult = {
  /** Name of the device profile. */
  readonly profile: string;
  /** Tiles of the matmul kernels; null for the direct tier, which has none. */
  readonly tiles: 'default' | null;
  readonly model: string;
  readonly per_device_train_batch_size: number;
  /** Tokens of a row, limited by the model's positions. */
  readonly max_length: number;
  readonly max_position_embeddings: number;
  readonly compute_dtype: 'float32' | 'float16';
  /** Bytes that a run may need; null without that setting. */
  readonly max_gpu_memory: number | null;
  readonly qlora_quantization: QloraRecipe;
  readonly estimates: readonly MethodEstimate[];
  /** What cards hold, where that was asked for. */
  readonly guide?: Guide;
};
