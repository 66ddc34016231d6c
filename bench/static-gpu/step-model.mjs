/** The modelled time of a step: every dispatch of its plan at the rate of its kernel, or of the memory that it touches. */
import { DataError } from './from-nibble.mjs';
import { bytesOf, flopsOf, partOf } from './work.mjs';

/** @import { Assumed, Chip, Dispatches, PipelineSpec, Rate, Step, StepPlan } from './types.d.ts' */

/**
 * @typedef {(key: string, few?: number) => Rate | null} RateOf a kernel's rate, and that of fewer workgroups than a chip holds
 */

/**
 * @param {StepPlan} plan
 * @param {RateOf} rate
 * @param {Chip} chip
 * @param {Assumed} assumed
 * @returns {Step}
 * @throws DataError for a product whose rate is not known
 */
export function modelStep(plan, rate, chip, assumed) {
  const specs = new Map(plan.pipelines.map((spec) => [spec.key, spec]));
  /** @type {Record<string, number>} */
  const parts = { gemm: 0, attention: 0, lora: 0, dequant: 0, elementwise: 0, gaps: 0 };
  const sums = { dispatches: 0, flops: 0, bytes: 0, derivedLora: 0 };
  for (const dispatch of plan.dispatches) {
    const spec = /** @type {PipelineSpec} */ (specs.get(dispatch.key));
    const { part, seconds } = timeOf(spec, dispatch, rate, chip, assumed);
    parts[part] = (parts[part] ?? 0) + 1e3 * dispatch.count * seconds;
    parts.gaps = (parts.gaps ?? 0) + (dispatch.count * chip.dispatch_gap_us) / 1e3;
    sums.dispatches += dispatch.count;
    sums.flops += dispatch.count * flopsOf(spec, dispatch);
    sums.bytes += dispatch.count * bytesOf(dispatch);
    if (part === 'lora') sums.derivedLora += 1e3 * dispatch.count * derivedSeconds(spec, dispatch, rate, chip, assumed);
  }
  const { derivedLora: derivedLoraMs, ...counted } = sums;
  return { ms: Object.values(parts).reduce((a, b) => a + b), ...counted, parts, derivedLoraMs };
}

/** @param {Dispatches} dispatch @param {Chip} chip @param {Assumed} assumed */
const memorySeconds = (dispatch, chip, assumed) =>
  bytesOf(dispatch) / (chip.memory_bytes_per_second * assumed.bandwidth_share);

/**
 * @param {PipelineSpec} spec
 * @param {Dispatches} dispatch
 * @param {RateOf} rate
 * @param {Chip} chip
 * @param {Assumed} assumed
 */
function timeOf(spec, dispatch, rate, chip, assumed) {
  const memory = memorySeconds(dispatch, chip, assumed);
  const part = partOf(spec, dispatch);
  switch (part) {
    case 'gemm':
    case 'attention':
      return {
        part,
        seconds: Math.max(memory, flopsOf(spec, dispatch) / (required(spec, rate(spec.key)).tflops * 1e12)),
      };
    case 'lora':
      return { part, seconds: Math.max(memory, assumed.lora_product_us * 1e-6) };
    case 'lora_reduce':
      return { part: 'lora', seconds: Math.max(memory, assumed.lora_reduce_us * 1e-6) };
    case 'dequant':
      return { part, seconds: memory * assumed.dequant_of_its_bytes };
    default:
      return { part, seconds: memory };
  }
}

/**
 * A thin product by the replay of its own code: it has fewer workgroups than the chip holds, and as many rounds as its depth asks for.
 * @param {PipelineSpec} spec
 * @param {Dispatches} dispatch
 * @param {RateOf} rate
 * @param {Chip} chip
 * @param {Assumed} assumed
 */
function derivedSeconds(spec, dispatch, rate, chip, assumed) {
  const memory = memorySeconds(dispatch, chip, assumed);
  if (spec.kernel === 'matmul_reduce') return Math.max(memory, assumed.lora_reduce_us * 1e-6);
  const perUnit = Math.max(1, dispatch.workgroups / chip.units);
  const { tflops } = required(spec, rate(spec.key, perUnit));
  const busy = Math.min(1, dispatch.workgroups / chip.units);
  return Math.max(memory, flopsOf(spec, dispatch) / (tflops * busy * 1e12));
}

/** @param {PipelineSpec} spec @param {Rate | null} rate */
function required({ key }, rate) {
  if (rate !== null) return rate;
  throw new DataError(key, 'has no modelled rate: the model of a step takes the simt and subgroup_matrix tiers');
}
