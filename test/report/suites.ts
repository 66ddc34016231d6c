/** Suites of any arms, seeds and cases, made of the fixture's runs: even arms of its LoRA, odd ones of its QLoRA. */
import type { RunRecord } from '../../src/results/run-schema.ts';
import { summarizeRuns } from '../../src/results/summarize.ts';
import type { SuiteSummary } from '../../src/results/summary-schema.ts';
import { makeEstimates, makeRun } from './fixture.ts';

const CREATED_AT = '2026-01-01T00:00:00.000Z';

export type Suite = { readonly runs: readonly RunRecord[]; readonly summary: SuiteSummary };

function runOf(arm: string, index: number, seed: number, caseName: string | null): RunRecord {
  const run = structuredClone(makeRun(index % 2 === 0 ? 'lora' : 'qlora', seed));
  run.run_info = { ...run.run_info, arm, case: caseName };
  return run;
}

/** Runs of every arm with every seed in every case. */
export function suiteOf(
  arms: readonly string[],
  seeds: readonly number[],
  cases: readonly (string | null)[] = [null],
): Suite & { readonly runs: RunRecord[] } {
  const runs = seeds.flatMap((seed) =>
    cases.flatMap((name) => arms.map((arm, index) => runOf(arm, index, seed, name))),
  );
  setQuantErrors(runs);
  return summarized(runs, arms[0]!);
}

/** Sums up runs against a baseline, with estimates of larger models. */
export function summarized(runs: RunRecord[], baseline: string): Suite & { readonly runs: RunRecord[] } {
  const summary = summarizeRuns(runs, {
    suite: 'mine',
    description: 'Which arm?',
    createdAt: CREATED_AT,
    baseline,
    estimates: makeEstimates(),
  });
  return { runs, summary };
}

/** Gives every quantized run the errors of eight layers, other ones for each arm. */
export function setQuantErrors(runs: readonly RunRecord[]): void {
  const arms = [...new Set(runs.map(({ run_info }) => run_info.arm))];
  for (const { run_info, train_info } of runs.filter((run) => run.run_info.quantization_config !== null))
    train_info.quantization_error = Array.from({ length: 8 }, (_, layer) => ({
      name: `model.layers.${layer}.self_attn.q_proj.weight`,
      elements: 9216,
      rmse: 1e-3 * (1 + 0.1 * arms.indexOf(run_info.arm) + 0.02 * layer),
      cosine: 0.996 - 0.0002 * arms.indexOf(run_info.arm),
    }));
}

/** Turns every run of an arm into one that ran out of memory. */
export function failArm(runs: readonly RunRecord[], arm: string): void {
  for (const run of runs.filter(({ run_info }) => run_info.arm === arm)) {
    run.run_info.status = 'oom';
    run.run_info.error = { kind: 'DeviceError', message: 'out of memory', stack: null };
  }
}

/** Gives the runs of a case their tokens in a micro-step, and QLoRA the time that the law a + c / T adds. */
export function setTokens(run: RunRecord, tokens: number, ratio: number): void {
  const { step_time_ms: times, throughput } = run.train_info;
  throughput.padded_tokens_per_second = tokens * throughput.steps_per_second!;
  if (times === null) return;
  const scale = ratio * (tokens / 512);
  times.values = times.values?.map((ms) => ms * scale) ?? null;
  for (const key of ['mean', 'p50', 'p90', 'p95', 'p99', 'min', 'max'] as const) times[key] *= scale;
}
