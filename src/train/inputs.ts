/** Buffers for an engine's batches, scalars and results: one set serves plans of every shape. */
import type { Residents } from '../gpu/residents.ts';
import type { Tensor } from '../gpu/tensor.ts';
import { METRIC_COUNT } from '../kernels/grad-norm.ts';
import { RATE_ROWS, RATE_WORDS, SCALER_WORDS } from '../kernels/loss-scale.ts';
import { allocateDocuments, type DocumentInputs } from './document-inputs.ts';
import { STEP_BYTES } from './step-scalars.ts';

export const F32_BYTES = 4;

export type Inputs = {
  readonly ids: Tensor;
  readonly labels: Tensor;
  readonly rowLoss: Tensor;
  /** Where documents lie; null where no rows are packed. */
  readonly documents: DocumentInputs | null;
  readonly metrics: Tensor;
  /** The ambient binding of the trainer's phases: src/train/step-scalars.ts. */
  readonly step: Tensor;
  /** Tensors of src/kernels/loss-scale.ts; null where gradients are not scaled. */
  readonly scaling: ScalingTensors | null;
  /** Which token's logits (1, V) are wanted, and those; null where nothing is sampled. */
  readonly sample: SampleTensors | null;
};

type SampleTensors = { readonly pick: Tensor; readonly logits: Tensor };

type ScalingTensors = { readonly scaler: Tensor; readonly rates: Tensor };

/** Allocates the buffers for batches of up to `rows` tokens. */
export function allocateInputs(
  residents: Residents,
  rows: number,
  {
    packed,
    scaled,
    sampled,
  }: {
    readonly packed: boolean;
    readonly scaled: boolean;
    /** Entries of the vocabulary that are sampled from; null where nothing is. */
    readonly sampled: number | null;
  },
): Inputs {
  const make = (label: string, n: number, dtype: 'u32' | 'i32' | 'f32') =>
    residents.tensor({ label, shape: [n], dtype, category: 'staging' });
  return {
    ids: make('input_ids', rows, 'u32'),
    labels: make('labels', rows, 'i32'),
    rowLoss: make('row_loss', rows, 'f32'),
    documents: packed ? allocateDocuments(residents, rows) : null,
    metrics: make('metrics', METRIC_COUNT, 'f32'),
    step: residents.tensor({
      label: 'step',
      shape: [STEP_BYTES / F32_BYTES],
      dtype: 'u32',
      category: 'staging',
      usage: 'uniform',
    }),
    sample:
      sampled === null
        ? null
        : {
            pick: make('pick', 1, 'u32'),
            logits: residents.tensor({
              label: 'sample_logits',
              shape: [1, sampled],
              dtype: 'f32',
              category: 'logits',
            }),
          },
    scaling: scaled
      ? { scaler: make('loss_scale', SCALER_WORDS, 'u32'), rates: make('rates', RATE_ROWS * RATE_WORDS, 'f32') }
      : null,
  };
}
