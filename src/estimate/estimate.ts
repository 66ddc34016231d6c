/** GPU memory of a run from its plan, without a GPU: its allocations are counted instead of made. */
import type { TrainConfig } from '../config/settings.ts';
import type { DeviceProfile } from '../gpu/device-profile.ts';
import type { ShaderLibrary } from '../gpu/kernel.ts';
import type { DeclaredModel } from '../model/declare.ts';
import type { FourBitWeight } from '../model/weight.ts';
import { buildEngine } from '../train/build.ts';
import { countParameters, type ModelLayout } from '../train/model-layout.ts';
import type { Shapes } from '../train/shapes.ts';
import type { Estimate, QuantizedLinears } from './types.ts';

const F32_BYTES = 4;

/** Records the plan of a run with known batch shapes and counts its bytes. @throws ConfigError, DeviceError */
export function estimateRun(
  layout: ModelLayout,
  config: TrainConfig,
  shapes: Shapes,
  profile: DeviceProfile,
  shaders: ShaderLibrary,
): Estimate {
  const { machine, declared, state } = buildEngine({ device: null, profile, shaders }, layout, config, shapes);
  const { peak, phasePeaks } = machine.ledger;
  const { trainable: trainableParams, all: allParams } = countParameters(layout);
  return {
    peakBytes: peak.peakBytes,
    byCategory: peak.byCategory,
    phases: phasePeaks,
    trainableParams,
    allParams,
    quantizedLinears: quantizedLinears(declared),
    state: {
      gpuBytes: peak.byCategory.optimizer,
      hostBytes: state.pager?.hostBytes ?? 0,
      pages: state.pager?.pages.length ?? 0,
    },
    gradientCheckpointing: config.gradient_checkpointing,
  };
}

/** Counts the bytes that the ledger holds for 4-bit weights; null where there are none. */
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

/**
 * Bytes by the format: ceil(n/2) + ceil(n/Q) + 4 ceil(ceil(n/Q)/256) + 4, or ceil(n/2) + 4 ceil(n/Q) without double
 * quantization.
 */
function formatBytes({ out, in: width, blockSize, scales }: FourBitWeight): number {
  const n = out * width;
  const blocks = Math.ceil(n / blockSize);
  const nestedBlock = 256;
  const state =
    scales.kind === 'double' ? blocks + F32_BYTES * Math.ceil(blocks / nestedBlock) + F32_BYTES : F32_BYTES * blocks;
  return Math.ceil(n / 2) + state;
}
