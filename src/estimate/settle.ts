/**
 * Settles what a configuration leaves to the memory that there is: `gradient_checkpointing: auto`, and the part of a paged
 * optimizer's state that stays on the GPU.
 */
import { max as largest } from 'simple-statistics';
import { sizeInWords } from '../config/bytes.ts';
import { optimizerOf } from '../config/optimizers.ts';
import type { TrainConfig } from '../config/settings.ts';
import { exitCodeOf } from '../errors.ts';
import type { DeviceProfile, Tier } from '../gpu/device-profile.ts';
import type { ShaderLibrary } from '../gpu/kernel.ts';
import { countParameters, type ModelLayout } from '../train/model-layout.ts';
import type { Shapes } from '../train/shapes.ts';
import { estimateRun } from './estimate.ts';
import type { Estimate } from './types.ts';

export type PlanJob = {
  readonly config: TrainConfig;
  readonly layout: ModelLayout;
  readonly shapes: Shapes;
  readonly profile: DeviceProfile;
  readonly shaders: ShaderLibrary;
};

type Checkpointing = TrainConfig['gradient_checkpointing'];
type Plan = { readonly config: TrainConfig; readonly estimate: Estimate; readonly extraSeconds: number };

/** What a layer computes again, in forward passes: selective only norms, activations and sums, which are bound by memory. */
const RECOMPUTED = { off: 0, selective: 0.1, full: 1 } as const;
/** Multiply-adds a second and bytes of host memory a second: orders of magnitude, to put plans in order. */
const PRODUCTS_PER_SECOND: Readonly<Record<Tier, number>> = { direct: 1e10, simt: 5e12, subgroup_matrix: 5e13 };
const COPIED_PER_SECOND = 2e9;
/** Rounds after which a budget has come to rest: each takes off what staging and parameters of the last one added. */
const ROUNDS = 6;

/** The configuration with both settings settled, and a note on what was chosen; null where nothing was left open. */
export function settlePlan(
  job: PlanJob,
  mostBytes: number,
): { readonly config: TrainConfig; readonly note: string | null } {
  const { config } = job;
  const auto = config.gradient_checkpointing === 'auto';
  const open = optimizerOf(config.optim).paged && config.paged_optimizer_memory === null;
  if (!auto && !open) return { config, note: null };
  const choices: readonly Checkpointing[] = auto ? [false, 'selective', true] : [config.gradient_checkpointing];
  const plans = choices.flatMap((gradient_checkpointing) => {
    const plan = planWithin({ ...job, config: { ...config, gradient_checkpointing } }, mostBytes);
    return plan === null ? [] : [plan];
  });
  const [fastest] = plans.sort((a, b) => a.extraSeconds - b.extraSeconds);
  // nothing fits: the leanest of all, so that the message says what the least needs
  if (fastest === undefined)
    return { config: { ...config, gradient_checkpointing: choices.at(-1) ?? true }, note: null };
  return { config: fastest.config, note: noteOf(fastest, { auto, mostBytes }) };
}

function noteOf({ config, estimate }: Plan, { auto, mostBytes }: { auto: boolean; mostBytes: number }): string | null {
  const { gradient_checkpointing: chosen } = config;
  const { hostBytes } = estimate.state;
  const room = Number.isFinite(mostBytes) ? `the fastest that fits ${sizeInWords(mostBytes)}` : 'memory sets no limit';
  const paging = hostBytes === 0 ? '' : `, ${sizeInWords(hostBytes)} of the optimizer's state in host memory`;
  if (auto) return `gradient_checkpointing: auto takes ${String(chosen)}${paging}: ${room}`;
  return null;
}

/** The plan of a configuration, with as much of its optimizer's state on the GPU as fits; null where it does not fit. */
function planWithin(job: PlanJob, mostBytes: number): Plan | null {
  let { config } = job;
  const open = optimizerOf(config.optim).paged && config.paged_optimizer_memory === null;
  let estimate = estimateOf({ ...job, config });
  for (let round = 0; estimate !== null && estimate.peakBytes > mostBytes && open && round < ROUNDS; round++) {
    const budget = estimate.byCategory.optimizer - (estimate.peakBytes - mostBytes);
    if (budget < 1) return null;
    config = { ...config, paged_optimizer_memory: Math.floor(budget) };
    estimate = estimateOf({ ...job, config });
  }
  if (estimate === null || estimate.peakBytes > mostBytes) return null;
  return { config, estimate, extraSeconds: extraSeconds({ ...job, config }, estimate) };
}

/** Null for a budget below the state of one tensor. */
function estimateOf({ layout, config, shapes, profile, shaders }: PlanJob): Estimate | null {
  try {
    return estimateRun(layout, config, shapes, profile, shaders);
  } catch (error) {
    if (exitCodeOf(error) === 2 && config.paged_optimizer_memory !== null) return null;
    throw error;
  }
}

/** Seconds of a step beyond those of the plan that computes nothing twice and moves nothing. */
function extraSeconds({ config, layout, shapes, profile }: PlanJob, { state }: Estimate): number {
  const { gradient_checkpointing: chosen, gradient_accumulation_steps: accumulation } = config;
  const again = RECOMPUTED[chosen === 'selective' ? chosen : chosen === false ? 'off' : 'full'];
  const tokens = accumulation * largest(shapes.train.map(({ B, S }) => B * S));
  const forward = (countParameters(layout).all * tokens) / PRODUCTS_PER_SECOND[profile.tier];
  return again * forward + (2 * state.hostBytes) / COPIED_PER_SECOND;
}
