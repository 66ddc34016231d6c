/** Runs of one arm in one case: what is summarized together. */
import type { RunRecord } from './run-schema.ts';

export type Group = { readonly arm: string; readonly case: string | null };

/** The case of a run; null outside a suite with cases, and in records from before there were any. */
export function caseOf({ run_info }: RunRecord): string | null {
  return run_info.case ?? null;
}

export function isOf(run: RunRecord, { arm, case: name }: Group): boolean {
  return run.run_info.arm === arm && caseOf(run) === name;
}

/** Groups in the order in which their first runs come, cases together. */
export function groupsOf(runs: readonly RunRecord[]): Group[] {
  const cases = [...new Set(runs.map(caseOf))];
  return cases.flatMap((name) => {
    const arms = new Set(runs.filter((run) => caseOf(run) === name).map((run) => run.run_info.arm));
    return [...arms].map((arm) => ({ arm, case: name }));
  });
}

/** Names a group in a sentence: `qlora`, `qlora in case t64`. */
export function groupText({ arm, case: name }: Group): string {
  return name === null ? arm : `${arm} in case ${name}`;
}
