/** The modelled time of a token of each sequence: every dispatch at the memory's rate, or at its kernel's where that is slower. */
import { bytesOf, partOf, streamedBytes, streams } from './work.mjs';

/** @import { Assumed, Chip, DecodedToken, DecodePlan, Dispatches, PipelineSpec, Rate } from './types.d.ts' */

/**
 * @param {DecodePlan} plan
 * @param {(key: string, few?: number) => Rate | null} rate
 * @param {Chip} chip
 * @param {Assumed} assumed
 * @returns {DecodedToken}
 */
export function modelDecode(plan, rate, chip, assumed) {
  const specs = new Map(plan.pipelines.map((spec) => [spec.key, spec]));
  const bandwidth = chip.memory_bytes_per_second * assumed.bandwidth_share;
  /** @type {Record<string, number>} */
  const parts = { weights: 0, attention: 0, elementwise: 0, gaps: 0 };
  const sums = { dispatches: 0, bytes: 0 };
  for (const dispatch of plan.dispatches) {
    const spec = /** @type {PipelineSpec} */ (specs.get(dispatch.key));
    const bytes = touchedBytes(spec, dispatch);
    const memory = bytes / bandwidth;
    const perUnit = Math.max(1, dispatch.workgroups / chip.units);
    const own = streams(spec) ? rate(spec.key, perUnit) : null;
    const busy = Math.min(1, dispatch.workgroups / chip.units);
    const seconds =
      own === null ? memory : Math.max(memory, streamedBytes(dispatch) / (bytesPerSecond(own, chip, assumed) * busy));
    const part = { gemm: 'weights', attention: 'attention' }[String(partOf(spec, dispatch))] ?? 'elementwise';
    parts[part] = (parts[part] ?? 0) + 1e3 * dispatch.count * seconds;
    parts.gaps = (parts.gaps ?? 0) + (dispatch.count * chip.dispatch_gap_us) / 1e3;
    sums.dispatches += dispatch.count;
    sums.bytes += dispatch.count * bytes;
  }
  const ms = Object.values(parts).reduce((a, b) => a + b);
  return { ms, ...sums, bandwidth_share: (1e3 * sums.bytes) / bandwidth / ms, parts };
}

/** Appending touches only those rows of the cache that it writes. @param {PipelineSpec} spec @param {Dispatches} dispatch */
function touchedBytes({ kernel }, dispatch) {
  if (kernel !== 'cache_append') return bytesOf(dispatch);
  return 2 * streamedBytes(dispatch);
}

/** What a chip full of a kernel's workgroups streams. @param {Rate} rate @param {Chip} chip @param {Assumed} assumed */
export const bytesPerSecond = ({ roundBytes, roundClocks }, chip, assumed) =>
  (assumed.rate_share * roundBytes * chip.units * chip.clock_hz) / roundClocks;
