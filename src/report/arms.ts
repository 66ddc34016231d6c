/** What report sections need to know of arms: labels, order, their good runs, and the run that stands for an arm. */
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

/** Labels a run by its arm and its seed. */
export function runLabel({ run_info: { arm, seed } }: RunRecord): string {
  return `${armLabel(arm)}, seed ${seed}`;
}

/** Labels a memory category: `base_weights` is `base weights`. */
export function categoryLabel(category: MemoryCategory): string {
  return category.replace('_', ' ');
}

/** Sorts arms as every table and chart shows them: baseline, treatment, the rest by name. */
export function orderedArms(summary: SuiteSummary): ArmSummary[] {
  const first = summary.comparison === null ? [] : [summary.comparison.baseline, summary.comparison.treatment];
  const rank = (arm: string) => (first.includes(arm) ? first.indexOf(arm) : first.length);
  return [...summary.arms].sort((a, b) => rank(a.arm) - rank(b.arm) || a.arm.localeCompare(b.arm, 'en'));
}

/** Reads the median of a metric in an arm; null where it was not measured. */
export function medianOf(summary: SuiteSummary, arm: string, metric: Metric): number | null {
  return summary.arms.find((entry) => entry.arm === arm)?.metrics[metric]?.median ?? null;
}

/** Picks the runs of an arm that ended well, by seed. */
export function goodRuns(runs: readonly RunRecord[], arm: string): RunRecord[] {
  return runs
    .filter((run) => run.run_info.arm === arm && run.run_info.status === 'success')
    .sort((a, b) => a.run_info.seed - b.run_info.seed);
}

/** Picks the run with the (lower) median peak, whose categories sum to a peak that was reached. Null without one. */
export function medianMemoryRun(runs: readonly RunRecord[], arm: string): RunRecord | null {
  const peak = (run: RunRecord) => run.train_info.memory?.allocated.peak ?? 0;
  const measured = goodRuns(runs, arm).filter((run) => run.train_info.memory !== null);
  measured.sort((a, b) => peak(a) - peak(b));
  return measured[Math.floor((measured.length - 1) / 2)] ?? null;
}

/** Lists the categories that hold bytes in at least one of the breakdowns, in stacking order. */
export function usedCategories(breakdowns: readonly Readonly<Record<MemoryCategory, number>>[]): MemoryCategory[] {
  return MEMORY_CATEGORIES.filter((category) => breakdowns.some((bytes) => bytes[category] > 0));
}
