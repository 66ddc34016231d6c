/** One device a suite: which runs were made on another, and which pairs that takes away. */
import { groupText } from './groups.ts';
import type { RunRecord } from './run-schema.ts';

type RunPair = readonly [baseline: RunRecord, treatment: RunRecord];

/** Names device and driver; null for a run that no device of ours made, as those of peers. */
export function deviceOf({ meta_info: { gpu, nvidia_smi, runtime } }: RunRecord): string | null {
  if (gpu === null || runtime.node === null) return null;
  const driver = nvidia_smi?.driver_version ?? gpu.driver;
  return driver === null ? gpu.description : `${gpu.description}, driver ${driver}`;
}

/** Leaves out pairs whose runs were made on two devices: they would compare those. */
export function pairsOnOneDevice<P extends RunPair>(pairs: readonly P[]): { kept: P[]; left: P[] } {
  const kept: P[] = [];
  const left: P[] = [];
  for (const pair of pairs) {
    const [a, b] = pair.map(deviceOf);
    (a === b || a === null || b === null ? kept : left).push(pair);
  }
  return { kept, left };
}

/** Says at the top of a report that runs were made on more than one device, and on which. */
export function deviceNotices(runs: readonly RunRecord[]): string[] {
  const counts = new Map<string, number>();
  for (const run of runs) {
    const device = deviceOf(run);
    if (device !== null) counts.set(device, (counts.get(device) ?? 0) + 1);
  }
  if (counts.size < 2) return [];
  const list = [...counts].map(([device, count]) => `${count} on ${device}`).join(', ');
  return [`The runs were made on ${counts.size} devices: ${list}. Pairs across two of them are left out`];
}

/** Says which pairs were left out. */
export function leftOutNotice(pairs: readonly RunPair[]): string[] {
  if (pairs.length === 0) return [];
  const names = pairs.map(
    ([a, b]) =>
      `${groupText({ arm: b.run_info.arm, case: b.run_info.case ?? null })} against ${a.run_info.arm}, seed ${a.run_info.seed}`,
  );
  return [`Left out, since their runs were made on two devices: ${names.join('; ')}`];
}
