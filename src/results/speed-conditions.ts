/** Conditions under which times were taken: what forbids naming a faster arm, and which runs stand out. */
import { max as largest, median, min as smallest } from 'simple-statistics';
import type { RunRecord } from './run-schema.ts';

/** Timed steps below which the median of a run moves with single steps. */
export const MIN_TIMED_STEPS = 20;
/** Share of the processor that other programs may take during a run. */
const MOST_OTHER_CPU = 0.1;
/** Clocks may differ by this between runs: a GPU's own steps are 15 MHz. */
const MOST_CLOCK_CHANGE = 0.02;
/** Distance from the median in median absolute deviations, as hyperfine draws the line: 10 sds of a normal. */
const OUTLIER_DEVIATIONS = 14.826;

/** Says why the times of these runs name no winner; empty where nothing forbids it. */
export function speedObstacles(runs: readonly RunRecord[]): string[] {
  const timed = runs.filter((run) => run.train_info.step_time_ms !== null);
  const fewest = smallest([Number.POSITIVE_INFINITY, ...timed.map((run) => run.train_info.step_time_ms!.count)]);
  const devices = new Set(timed.map(({ meta_info: { gpu } }) => `${gpu?.description}, driver ${gpu?.driver}`));
  const others = timed.flatMap((run) => run.meta_info.nvidia_smi?.other_processes ?? []);
  const busy = largest([0, ...timed.map((run) => run.meta_info.runtime.other_cpu_share ?? 0)]);
  const clock = changedClock(timed);
  return [
    ...(timed.some((run) => run.meta_info.gpu?.software_rendered === true) ? ['a software driver computed it'] : []),
    ...(devices.size > 1 ? [`the runs did not share one device and driver (${[...devices].join('; ')})`] : []),
    ...(clock === null ? [] : [`the ${clock} clock changed between runs`]),
    ...(others.length > 0 ? [`other programs were on the GPU (${[...new Set(others)].join(', ')})`] : []),
    ...(busy > MOST_OTHER_CPU ? [`other programs took up to ${Math.round(100 * busy)} % of the processor`] : []),
    ...(fewest < MIN_TIMED_STEPS ? [`a run timed ${fewest} steps, and ${MIN_TIMED_STEPS} are needed`] : []),
  ];
}

/** Says which runs of an arm were far from its others, and whether the first of them was; in the order they ran. */
export function unusualRuns(arm: string, runs: readonly RunRecord[]): string[] {
  const timed = runs
    .filter((run) => run.train_info.step_time_ms !== null)
    .sort((a, b) => a.run_info.created_at.localeCompare(b.run_info.created_at));
  const times = timed.map((run) => run.train_info.step_time_ms!.p50);
  if (times.length < 3) return [];
  const middle = median(times);
  const deviation = median(times.map((time) => Math.abs(time - middle)));
  const isFar = (time: number) => Math.abs(time - middle) > OUTLIER_DEVIATIONS * deviation && deviation > 0;
  return timed.flatMap(({ run_info: { seed } }, i) => {
    if (!isFar(times[i]!)) return [];
    const factor = (times[i]! / middle).toFixed(2);
    const first = i === 0 && times[i]! > middle ? ', its first run: was the machine still warming up?' : '';
    return [`${arm}, seed ${seed}: the median step took ${factor} times that of the arm's median run${first}`];
  });
}

function changedClock(runs: readonly RunRecord[]): string | null {
  const seen = new Map<string, number[]>();
  for (const { meta_info } of runs) {
    for (const [name, mhz] of Object.entries(meta_info.nvidia_smi?.clocks_after_training ?? {})) {
      seen.set(name, [...(seen.get(name) ?? []), mhz]);
    }
  }
  for (const [name, values] of seen) {
    if (largest(values) > smallest(values) * (1 + MOST_CLOCK_CHANGE)) return name;
  }
  return null;
}
