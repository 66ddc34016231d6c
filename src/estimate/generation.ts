/** GPU memory of generation from its plan, without a GPU: its allocations are counted instead of made. */

import { buildGeneration } from '../generate/build.ts';
import type { GenerationPlan } from '../generate/plan.ts';
import type { CategoryBytes } from '../gpu/category.ts';
import type { DeviceProfile } from '../gpu/device-profile.ts';
import type { ShaderLibrary } from '../gpu/kernel.ts';
import type { PhasePeak } from '../gpu/ledger.ts';

export type GenerationEstimate = {
  readonly peakBytes: number;
  readonly byCategory: CategoryBytes;
  readonly phases: readonly PhasePeak[];
};

/** Records the plan of generation and counts its bytes. @throws ConfigError, DeviceError */
export function estimateGeneration(
  plan: GenerationPlan,
  profile: DeviceProfile,
  shaders: ShaderLibrary,
): GenerationEstimate {
  const { ledger } = buildGeneration({ device: null, profile, shaders }, plan).machine;
  const { peak, phasePeaks } = ledger;
  return { peakBytes: peak.peakBytes, byCategory: peak.byCategory, phases: phasePeaks };
}
