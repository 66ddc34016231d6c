/** What report sections need to know of arms: labels, order, their good runs, and the run that stands for an arm. */
import { caseOf, type Group, isOf } from '../results/groups.ts';
import { MEMORY_CATEGORIES, type MemoryCategory, type RunRecord } from '../results/run-schema.ts';
import type { ArmSummary, Metric, SuiteSummary } from '../results/summary-schema.ts';

const ARM_LABELS: ReadonlyMap<string, string> = new Map([
  ['lora', 'LoRA'],
  ['qlora', 'QLoRA'],
  ['full', 'Full fine-tuning'],
  ['peft-lora', 'LoRA by PEFT'],
  ['peft-qlora', 'QLoRA by PEFT'],
]);

/** Labels an arm by its method; an arm of another name keeps it. */
export function armLabel(arm: string): string {
  return ARM_LABELS.get(arm) ?? arm;
}

/** Labels an arm in a case: `QLoRA, t64`. */
export function groupLabel({ arm, case: name }: Group): string {
  return name === null ? armLabel(arm) : `${armLabel(arm)}, ${name}`;
}

/** Labels a run by its arm, its case and its seed. */
export function runLabel(run: RunRecord): string {
  return `${groupLabel(groupOf(run))}, seed ${run.run_info.seed}`;
}

export function groupOf(run: RunRecord): Group {
  return { arm: run.run_info.arm, case: caseOf(run) };
}

/** Labels a memory category: `base_weights` is `base weights`. */
export function categoryLabel(category: MemoryCategory): string {
  return category.replace('_', ' ');
}

/** Sorts arms as every table and chart shows them: case by case, the baseline first, the rest in the suite's order. */
export function orderedArms({ arms, comparison }: SuiteSummary): ArmSummary[] {
  const cases = [...new Set(arms.map((entry) => entry.case))];
  const rank = ({ arm }: ArmSummary) => (arm === comparison?.baseline ? 0 : 1);
  return [...arms].sort((a, b) => cases.indexOf(a.case) - cases.indexOf(b.case) || rank(a) - rank(b));
}

/** Reads the median of a metric in an arm; null where it was not measured. */
export function medianOf(summary: SuiteSummary, { arm, case: name }: Group, metric: Metric): number | null {
  return summary.arms.find((entry) => entry.arm === arm && entry.case === name)?.metrics[metric]?.median ?? null;
}

/** Picks the runs of an arm in a case that ended well, by seed. */
export function goodRuns(runs: readonly RunRecord[], group: Group): RunRecord[] {
  return runs
    .filter((run) => isOf(run, group) && run.run_info.status === 'success')
    .sort((a, b) => a.run_info.seed - b.run_info.seed);
}

/** Picks the run with the (lower) median peak, whose categories sum to a peak that was reached. Null without one. */
export function medianMemoryRun(runs: readonly RunRecord[], group: Group): RunRecord | null {
  const peak = (run: RunRecord) => run.train_info.memory?.allocated.peak ?? 0;
  const measured = goodRuns(runs, group).filter((run) => run.train_info.memory !== null);
  measured.sort((a, b) => peak(a) - peak(b));
  return measured[Math.floor((measured.length - 1) / 2)] ?? null;
}

/** Lists the categories that hold bytes in at least one of the breakdowns, in stacking order. */
export function usedCategories(breakdowns: readonly Readonly<Record<MemoryCategory, number>>[]): MemoryCategory[] {
  return MEMORY_CATEGORIES.filter((category) => breakdowns.some((bytes) => bytes[category] > 0));
}
