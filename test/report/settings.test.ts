/** What a report says of settings, of memory against quality, and of what quantizing did to the weights. */
import { expect, test } from 'vitest';
import { unbeaten } from '../../src/report/charts/pareto.ts';
import type { Block, Section, Table } from '../../src/report/document.ts';
import { paretoSection } from '../../src/report/sections/pareto.ts';
import { pooledRmse, quantErrorSection } from '../../src/report/sections/quant-error.ts';
import { settingsSection } from '../../src/report/sections/settings.ts';
import { suiteOf } from './suites.ts';

const tableIn = (section: Section | null, id: string): Table | undefined =>
  section?.blocks.find((block: Block): block is Table => block.kind === 'table' && block.id === id);
const texts = (table: Table | undefined): string[][] =>
  table?.rows.map((row) => row.map((cell) => (typeof cell === 'string' ? cell : cell.text))) ?? [];

test('settings that all runs share stand once, and those of arms in a row for each', () => {
  const { runs, summary } = suiteOf(['lora', 'r16'], [0, 1]);
  for (const run of runs) run.run_info.train_config.lora_target_modules = ['q_proj', 'v_proj'];
  for (const run of runs.filter(({ run_info }) => run_info.arm === 'r16')) run.run_info.train_config.lora_r = 16;
  const section = settingsSection(runs, { ...summary, division: 'open' });
  const shared = new Map(texts(tableIn(section, 'settings-table')).map(([label, value]) => [label, value]));
  expect(shared.get('targets')).toBe('q_proj, v_proj');
  expect(shared.get('asks')).toBe('Which arm?');
  expect(shared.get('division')).toContain('open: arms may differ in anything');
  expect(shared.get('rows, train')).toBe('96');
  expect(shared.get('seeds')).toBe('0, 1');
  expect(shared.has('rank')).toBe(false);
  expect(tableIn(section, 'settings-differences')?.columns).toEqual(['arm', 'rank']);
  expect(texts(tableIn(section, 'settings-differences'))).toEqual([
    ['LoRA', '8'],
    ['r16', '16'],
  ]);
});

test('an arm that another beats in memory and in loss is off the line', () => {
  const point = (label: string, bytes: number, loss: number) => ({ label, bytes, loss });
  const points = [point('a', 10, 1), point('b', 5, 2), point('c', 10, 2), point('d', 4, 3)];
  expect(unbeaten(points).map(({ label }) => label)).toEqual(['d', 'b', 'a']);
});

test('arms of cases that ask for other work are not set against each other', async () => {
  expect(await paretoSection(suiteOf(['lora', 'qlora'], [0], ['t64', 't128']).summary)).toBeNull();
  expect(await paretoSection(suiteOf(['lora', 'qlora'], [0]).summary)).not.toBeNull();
});

test('errors are pooled over elements, smallest first, and arms that store the base alike share a row', async () => {
  const tensor = (rmse: number, elements: number) => ({ name: 'model.layers.0.w', elements, rmse, cosine: 0.99 });
  expect(pooledRmse([tensor(1, 1), tensor(3, 3)])).toBeCloseTo(Math.sqrt((1 + 27) / 4), 12);
  const { runs, summary } = suiteOf(['lora', 'fp4', 'x', 'nf4', 'y', 'nf4-too'], [0]);
  for (const { run_info, train_info } of runs)
    if (run_info.quantization_config !== null)
      train_info.quantization_error = [tensor(run_info.arm === 'fp4' ? 0.002 : 0.001, 4)];
  const rows = texts(tableIn(await quantErrorSection(runs, summary), 'quantization-error'));
  expect(rows.map(([arm, , , rmse, over]) => [arm, rmse, over])).toEqual([
    ['nf4; nf4-too', '1.000e-3', '×1.000'],
    ['fp4', '2.000e-3', '×2.000'],
  ]);
});
