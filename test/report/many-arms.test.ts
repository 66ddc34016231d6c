/** Reports of arms that are called neither lora nor qlora: three, ten, one that failed, and arms in cases. */
import { expect, test } from 'vitest';
import { renderReport } from '../../src/report/report.ts';
import { verdictText } from '../../src/report/sections/verdict.ts';
import { summarizeRuns } from '../../src/results/summarize.ts';
import { failArm, suiteOf } from './suites.ts';

const idsOf = (html: string): string[] => [...html.matchAll(/<table id="([^"]*)"/g)].map(([, id]) => id ?? '');

test('three arms: each against the first, a sentence and a table for each', async () => {
  const { runs, summary } = suiteOf(['r8', 'r16', 'r64'], [0, 1]);
  expect(summary.comparisons.map(({ baseline, treatment, n }) => [baseline, treatment, n])).toEqual([
    ['r8', 'r16', 2],
    ['r8', 'r64', 2],
  ]);
  expect(summary.comparison).toEqual(summary.comparisons[0]);
  expect(summary.comparisons.map(({ paired }) => paired.peak_memory_bytes?.winner)).toEqual(['r16', '~']);
  expect(verdictText(summary)).toMatch(
    /^r16 needed 10\.\d % less peak memory than r8 .* r64 needed 0\.0 % more peak memory/,
  );
  const files = await renderReport({ runs, summary });
  const html = files.get('report.html')!;
  expect(html).toContain('<h1>r8, r16 and r64: suite mine</h1>');
  expect(html).toContain('Which arm?');
  expect(idsOf(html)).toContain('comparisons-table');
  expect(idsOf(html)).toContain('comparison-table-2');
  expect(new Set(idsOf(html)).size).toBe(idsOf(html).length);
  expect(files.get('report.md')).toContain('r64');
});

test('ten arms, one of which failed in every run: counted, drawn, and no table twice', async () => {
  const arms = Array.from({ length: 10 }, (_, i) => `arm${i}`);
  const { runs, summary: whole } = suiteOf(arms, [0, 1, 2]);
  expect(whole.comparisons.length).toBe(9);
  failArm(runs, 'arm9');
  const summary = summarizeRuns(runs, { suite: 'ten', createdAt: whole.created_at, baseline: 'arm0' });
  expect(verdictText(summary)).toMatch(/^Of 8 comparisons with arm0, 4 needed less peak memory, 0 more, 4 undecided;/);
  const files = await renderReport({ runs, summary });
  const html = files.get('report.html')!;
  expect(html).toContain('Runs that did not end well: 3 of arm9');
  expect(html).toContain('Suite ten: 10 arms');
  expect(new Set(idsOf(html)).size).toBe(idsOf(html).length);
  // nine arms with a colour each, none of them drawn in another's
  const loss = files.get('charts/loss.svg')!;
  const colours = new Set([...loss.matchAll(/stroke="var\(--arm-(\d+)\)"/g)].map(([, n]) => n));
  expect(colours.size).toBe(9);
});

test('arms in cases are paired within each, and the case stands in every table and in the CSV', async () => {
  const { runs, summary } = suiteOf(['lora', 'qlora'], [0, 1], ['t64', 't128']);
  expect(summary.arms.map(({ arm, case: name, n }) => [arm, name, n])).toEqual([
    ['lora', 't64', 2],
    ['qlora', 't64', 2],
    ['lora', 't128', 2],
    ['qlora', 't128', 2],
  ]);
  expect(summary.comparisons.map(({ treatment, case: name, n }) => [treatment, name, n])).toEqual([
    ['qlora', 't64', 2],
    ['qlora', 't128', 2],
  ]);
  const files = await renderReport({ runs, summary });
  expect(files.get('report.html')).toContain('QLoRA, t128');
  const [head, first] = files.get('runs.csv')!.split('\r\n');
  expect(first?.split(',')[head!.split(',').indexOf('case')]).toBe('t64');
});

test('forty-one runs and more are drawn by arm, eleven arms and more without their curves', async () => {
  const arms = Array.from({ length: 11 }, (_, i) => `a${i}`);
  const { runs, summary } = suiteOf(arms, [0, 1, 2, 3]);
  const html = (await renderReport({ runs, summary })).get('report.html')!;
  expect(html).toContain('The loss curves of 11 arms are left out');
  expect(html.match(/Median by run: (.*?)</)?.[1]?.split(';').length).toBe(11);
});

test('only the case of failures: no arm has a run that ended well', async () => {
  const { runs } = suiteOf(['a', 'b'], [0]);
  for (const run of runs) run.run_info.status = 'error';
  const summary = summarizeRuns(runs, { suite: 'none', createdAt: '2026-01-01T00:00:00.000Z' });
  expect(verdictText(summary)).toMatch(/^No comparison/);
  expect((await renderReport({ runs, summary })).get('report.md')).toContain('did not end well: 1 of a, 1 of b');
});

test('cells of the CSV that a spreadsheet would run stay text, in the columns that people name', async () => {
  const { runs, summary } = suiteOf(['=1+1', '@b'], [0], ['-c']);
  const csv = (await renderReport({ runs, summary })).get('runs.csv')!;
  for (const cell of ["'=1+1", "'@b", "'-c"]) expect(csv).toContain(cell);
});
