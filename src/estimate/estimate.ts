/** Memory of a run from its plan, without a GPU: the same allocations, counted and not made. */
import type { TrainConfig } from '../config/settings.ts';
import type { ModelConfig } from '../formats/hf-config.ts';
import type { CategoryBytes } from '../gpu/category.ts';
import type { DeviceProfile } from '../gpu/device-profile.ts';
import type { ShaderLibrary } from '../gpu/kernel.ts';
import type { PhasePeak } from '../gpu/ledger.ts';
import type { DeclaredModel } from '../model/declare.ts';
import type { FourBitWeight } from '../model/weight.ts';
import { buildEngine, type Shapes } from '../train/build.ts';
import { countParameters, type ModelPlan, planModel } from '../train/model-plan.ts';
import { longestRow } from '../train/packing.ts';

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

const F32_BYTES = 4;

/** The estimate of a planned run with known batch shapes. */
export function estimatePlan(
  plan: ModelPlan,
  config: TrainConfig,
  shapes: Shapes,
  profile: DeviceProfile,
  shaders: ShaderLibrary,
): Estimate {
  const { machine, declared } = buildEngine({ device: null, profile, shaders }, plan, config, shapes);
  const { peak, phasePeaks } = machine.ledger;
  const { trainable: trainableParams, all: allParams } = countParameters(plan);
  return {
    peakBytes: peak.peakBytes,
    byCategory: peak.byCategory,
    phases: phasePeaks,
    trainableParams,
    allParams,
    quantizedLinears: quantizedLinears(declared),
  };
}

/** The estimate from a config.json: full batches of max_length tokens, evaluation batches where evaluation is configured. */
export async function estimateModel(
  model: ModelConfig,
  config: TrainConfig,
  profile: DeviceProfile,
  shaders: ShaderLibrary,
): Promise<Estimate> {
  const S = longestRow(config, model);
  const evaluation = config.eval_datasets.length > 0 ? [{ B: config.per_device_eval_batch_size, S }] : [];
  const shapes = { train: [{ B: config.per_device_train_batch_size, S }], evaluation };
  const plan = await planModel({ config, model, source: null, adapter: null, maxPositions: S });
  return estimatePlan(plan, config, shapes, profile, shaders);
}

/** Counts what the ledger holds for 4-bit weights; null where there are none. */
export function quantizedLinears({ weights, tables }: DeclaredModel): QuantizedLinears | null {
  const fourBit = [...weights.values()].filter((w): w is FourBitWeight => w.kind === '4bit');
  if (fourBit.length === 0) return null;
  const tensors = fourBit.map(({ name, out, in: width, packed, scales }) => ({
    name,
    elements: out * width,
    packedBytes: packed.bytes,
    absmaxBytes: scales.kind === 'double' ? scales.codes.bytes : scales.absmax.bytes,
    nestedBytes: scales.kind === 'double' ? scales.nested.bytes - F32_BYTES : 0,
    offsetBytes: scales.kind === 'double' ? F32_BYTES : 0,
  }));
  const codeTablesBytes = tables.reduce((sum, { tensor }) => sum + tensor.bytes, 0);
  const formulaBytes = fourBit.reduce((sum, w) => sum + formatBytes(w), codeTablesBytes);
  return { tensors, codeTablesBytes, formulaBytes };
}

/** ceil(n/2) + ceil(n/Q) + 4 ceil(ceil(n/Q)/256) + 4, or ceil(n/2) + 4 ceil(n/Q) without double quantization. */
function formatBytes({ out, in: width, blockSize, scales }: FourBitWeight): number {
  const n = out * width;
  const blocks = Math.ceil(n / blockSize);
  const nestedBlock = 256;
  const state =
    scales.kind === 'double' ? blocks + F32_BYTES * Math.ceil(blocks / nestedBlock) + F32_BYTES : F32_BYTES * blocks;
  return Math.ceil(n / 2) + state;
}
