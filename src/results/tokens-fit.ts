/** The law of QLoRA's extra time: the ratio of step times as a + c / T over the tokens T of a micro-step. */
import { mean } from 'simple-statistics';
import { caseOf } from './groups.ts';
import { studentQuantile975 } from './row-error.ts';
import type { RunRecord } from './run-schema.ts';
import type { Comparison } from './summary-schema.ts';

/** The time ratio of two arms at one number of tokens. */
export type TokenPoint = { readonly tokens: number; readonly timeRatio: number; readonly memoryRatio: number | null };

export type TokensFit = {
  readonly points: readonly TokenPoint[];
  /** The ratio of very long micro-steps. */
  readonly a: number;
  /** Tokens at which the overhead that falls with them is as long as a step of the baseline. */
  readonly c: number;
  /** Half widths of 95 % intervals, from the scatter around the law. */
  readonly aError: number;
  readonly cError: number;
  /** Largest distance of a measured ratio from the law. */
  readonly worst: number;
};

/** Two parameters and one degree of freedom: with fewer points the law would fit anything. */
const MIN_POINTS = 3;

/**
 * Fits ratio = a + c / T by least squares; null below three different T. The intervals take the scatter of the points around
 * the law as their error, with Student's t for n - 2 degrees of freedom.
 */
export function fitTokens(points: readonly TokenPoint[]): TokensFit | null {
  if (new Set(points.map(({ tokens }) => tokens)).size < MIN_POINTS) return null;
  const sorted = [...points].sort((p, q) => p.tokens - q.tokens);
  const x = sorted.map(({ tokens }) => 1 / tokens);
  const y = sorted.map(({ timeRatio }) => timeRatio);
  const [xMean, yMean] = [mean(x), mean(y)];
  const sxx = x.reduce((sum, value) => sum + (value - xMean) ** 2, 0);
  const c = x.reduce((sum, value, i) => sum + (value - xMean) * (y[i]! - yMean), 0) / sxx;
  const a = yMean - c * xMean;
  const residuals = x.map((value, i) => y[i]! - (a + c * value));
  const degrees = x.length - 2;
  const variance = residuals.reduce((sum, value) => sum + value ** 2, 0) / degrees;
  const t = studentQuantile975(degrees);
  return {
    points: sorted,
    a,
    c,
    aError: t * Math.sqrt(variance * (1 / x.length + xMean ** 2 / sxx)),
    cError: t * Math.sqrt(variance / sxx),
    worst: residuals.reduce((most, value) => Math.max(most, Math.abs(value)), 0),
  };
}

/**
 * Reads the tokens of a micro-step off the runs of each compared case, and its median ratios; null where the two arms of a
 * case did not take the same, or fewer than three cases differ.
 */
export function tokensLaw(runs: readonly RunRecord[], comparisons: readonly Comparison[]): TokensFit | null {
  const points = comparisons.flatMap(({ baseline, treatment, case: name, paired }): TokenPoint[] => {
    const own = runs.filter(
      (run) =>
        caseOf(run) === name && [baseline, treatment].includes(run.run_info.arm) && run.run_info.status === 'success',
    );
    const tokens = new Set(own.flatMap((run) => tokensPerMicroStep(run) ?? []));
    const [count] = tokens;
    const timeRatio = paired.step_time_ms?.median_ratio ?? null;
    if (tokens.size !== 1 || count === undefined || timeRatio === null) return [];
    return [{ tokens: count, timeRatio, memoryRatio: paired.peak_memory_bytes?.median_ratio ?? null }];
  });
  return fitTokens(points);
}

/** Tokens that go through the model together, padding included, in the mean over a run; null where it was not measured. */
export function tokensPerMicroStep({ run_info, train_info: { throughput } }: RunRecord): number | null {
  const { padded_tokens_per_second: tokens, steps_per_second: steps } = throughput;
  const microSteps = run_info.train_config.gradient_accumulation_steps ?? 1;
  if (tokens === null || steps === null || steps === 0 || typeof microSteps !== 'number') return null;
  return Math.round(tokens / steps / microSteps);
}
