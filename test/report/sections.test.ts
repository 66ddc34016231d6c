import { expect, test } from 'vitest';
import { type Block, chartsOf, type Inline } from '../../src/report/document.ts';
import { buildReport, renderReport } from '../../src/report/report.ts';
import { memoryBalance } from '../../src/report/sections/memory.ts';
import { verdict } from '../../src/report/sections/verdict.ts';
import { type CategoryBytes, totalBytes } from '../../src/results/run-schema.ts';
import { CATEGORIES, makeRun, makeRuns, makeSummary } from './fixture.ts';

const textOf = (content: readonly Inline[]) =>
  content.map((inline) => (typeof inline === 'string' ? inline : inline.text)).join('');
const proseOf = (blocks: readonly Block[]) =>
  blocks.flatMap((block) => ('content' in block ? [textOf(block.content)] : [])).join('\n');

test('at three paired seeds the verdict gives ranges, names bytes, and neither a faster nor a better arm', () => {
  expect(textOf(verdict(makeSummary(makeRuns())))).toBe(
    'QLoRA needed 10.0 % less peak memory than LoRA (6.30 MiB against 7.01 MiB), ' +
      'had no proven difference in step time (698.2 ms against 622.2 ms; +12.1 % to +12.4 %), ' +
      'and had no proven difference in final evaluation loss, +0.0050 (−0.0080 to +0.0180); ' +
      'n = 3 paired seeds, medians of pairs with their range. Fewer than 6 pairs name no winner in time or quality. ' +
      'Before training its loss was 0.0310 higher, which is what its base brings; training took 0.0260 more off QLoRA ' +
      '(standard error over rows 0.0000).',
  );
});

test('at eight seeds on a GPU time has a winner; on a software driver it has none, and the reason is said', async () => {
  const runs = makeRuns([0, 1, 2, 3, 4, 5, 6, 7]);
  const software = makeSummary(runs);
  expect(software.comparison!.paired.step_time_ms!.undecided_because).toEqual(['a software driver computed it']);
  const onGpu = runs.map((run) => {
    const gpu = { ...run.meta_info.gpu!, software_rendered: false };
    return { ...run, meta_info: { ...run.meta_info, gpu } };
  });
  const summary = makeSummary(onGpu);
  expect(textOf(verdict(summary))).toContain(
    'took 11.8 % more time a step (719.8 ms against 643.8 ms; +11.4 % to +12.2 %)',
  );
  expect(textOf(verdict(summary))).toContain('medians of pairs with their 95 % interval.');
  const report = await buildReport({ runs: onGpu, summary });
  const reasons = report.sections[0]!.blocks.find((block) => block.kind === 'list')!;
  expect(reasons.items.map(textOf)).toHaveLength(1);
  expect(textOf(reasons.items[0]!)).toMatch(/^Evaluation loss after training: /);
});

test('arms of other weights or rows have no winner in time or loss', () => {
  const runs = makeRuns([0, 1, 2, 3, 4, 5, 6, 7]).map((run) => {
    const gpu = { ...run.meta_info.gpu!, software_rendered: false };
    return { ...run, meta_info: { ...run.meta_info, gpu } };
  });
  expect(makeSummary(runs).comparison!.paired.step_time_ms!.winner).toBe('lora');
  const other = structuredClone(runs);
  for (const run of other)
    if (run.run_info.arm === 'qlora') run.meta_info.model_info.sha256_of_weights = '0'.repeat(64);
  const { paired } = makeSummary(other).comparison!;
  expect(paired.step_time_ms!.undecided_because).toEqual(['the arms had other weights']);
  expect(paired.eval_loss!.undecided_because[0]).toBe('the arms had other weights');
  for (const run of runs) if (run.run_info.arm === 'qlora') run.eval_info.data_hashes.train = '1'.repeat(64);
  expect(makeSummary(runs).comparison!.paired.step_time_ms!.undecided_because).toEqual([
    'the arms had other training rows',
  ]);
});

test('with two seeds noisy metrics have no winner; bytes that repeat have one', async () => {
  const runs = makeRuns([0, 1]);
  const summary = makeSummary(runs);
  const report = await buildReport({ runs, summary });
  const table = report.sections[0]!.blocks.find((block) => block.kind === 'table')!;
  expect(table.columns.at(-1)).toBe('winner');
  expect(table.rows.map((row) => row.at(-1))).toEqual(['QLoRA', '~', '~', '~', '~', '~']);
});

test('the difference in loss stands split, with what the rows leave open', async () => {
  const runs = makeRuns();
  const report = await buildReport({ runs, summary: makeSummary(runs) });
  const split = report.sections[0]!.blocks.find((block) => block.kind === 'table' && block.id === 'quality-split')!;
  if (split.kind !== 'table') throw new Error('no table');
  expect(split.rows.map((row) => row.slice(1).map((cell) => textOf([cell])))).toEqual([
    ['+0.0310', '0.0011', '+0.0288', '+0.0332', '31'],
    ['+0.0260', '0.0000', '+0.0260', '+0.0260', '31'],
    ['+0.0050', '0.0011', '+0.0028', '+0.0072', '31'],
  ]);
});

test('records from before rows were kept are read, and a notice says what that means', () => {
  const old = makeRuns().map((run) => {
    const { row_losses, ...eval_info } = run.eval_info;
    return { ...run, eval_info };
  });
  const summary = makeSummary(old);
  expect(summary.notices).toEqual([
    '6 of 6 records lack the losses of single rows: what is said of quality holds for these rows alone',
  ]);
  expect(summary.comparison!.quality!.before).toEqual({ median_difference: expect.closeTo(0.031, 12), rows: null });
});

test('one arm alone has a report and no comparison', async () => {
  const runs = [makeRun('lora', 0), makeRun('lora', 1)];
  const report = await buildReport({ runs, summary: makeSummary(runs, null) });
  expect(proseOf(report.lead)).toContain('No comparison');
  expect(report.sections.map(({ id }) => id)).toEqual([
    'settings',
    'memory',
    'speed',
    'quality',
    'runs',
    'environment',
    'repeat',
  ]);
});

test('sections stand in reading order', async () => {
  const runs = makeRuns();
  const report = await buildReport({ runs, summary: makeSummary(runs) });
  expect(report.lead.map(({ kind }) => kind)).toEqual(['verdict', 'banner']);
  expect(report.sections.map(({ id }) => id)).toEqual([
    'comparison',
    'settings',
    'memory',
    'speed',
    'quality',
    'pareto',
    'scale',
    'runs',
    'environment',
    'repeat',
  ]);
});

test('a software driver is announced, a GPU is not', async () => {
  const runs = makeRuns();
  const banner = proseOf((await buildReport({ runs, summary: makeSummary(runs) })).lead);
  expect(banner).toContain(
    'Rendered on SwiftShader, a software driver: times compare the two arms with each other, they say nothing about a GPU.',
  );
  const onGpu = structuredClone(runs);
  for (const run of onGpu) run.meta_info.gpu!.software_rendered = false;
  expect(proseOf((await buildReport({ runs: onGpu, summary: makeSummary(onGpu) })).lead)).not.toContain('software');
});

test('the balance of memory sums to the difference of the peaks', () => {
  const { base, workspace, rest, net } = memoryBalance(CATEGORIES.lora, CATEGORIES.qlora);
  expect(base).toBe(561_664 + 7_421 - 1_443_072);
  expect(workspace).toBe(131_072);
  expect(base + workspace + rest).toBe(net);
  expect(net).toBe(totalBytes(CATEGORIES.qlora) - totalBytes(CATEGORIES.lora));
});

test('where QLoRA needs more memory the report says so and why', async () => {
  const runs = structuredClone(makeRuns());
  const grown: CategoryBytes = { ...CATEGORIES.qlora, workspace: 2_097_152 };
  for (const run of runs.filter(({ run_info }) => run_info.arm === 'qlora')) {
    run.train_info.memory!.by_category = grown;
    run.train_info.memory!.allocated.peak = totalBytes(grown);
  }
  const report = await buildReport({ runs, summary: makeSummary(runs) });
  const memory = proseOf(report.sections.find(({ id }) => id === 'memory')!.blocks);
  expect(memory).toContain(
    'Why QLoRA did not save memory at this size (+1007.0 KiB): quantizing the base freed 853.5 KiB',
  );
  expect(memory).toContain('took 1.81 MiB of that back');
  expect(textOf(verdict(makeSummary(runs)))).toContain('needed 14.0 % more peak memory');
});

test('a failed run is announced, listed with its message, and left out of tables and charts', async () => {
  const failed = structuredClone(makeRun('qlora', 3));
  failed.run_info.status = 'diverged';
  failed.run_info.error = { kind: 'DataError', message: 'loss is not finite in step 7', stack: null };
  const runs = [...makeRuns(), failed];
  const report = await buildReport({ runs, summary: makeSummary(runs) });
  expect(proseOf(report.lead)).toContain('1 of QLoRA');
  const blocksOf = (id: string) => report.sections.find((section) => section.id === id)!.blocks;
  const list = blocksOf('runs').find((block) => block.kind === 'list')!;
  expect(list.items.map(textOf)).toEqual([`${failed.run_info.run_id} DataError: loss is not finite in step 7`]);
  for (const id of ['step-times', 'evaluation']) {
    const table = report.sections
      .flatMap(({ blocks }) => blocks)
      .find((block) => block.kind === 'table' && block.id === id);
    expect(table?.kind === 'table' && table.rows.length).toBe(6);
  }
  for (const chart of chartsOf(report)) expect(chart.description).not.toContain('seed 3');
});

test('texts of eval_generate stand in both reports, arm by arm, whatever they hold', async () => {
  const evil = { prompt: 'So | <b>', before: '</td><script>alert(1)</script>', after: null };
  const runs = makeRuns().map((run) => ({ ...run, eval_info: { ...run.eval_info, samples: [evil] } }));
  const summary = makeSummary(runs);
  const files = await renderReport({ runs, summary });
  const markdown = files.get('report.md')!.split('\n');
  const rows = markdown.filter((line) => line.includes('So \\| &lt;b&gt;'));
  expect(rows).toEqual(
    ['LoRA, seed 0', 'QLoRA, seed 0'].map(
      (run) => `| ${run} | So \\| &lt;b&gt; | &lt;/td&gt;&lt;script&gt;alert(1)&lt;/script&gt; | – |`,
    ),
  );
  expect(markdown).toContain('## Samples');
  const page = files.get('report.html')!;
  expect(page).toContain('&lt;/td&gt;&lt;script&gt;alert(1)');
  expect(page).not.toContain('<script>alert(1)');
  const report = await buildReport({ runs: makeRuns(), summary: makeSummary(makeRuns()) });
  expect(report.sections.some(({ id }) => id === 'samples')).toBe(false);
});

test('of many texts the report shows the first, and says how many it leaves out', async () => {
  const samples = Array.from({ length: 50 }, (_, i) => ({ prompt: `p${i}`, before: 'a', after: 'b' }));
  const runs = makeRuns().map((run) => ({ ...run, eval_info: { ...run.eval_info, samples } }));
  const { sections } = await buildReport({ runs, summary: makeSummary(runs) });
  const blocks = sections.find(({ id }) => id === 'samples')!.blocks;
  expect(proseOf(blocks)).toContain('60 more texts are left out');
  expect(blocks.find((block) => block.kind === 'table')!.rows).toHaveLength(40);
});
