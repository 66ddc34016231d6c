/** What the sections ask of the runs: names, order, and the run that stands for an arm. */
import { MEMORY_CATEGORIES, type MemoryCategory, type RunRecord } from '../results/run-schema.ts';
import type { ArmSummary, SuiteSummary } from '../results/summary-schema.ts';

const ARM_LABELS: Record<string, string> = {
  lora: 'LoRA',
  qlora: 'QLoRA',
  full: 'Full fine-tuning',
  'peft-lora': 'LoRA by PEFT',
  'peft-qlora': 'QLoRA by PEFT',
};

/** The arm as its method is written; an arm of another name keeps it. */
export function armLabel(arm: string): string {
  return ARM_LABELS[arm] ?? arm;
}

/** `base_weights` as a reader sees it. */
export function categoryLabel(category: MemoryCategory): string {
  return category.replace('_', ' ');
}

/** Arms in the order every table and chart shows them: baseline, treatment, the rest by name. */
export function orderedArms(summary: SuiteSummary): ArmSummary[] {
  const first = summary.comparison === null ? [] : [summary.comparison.baseline, summary.comparison.treatment];
  const rank = (arm: string) => (first.includes(arm) ? first.indexOf(arm) : first.length);
  return [...summary.arms].sort((a, b) => rank(a.arm) - rank(b.arm) || a.arm.localeCompare(b.arm, 'en'));
}

/** The runs of an arm that ended well, by seed. */
export function goodRuns(runs: readonly RunRecord[], arm: string): RunRecord[] {
  return runs
    .filter((run) => run.run_info.arm === arm && run.run_info.status === 'success')
    .sort((a, b) => a.run_info.seed - b.run_info.seed);
}

/** The run with the (lower) median peak: its categories sum to a peak that was really reached. Null without one. */
export function medianMemoryRun(runs: readonly RunRecord[], arm: string): RunRecord | null {
  const peak = (run: RunRecord) => run.train_info.memory?.allocated.peak ?? 0;
  const measured = goodRuns(runs, arm).filter((run) => run.train_info.memory !== null);
  measured.sort((a, b) => peak(a) - peak(b));
  return measured[Math.floor((measured.length - 1) / 2)] ?? null;
}

/** Categories that hold bytes in at least one of the given breakdowns, in stacking order. */
export function usedCategories(breakdowns: readonly Readonly<Record<MemoryCategory, number>>[]): MemoryCategory[] {
  return MEMORY_CATEGORIES.filter((category) => breakdowns.some((bytes) => bytes[category] > 0));
}
