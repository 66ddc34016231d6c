/** The fit of the time ratio over tokens: exact on the law, SciPy's figures on scatter, and from the runs of a suite. */
import { expect, test } from 'vitest';
import { renderReport } from '../../src/report/report.ts';
import type { RunRecord } from '../../src/results/run-schema.ts';
import { summarizeRuns } from '../../src/results/summarize.ts';
import { fitTokens, tokensLaw } from '../../src/results/tokens-fit.ts';
import { makeRun } from '../report/fixture.ts';

const at = (tokens: number, timeRatio: number) => ({ tokens, timeRatio, memoryRatio: null });

test('points on the law give it back, without an error', () => {
  const fit = fitTokens([64, 128, 512, 4096].map((tokens) => at(tokens, 1.02 + 60 / tokens)))!;
  expect(fit.a).toBeCloseTo(1.02, 12);
  expect(fit.c).toBeCloseTo(60, 9);
  expect(fit.aError).toBeLessThan(1e-9);
  expect(fit.worst).toBeLessThan(1e-12);
});

test('scattered points give the line, and the intervals, of scipy.stats.linregress', () => {
  // scipy 1.17: linregress(1 / T, y), its standard errors times t.ppf(0.975, 3)
  const points = [at(64, 2.0), at(128, 1.45), at(256, 1.2), at(512, 1.15), at(2048, 1.01)];
  const fit = fitTokens(points)!;
  expect(fit.a).toBeCloseTo(0.9797016861219197, 12);
  expect(fit.c).toBeCloseTo(64.17597924773023, 10);
  // Student's t is a table to six digits
  expect(fit.aError).toBeCloseTo(0.07928429669718937, 6);
  expect(fit.cError).toBeCloseTo(9.841766793238145, 4);
});

test('fewer than three different numbers of tokens fit nothing', () => {
  expect(fitTokens([at(64, 2), at(64, 1.9), at(128, 1.5)])).toBeNull();
});

test('tokens are read off the runs of each case, and the report shows the law', async () => {
  const runs = [1, 2, 4, 8].flatMap((batch) =>
    (['lora', 'qlora'] as const).map((arm): RunRecord => {
      const run = structuredClone(makeRun(arm, 0));
      const stepMs = 100 * batch + (arm === 'qlora' ? 50 : 0);
      run.run_info = { ...run.run_info, case: `b${batch}` };
      run.train_info.step_time_ms!.p50 = stepMs;
      const steps_per_second = 1000 / stepMs;
      run.train_info.throughput = {
        ...run.train_info.throughput,
        steps_per_second,
        padded_tokens_per_second: 64 * batch * steps_per_second,
      };
      return run;
    }),
  );
  const summary = summarizeRuns(runs, { suite: 'tokens', createdAt: '2026-01-01T00:00:00.000Z' });
  const fit = tokensLaw(runs, summary.comparisons)!;
  expect(fit.points.map(({ tokens }) => tokens)).toEqual([64, 128, 256, 512]);
  // 50 ms on 100 ms for 64 tokens: as long as 32 of them
  expect([fit.a, fit.c]).toEqual([expect.closeTo(1, 9), expect.closeTo(32, 6)]);
  const files = await renderReport({ runs, summary });
  expect(files.get('report.md')).toContain('a = 1.000 ± 0.000, c = 32.0 ± 0.0 tokens');
  expect(files.get('charts/tokens.svg')).toContain('64 tokens ×1.500');
});
