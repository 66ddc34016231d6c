/**
 * A suite is published, copied to another place, and repeated from there: in a fresh clone, and by the package in a project of its
 * own. The adapters are the same to the byte. What was edited is noticed.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { RepeatedRun } from '../../src/bench/repeat.ts';
import { Project } from './project.ts';

const ROOT = new URL('../../', import.meta.url).pathname;
const DEVICE = process.env.NIBBLE_TEST_DEVICE ?? 'swiftshader';
const RUNS = ['lora-seed0', 'nf4-seed0', 'lora-seed1', 'nf4-seed1'];
const SUITE = (rows: string) => `# rows of the user's own, by a path that nobody else has
suite: repeated
seeds: [0, 1]
base:
  model_name_or_path: builtin:tiny
  datasets: [{ path: ${rows} }]
  eval_datasets: [{ path: builtin:sotu-eval }]
  max_length: 32
  eval_on_start: true
  lora_r: 2
  lora_target_modules: [q_proj]
  per_device_train_batch_size: 1
  per_device_eval_batch_size: 8
  max_steps: 8
arms: { lora: {}, nf4: { method: qlora } }
`;

const home = mkdtempSync(path.join(os.tmpdir(), 'nibble-publisher-'));
const away = mkdtempSync(path.join(os.tmpdir(), 'nibble-reader-'));
let project: Project | undefined;
afterAll(() => {
  for (const folder of [home, away]) rmSync(folder, { recursive: true, force: true });
  project?.remove();
});

function nibble(root: string, cwd: string, ...args: string[]) {
  const env = { ...process.env, NIBBLE_DEVICE: DEVICE, NO_COLOR: '1' };
  const argv = [path.join(root, 'dist/cli/main.js'), 'bench', ...args];
  const { status, stdout, stderr } = spawnSync(process.execPath, argv, { cwd, env, encoding: 'utf8' });
  return { code: status, stdout, stderr };
}

const copy = path.join(away, 'repeated');

beforeAll(() => {
  const rows = path.join(home, 'private', 'rows.jsonl');
  mkdirSync(path.dirname(rows));
  const verse = (i: number) =>
    JSON.stringify({ text: `Call me Ishmael, said the ${i}. sailor, and looked at the sea.` });
  writeFileSync(rows, Array.from({ length: 12 }, (_, i) => `${verse(i)}\n`).join(''));
  writeFileSync(path.join(home, 'suite.yaml'), SUITE(rows));
  // a flag is part of what was asked for
  const run = nibble(ROOT, home, 'run', 'suite.yaml', '--max_steps', '3', '--resume', 'results/local/mine');
  expect([run.code, run.code === 0 ? '' : run.stderr]).toEqual([0, '']);
  const published = nibble(ROOT, home, 'publish', 'results/local/mine', '--as', 'repeated');
  expect([published.code, published.stderr]).toEqual([0, '']);
  renameSync(path.join(home, 'results/repeated'), copy);
  // nothing of the publisher's machine is left for the reader
  rmSync(home, { recursive: true });
}, 600_000);

function repeated(root: string, cwd: string): readonly RepeatedRun[] {
  const { code, stdout, stderr } = nibble(root, cwd, 'repeat', copy, '--json');
  expect([code, code === 0 ? '' : stderr]).toEqual([0, '']);
  return (JSON.parse(stdout) as { runs: readonly RepeatedRun[] }).runs;
}

const ALL = ['settings', 'weights', 'rows', 'parameters', 'tokens', 'memory', 'losses', 'evaluation', 'adapter'];

function expectSame(runs: readonly RepeatedRun[]): void {
  expect(runs.map(({ run }) => run).sort()).toEqual([...RUNS].sort());
  for (const { agreements, excuses, problem } of runs) {
    expect([problem, excuses]).toEqual([null, { bits: [], bytes: [] }]);
    expect(agreements.map(({ what }) => what)).toEqual(ALL);
    expect(agreements.filter(({ agrees, required }) => !agrees || !required)).toEqual([]);
  }
}

test('in a fresh clone: the same adapters to the byte', { timeout: 1_200_000 }, () => {
  const clone = path.join(away, 'clone');
  execFileSync('git', ['clone', '--quiet', ROOT, clone]);
  // as npm ci would install them, without its network
  symlinkSync(path.join(ROOT, 'node_modules'), path.join(clone, 'node_modules'));
  execFileSync('npm', ['run', 'build'], { cwd: clone, stdio: 'ignore' });
  expectSame(repeated(clone, clone));
});

test('by the package in a project of its own: the same adapters to the byte', { timeout: 1_200_000 }, () => {
  project = new Project();
  expectSame(repeated(path.join(project.folder, 'node_modules/nibble-tune'), project.folder));
});

test('what was edited in the copy is noticed, before anything runs', { timeout: 120_000 }, () => {
  const edit = (file: string, change: (text: string) => string): string => {
    const at = path.join(copy, file);
    const text = readFileSync(at, 'utf8');
    writeFileSync(at, change(text));
    const { code, stdout, stderr } = nibble(ROOT, away, 'repeat', copy);
    writeFileSync(at, text);
    expect([code, stdout]).toEqual([2, '']);
    return stderr;
  };
  expect(edit('lora-seed0.run.json', (text) => text.replace(/"perplexity": \d+/, '"perplexity": 1'))).toMatch(
    /lora-seed0\.run\.json: was edited after nibble wrote it/,
  );
  expect(edit('data/rows.jsonl', (text) => text.replace('a', 'e'))).toMatch(/data\/rows\.jsonl: has the hash/);
  expect(readdirSync(away)).not.toContain('results');
});
