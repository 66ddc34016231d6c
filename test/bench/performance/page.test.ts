/** docs/performance.md and its pictures: what the records make, and plain about what is missing or missed. */
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { drawPictures } from '../../../bench/performance/charts.mjs';
import { renderPage } from '../../../bench/performance/page.mjs';
import { PROMISES, ROWS } from '../../../bench/performance/promises.mjs';
import type { Curve, Figure } from '../../../bench/shared/records.mjs';
import { misses, readRecords } from '../../../bench/shared/records.mjs';

const ROOT = new URL('../../../', import.meta.url).pathname;
const text = (file: string) => readFileSync(path.join(ROOT, file), 'utf8');

const record = (
  row: number,
  figures: readonly Figure[],
  rest: { remark?: string; curves?: readonly Curve[] } = {},
) => ({
  row,
  title: `Title ${row}`,
  command: 'make it',
  measured: '2026-01-02',
  environment: { os: 'Linux' },
  figures,
  ...rest,
});

test('docs/performance.md and its pictures are what results/performance makes', async () => {
  const records = readRecords(path.join(ROOT, 'results/performance'), ROWS, 'results/performance');
  const pictures = await drawPictures(records);
  expect(pictures.map(({ file }) => file).sort()).toEqual([
    'decode-batch.svg',
    'decode-context.svg',
    'decode-memory.svg',
    'memory-sequence-Llama-2-7B.svg',
    'memory-sequence-small.svg',
    'memory-vocabulary.svg',
  ]);
  expect(text('docs/performance.md')).toBe(renderPage(records, pictures));
  for (const { file, svg } of pictures) expect(text(`docs/performance/${file}`)).toBe(`${svg}\n`);
});

test('a picture has both themes, its points and its description', async () => {
  const values = [512, 1024].map((x) => ({ x, y: x * 2 ** 20 }));
  const curve = { picture: 'sequence-small', method: 'LoRA', checkpointing: 'off', values, run: values[0] ?? null };
  const [picture] = await drawPictures([record(7, [], { curves: [curve] })]);
  expect(picture?.svg).toContain('prefers-color-scheme:dark');
  expect(picture?.description).toBe('LoRA, checkpointing off from 0.5 to 1.0 GiB');
  expect(picture?.svg.match(/aria-roledescription|mark-symbol/g)?.length).toBeGreaterThan(0);
});

test('rows of a GPU say the command that would measure them, tests are linked', () => {
  const page = renderPage([], []);
  expect(
    page.match(/^Not measured; `bash bench\/gpu-host\/gpu-host\.sh [a-z0-9. -]+` on a GPU host would\.$/gm)?.length,
  ).toBe(5);
  const tests = PROMISES.flatMap((promise) => promise.tests ?? []);
  expect(tests.length).toBeGreaterThan(3);
  for (const file of tests) {
    expect(existsSync(path.join(ROOT, file)), file).toBe(true);
    expect(page).toContain(`[${file}](../${file})`);
  }
  const stages = text('bench/gpu-host/gpu-host.sh');
  for (const [, named] of page.matchAll(/gpu-host\.sh ([^`]+)`/g))
    for (const stage of named!.split(' '))
      expect(stages).toMatch(new RegExp(`^  ${stage.replaceAll('.', '\\.')}( |$)`, 'm'));
});

test('a figure that has to be at least its bound misses below it', () => {
  const figure = { what: 'ratio', reached: 19, bound: 20, least: true, unit: 'times' };
  expect(misses(figure)).toBe(true);
  expect(misses({ ...figure, reached: 20 })).toBe(false);
  expect(misses({ ...figure, reached: null })).toBe(true);
  const page = renderPage([record(8, [figure], { remark: 'Why it is so.' })], []);
  expect(page).toContain('| ratio | 19 | at least 20 | times | **misses** |');
  expect(page).toContain('**1 of 1 figures miss their bound**');
  expect(page).toContain('Why it is so.');
});
