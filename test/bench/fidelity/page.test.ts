/** docs/fidelity.md: what the script makes of results/fidelity, and plain about what is missing or missed. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, test } from 'vitest';

const SCRIPT = new URL('../../../bench/fidelity/publish.mjs', import.meta.url).pathname;
const fidelity = (...args: string[]) => spawnSync(process.execPath, [SCRIPT, ...args], { encoding: 'utf8' });

const record = (row: number, figures: object[]) => ({
  row,
  title: `Row ${row}`,
  command: 'make it',
  measured: '2026-01-02',
  environment: { os: 'Linux', torch: '2.13.0' },
  figures,
});

function page(records: Record<string, object>): { text: string; status: number | null; stdout: string } {
  const folder = mkdtempSync(path.join(tmpdir(), 'nibble-page-'));
  for (const [name, value] of Object.entries(records))
    writeFileSync(path.join(folder, `${name}.json`), JSON.stringify(value));
  const file = path.join(folder, 'page.md');
  const { status, stdout, stderr } = fidelity('--page-only', '--results', folder, '--page', file);
  return { text: status === 1 && stderr !== '' ? stderr : readFileSync(file, 'utf8'), status, stdout };
}

test('docs/fidelity.md is what results/fidelity makes', () => {
  const { status, stderr } = fidelity('--check');
  expect(stderr).toBe('');
  expect(status).toBe(0);
});

test('a page that was edited is found', () => {
  const file = path.join(mkdtempSync(path.join(tmpdir(), 'nibble-page-')), 'page.md');
  writeFileSync(file, '# Fidelity\n');
  expect(fidelity('--check', '--page', file).status).toBe(1);
});

test('a row without a record is not measured, one with a miss says so', () => {
  const { text, status, stdout } = page({
    a: record(1, [{ what: 'bytes', reached: 1234, bound: 0, unit: 'bytes' }]),
    b: record(2, [
      { what: 'logits', reached: 1e-5, bound: 1e-4, unit: 'of max |logit|', note: 'small' },
      { what: 'seen', reached: 23.45678, bound: null, unit: '' },
    ]),
  });
  expect(status).toBe(1);
  expect(text).toContain('| bytes | 1,234 | 0 | bytes | **misses** |');
  expect(text).toContain('| logits | 1.0e-5 | 1e-4 | of max \\|logit\\| | within | small |');
  expect(text).toContain('| seen | 23.46 | none |  | reported |  |');
  expect(text).toContain('**1 of 1 figures miss their bound**');
  expect(text).toContain('Measured 2026-01-02 by `make it`: os Linux; torch 2.13.0.');
  expect(text.match(/^Not measured\.$/gm)?.length).toBe(6);
  expect(stdout).toContain('3. Training steps of every architecture against PEFT: not measured');
});

test('of a row the 50 steps come first, then what builds on them, then the others by name', () => {
  const titled = (title: string) => ({ ...record(3, [{ what: 'loss', reached: 0, bound: 1, unit: '' }]), title });
  const names = ['trainer', 'training', 'adapter-options', 'adapter', 'packing', 'training-planted-bugs'];
  const { text } = page(Object.fromEntries(names.map((name) => [name, titled(name)])));
  expect([...text.matchAll(/^### (.*)$/gm)].map(([, title]) => title)).toEqual([
    'training',
    'training-planted-bugs',
    'trainer',
    'packing',
    'adapter',
    'adapter-options',
  ]);
});

test('not a number misses every bound', () => {
  const { text, status } = page({ a: record(3, [{ what: 'loss', reached: Number.NaN, bound: 1, unit: '' }]) });
  expect(status).toBe(1);
  expect(text).toContain('| loss | not a number | 1 |  | **misses** |');
});

test('figures of several subjects become columns', () => {
  const figures = ['llama', 'phi3', 'bias: all', 'd', 'e'].flatMap((name) => [
    { what: `${name}: loss`, reached: 2e-7, bound: 5e-6, unit: 'relative' },
    { what: `${name}: update`, reached: name === 'phi3' ? 0.3 : 1e-6, bound: 0.05, unit: '2-norm' },
  ]);
  figures.pop();
  const { text } = page({ a: record(3, figures) });
  expect(text).toContain('|  | loss, relative (5e-6) | update, 2-norm (5e-2) |');
  expect(text).toContain('| llama | 2.0e-7 | 1.0e-6 |');
  expect(text).toContain('| phi3 | 2.0e-7 | **0.3 (misses)** |');
  expect(text).toContain('| bias: all | 2.0e-7 | 1.0e-6 |\n| d | 2.0e-7 | 1.0e-6 |\n| e | 2.0e-7 | none |');
});

test.each([
  ['row is 9', record(9, [{ what: 'x', reached: 0, bound: 0, unit: '' }])],
  ['it has no figures', record(1, [])],
  ['x: reached is soon', record(1, [{ what: 'x', reached: 'soon', bound: 0, unit: '' }])],
])('a record is refused: %s', (words, wrong) => {
  expect(page({ wrong }).text).toContain(`results/fidelity/wrong.json: ${words}`);
});
