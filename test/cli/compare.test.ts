/** nibble compare, as CI would use it: its exit code, its table, and what it refuses. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { compareCommand } from '../../src/cli/compare/command.ts';
import { runCompare } from '../../src/cli/compare/run.ts';
import type { RunRecord } from '../../src/results/run-schema.ts';
import { distribution } from '../../src/results/statistics.ts';
import { makeRun } from '../report/fixture.ts';
import { nibble } from './fakes.ts';

const root = mkdtempSync(path.join(os.tmpdir(), 'nibble-compare-'));
afterAll(() => rmSync(root, { recursive: true }));
const SEEDS = [0, 1, 2, 3, 4, 5, 6, 7];

/** Runs on a GPU, whose steps scatter by a percent; `change` makes them another version's. */
function suite(name: string, change: (run: RunRecord) => void = () => undefined, seeds = SEEDS): string {
  const folder = path.join(root, name);
  mkdirSync(folder);
  for (const arm of ['lora', 'qlora'] as const)
    for (const seed of seeds) {
      const run = structuredClone(makeRun(arm, seed));
      Object.assign(run.meta_info.gpu!, { software_rendered: false, description: 'NVIDIA X' });
      const factor = 1 + 0.01 * Math.sin(7 * seed + (arm === 'lora' ? 0 : 1));
      run.train_info.step_time_ms = distribution(run.train_info.step_time_ms!.values!.map((ms) => ms * factor));
      change(run);
      writeFileSync(path.join(folder, `${arm}-seed${seed}.run.json`), JSON.stringify(run));
    }
  return folder;
}

const slower = (by: number) => (run: RunRecord) => {
  const wobble = 1 + 0.003 * Math.sin(31 * run.run_info.seed);
  run.train_info.step_time_ms = distribution(run.train_info.step_time_ms!.values!.map((ms) => ms * by * wobble));
};
const compare = (base: string, head: string, ...more: string[]) =>
  nibble(['compare', base, head, ...more], [(c) => compareCommand(c, runCompare)]);

const base = suite('base');

test('nothing changed: exit code 0', async () => {
  const { code, stdout, stderr } = await compare(base, suite('same', slower(1)));
  expect([code, stderr]).toEqual([0, '']);
  expect(stdout).toMatch(/\nNo regression in 6 comparisons\n$/);
  expect(stdout).toMatch(/lora {3}Peak memory .* \+?0\.0 % .* 8 {2}~\n/);
});

test('8 % slower steps fail, 1 % below what counts does not, 8 % faster is better', async () => {
  const worse = await compare(base, suite('slow', slower(1.08)));
  expect([worse.code, worse.stderr]).toEqual([1, '']);
  expect(worse.stdout).toMatch(/qlora {2}Step time, median of a run .* \+7\.8 % {2}\+7\.7 % to \+7\.9 % +8 {2}worse/);
  expect(worse.stdout).toMatch(/\n2 regressions\n$/);
  const little = await compare(base, suite('little', slower(1.01)));
  expect([little.code, little.stdout]).toEqual([0, expect.stringMatching(/below the 2 % that count/)]);
  const better = await compare(base, suite('fast', slower(0.92)));
  expect([better.code, better.stdout]).toEqual([0, expect.stringMatching(/better/)]);
});

test('more memory fails where it is more than a thousandth; a higher loss fails', async () => {
  const more = (bytes: number) => (run: RunRecord) => {
    const { by_category } = run.train_info.memory!;
    run.train_info.memory!.by_category = { ...by_category, workspace: by_category.workspace + bytes };
    run.train_info.memory!.allocated.peak += bytes;
  };
  expect((await compare(base, suite('bytes', more(4096)))).code).toBe(0);
  const { code, stdout } = await compare(base, suite('bytes-more', more(1 << 16)));
  expect([code, stdout]).toEqual([1, expect.stringMatching(/lora {3}Peak memory .*worse/)]);
  const loss = (run: RunRecord) => {
    const { metrics, row_losses } = run.eval_info;
    metrics!.eval_loss.value += 0.02 + 0.001 * Math.sin(run.run_info.seed);
    row_losses!.after = row_losses!.after!.map((sum, i) => sum + 0.02 * row_losses!.tokens[i]!);
  };
  expect((await compare(base, suite('loss', loss))).stdout).toMatch(/Evaluation loss after training .*\+0\.02.* worse/);
});

test('a run that fails now is a regression', async () => {
  const failing = (run: RunRecord) => {
    if (run.run_info.arm !== 'qlora' || run.run_info.seed !== 3) return;
    run.run_info.status = 'oom';
    run.run_info.error = { kind: 'DeviceError', message: 'out of memory', stack: null };
  };
  const { code, stdout } = await compare(base, suite('failing', failing));
  expect([code, stdout]).toEqual([1, expect.stringContaining('failed now: qlora, seed 3: out of memory\n')]);
});

test('three seeds decide nothing, and single records are read', async () => {
  const few = suite('few', slower(1.08), [0, 1, 2]);
  const { code, stdout } = await compare(base, few);
  expect([code, stdout]).toEqual([0, expect.stringContaining('3 paired seeds, and 6 are needed')]);
  expect(stdout).toContain('In the base alone, and not compared: lora, seed 3; ');
  const record = (folder: string) => path.join(folder, 'lora-seed0.run.json');
  expect((await compare(record(base), record(few))).code).toBe(0);
});

test('another device, other rows, other settings and other suites are refused', async () => {
  const refused = async (name: string, change: (run: RunRecord) => void) => {
    const { code, stdout, stderr } = await compare(base, suite(name, change));
    expect([code, stdout]).toEqual([2, '']);
    return stderr;
  };
  expect(await refused('device', (run) => (run.meta_info.gpu!.description = 'NVIDIA Y'))).toMatch(
    /cannot be compared; give results of one suite on one device:\n {2}device: NVIDIA Y.* in the head, NVIDIA X/,
  );
  expect(await refused('rows', (run) => (run.eval_info.data_hashes.train = '0'.repeat(64)))).toMatch(
    /training rows: 0/,
  );
  expect(await refused('settings', (run) => (run.run_info.train_config.lora_r = 99))).toMatch(
    /lora_r: 99 in the head, /,
  );
  expect(await refused('arms', (run) => (run.run_info.arm += '-2'))).toMatch(/no arm, case and seed in common/);
  // where it lies, and what only one version knows, is no difference
  const elsewhere = (run: RunRecord) =>
    Object.assign(run.run_info.train_config, { output_dir: 'elsewhere', a_new_setting: true });
  expect((await compare(base, suite('elsewhere', elsewhere))).code).toBe(0);
});

test('JSON says how many, and what', async () => {
  const { code, stdout } = await compare(base, path.join(root, 'slow'), '--json');
  const { regressions, changes, failures } = JSON.parse(stdout);
  expect([code, regressions, failures, changes.length]).toEqual([1, 2, [], 6]);
  expect(changes[1]).toMatchObject({ arm: 'lora', metric: 'step_time_ms', verdict: 'worse', paired: { n: 8 } });
});
