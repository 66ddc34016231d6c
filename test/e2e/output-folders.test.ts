/** Two of each command at once, in one folder: one works, the other is refused, and nothing is written over. */
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { benchCommand } from '../../src/cli/bench/command.ts';
import { publish } from '../../src/cli/bench/publish.ts';
import { reportAgain } from '../../src/cli/bench/run.ts';
import { quantizeCommand } from '../../src/cli/quantize/command.ts';
import { runQuantize } from '../../src/cli/quantize/run.ts';
import { processSpace } from '../../src/node/process-identity.ts';
import { nibble, type Outcome } from '../cli/fakes.ts';
import { makeRuns, makeSummary } from '../report/fixture.ts';
import { directory, GOLDEN, nibbleTrain } from './nibble.ts';

const MODEL = path.join(GOLDEN, 'formats', 'llama-untied-f32');
const ROW = `${JSON.stringify({ input_ids: [1, 2, 3, 4, 5, 6, 7, 8] })}\n`;

const quantize = (...args: string[]) => nibble(['quantize', ...args], [(c) => quantizeCommand(c, runQuantize)]);
const bench = (...args: string[]) =>
  nibble(['bench', ...args], [(c) => benchCommand(c, { report: reportAgain, publish })]);

/** The folder of a suite that has run. */
function suiteFolder(at: string): string {
  const runs = makeRuns();
  mkdirSync(at, { recursive: true });
  for (const run of runs)
    writeFileSync(path.join(at, `${run.run_info.arm}-seed${run.run_info.seed}.run.json`), JSON.stringify(run));
  writeFileSync(path.join(at, 'summary.json'), JSON.stringify(makeSummary(runs)));
  writeFileSync(path.join(at, 'suite.yaml'), 'suite: quick\n');
  const named = runs.map(({ run_info: { run_id, arm, seed, status } }) => ({ run_id, arm, seed, status }));
  const manifest = {
    schema_version: 2,
    suite: 'quick',
    created_at: '2026-12-01T00:00:00.000Z',
    command: [],
    inputs: [],
    runs: named.map((run) => ({ ...run, file: `${run.arm}-seed${run.seed}.run.json` })),
  };
  writeFileSync(path.join(at, 'suite.json'), JSON.stringify(manifest));
  return at;
}

function expectOneRefused(outcomes: readonly Outcome[], name: string): void {
  const [first, second] = [...outcomes].sort((a, b) => a.code - b.code) as [Outcome, Outcome];
  expect([first.code, second.code], first.stderr + second.stderr).toEqual([0, 2]);
  expect(second.stdout).toBe('');
  expect(second.stderr).toMatch(
    new RegExp(`nibble: ${name}: .* is (in use: (process \\d+ on|this program writes)|just being taken)`),
  );
}

const claims = (at: string) =>
  readdirSync(at, { recursive: true, encoding: 'utf8' }).filter((f) => f.includes('.nibble'));

describe('two at once', () => {
  test('nibble train', async () => {
    const root = directory({ 'rows.jsonl': ROW });
    const output = path.join(root, 'run');
    const train = () =>
      nibbleTrain(
        ...['--model_name_or_path', MODEL, '--datasets', path.join(root, 'rows.jsonl'), '--output_dir', output],
        ...['--max_steps', '1', '--lora_r', '2'],
      );
    expectOneRefused(await Promise.all([train(), train()]), 'output_dir');
    expect(existsSync(path.join(output, 'adapter_model.safetensors'))).toBe(true);
    expect(claims(root)).toEqual([]);
  });

  test('nibble quantize', async () => {
    const root = directory();
    const out = path.join(root, 'out');
    expectOneRefused(await Promise.all([quantize(MODEL, out), quantize(MODEL, out)]), 'out');
    expect(existsSync(path.join(out, 'config.json'))).toBe(true);
    expect(readdirSync(root)).toEqual(['out']);
    expect(claims(root)).toEqual([]);
  });

  test('nibble bench report, into a folder of its own and into the one of the suite', async () => {
    const root = directory();
    const [suite, output] = [suiteFolder(path.join(root, 'suite')), path.join(root, 'both')];
    const joint = () => bench('report', suite, '--output', output);
    expectOneRefused(await Promise.all([joint(), joint()]), '--output');
    expectOneRefused(await Promise.all([bench('report', suite), bench('report', suite)]), 'folder');
    for (const at of [suite, output]) expect(readdirSync(at)).toContain('report.html');
    expect(claims(root)).toEqual([]);
  });

  test('nibble bench publish', async () => {
    const root = directory();
    const folders = ['a', 'b'].map((name) => suiteFolder(path.join(root, 'local', name)));
    const outcomes = await Promise.all(folders.map((folder) => bench('publish', folder, '--as', 'h200')));
    expect(outcomes.map(({ code }) => code).sort()).toEqual([0, 2]);
    expect(outcomes.map(({ stderr }) => stderr).join('')).toMatch(
      /is there already, nothing was published|is in use|is just being taken by another process/,
    );
    expect(readdirSync(path.join(root, 'local')).sort()).toEqual(['a', 'b']);
    expect(readdirSync(path.join(root, 'h200'))).toContain('summary.json');
    expect(claims(root)).toEqual([]);
  });
});

describe('nibble bench publish', () => {
  test.each(['../evil', 'a/b', '/tmp/evil', '..', 'con'])('takes no name that leads elsewhere: %s', async (name) => {
    const root = directory();
    const folder = suiteFolder(path.join(root, 'local', 'run'));
    const { code, stderr } = await bench('publish', folder, '--as', name);
    expect([code, stderr]).toEqual([2, expect.stringMatching(/^nibble: --as: got .*, wanted a name for a folder/)]);
    expect(readdirSync(root)).toEqual(['local']);
  });

  test('takes what is at rest alone, and no link to it', async () => {
    const root = directory();
    const folder = suiteFolder(path.join(root, 'local', 'run'));
    const claim = { id: 'x', pid: process.pid, started: null, space: 'elsewhere', host: 'there', since: 'now' };
    writeFileSync(path.join(folder, '.nibble-claim.json'), JSON.stringify(claim));
    const busy = await bench('publish', folder);
    expect([busy.code, busy.stderr]).toEqual([2, expect.stringContaining('is in use: process')]);
    renameSync(folder, path.join(root, 'elsewhere'));
    symlinkSync(path.join(root, 'elsewhere'), folder);
    const link = await bench('publish', folder);
    expect([link.code, link.stderr]).toEqual([2, expect.stringContaining('is a symbolic link to')]);
    expect(readdirSync(root).sort()).toEqual(['elsewhere', 'local']);
  });
});

test('quantize refuses what it could not replace before it reads a weight', async () => {
  const root = directory();
  const link = path.join(root, 'link');
  symlinkSync(directory(), link);
  for (const [out, says] of [
    [link, 'is a symbolic link to'],
    ['.', 'is the current folder'],
  ] as const) {
    const { code, stderr } = await quantize(MODEL, out);
    expect([code, stderr.split('\n').length]).toEqual([2, 2]);
    expect(stderr).toContain(says);
  }
});

test('a run that is refused later leaves no folder, and one that was killed leaves a folder that says so', async () => {
  const root = directory({ 'rows.jsonl': '{"input_ids": [1, 32]}\n' });
  const output = path.join(root, 'a', 'run');
  const argv = ['--model_name_or_path', MODEL, '--datasets', path.join(root, 'rows.jsonl'), '--output_dir', output];
  expect((await nibbleTrain(...argv)).code).toBe(2);
  expect(readdirSync(root)).toEqual(['rows.jsonl']);
  mkdirSync(output, { recursive: true });
  for (const name of ['config.yaml', 'environment.json']) writeFileSync(path.join(output, name), '{}');
  const dead = { id: 'x', pid: 2 ** 22 + 1, started: '1', host: 'there', since: 'then' };
  writeFileSync(path.join(output, '.nibble-claim.json'), JSON.stringify({ ...dead, space: processSpace() }));
  const { stderr } = await nibbleTrain(...argv);
  expect(stderr).toContain('holds a run that did not end (config.yaml and no trainer_state.json). Delete');
  expect(readFileSync(path.join(output, 'config.yaml'), 'utf8')).toBe('{}');
});
