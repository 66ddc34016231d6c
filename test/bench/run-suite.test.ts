/**
 * A suite in which runs fail: they are recorded, the others are summarized. A script of the test plays the runs'
 * processes.
 */
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { CRASH, KILLED } from '../../src/bench/run-child.ts';
import { runSuite, type SuiteEvent } from '../../src/bench/run-suite.ts';
import { readSuiteFolder } from '../../src/bench/suite-folder.ts';
import { loadSuite, type ResolvedSuite } from '../../src/config/index.ts';
import { ConfigError } from '../../src/errors.ts';
import { suiteManifestSchema } from '../../src/results/summary-schema.ts';
import { makeRun } from '../report/fixture.ts';

const TINY = new URL('../../bench/models/tiny', import.meta.url).pathname;

let folder: string;
let worker: string;
beforeAll(() => {
  folder = mkdtempSync(path.join(os.tmpdir(), 'nibble-suite-'));
  worker = path.join(folder, 'worker.mjs');
  writeFileSync(path.join(folder, 'rows.jsonl'), '{"text": "Call me Ishmael."}\n');
  for (const arm of ['lora', 'qlora'] as const)
    for (const seed of [0, 1, 2])
      writeFileSync(path.join(folder, `${arm}${seed}.json`), JSON.stringify(makeRun(arm, seed)));
  // qlora 1 fails with a message, qlora 2 has a bug, lora 2 dies without a message
  writeFileSync(
    worker,
    `import { copyFileSync, mkdirSync } from 'node:fs';
    import path from 'node:path';
    process.on('message', ({ arm, config, recordFile }) => {
      const run = arm + config.values.seed;
      const failed = (name, message, stack) => process.send({ kind: 'failed', name, message, stack });
      if (run === 'qlora1') return failed('DeviceError', 'llvmpipe: no\\nout of memory: use less', null);
      if (run === 'qlora2') return failed('KernelCallError', 'matmul: w is short', 'KernelCallError: at x');
      if (run === 'lora2') process.exit(3);
      if (config.values.max_length === 77) process.kill(process.pid, 'SIGKILL');
      mkdirSync(path.dirname(recordFile), { recursive: true });
      copyFileSync(path.join(${JSON.stringify(folder)}, run + '.json'), recordFile);
      process.send({ kind: 'done' });
    });`,
  );
});
afterAll(() => rmSync(folder, { recursive: true }));

function suiteOf(datasets: string, qlora = '', head = ''): ResolvedSuite {
  const text = `suite: mine\n${head}seeds: [0, 1, 2]\nbase: {model_name_or_path: ${TINY}, datasets: [{path: ${datasets}}]}
arms: {lora: {}, qlora: {method: qlora${qlora}}}\n`;
  return loadSuite({ file: { path: 'mine.yaml', text } });
}

function run(suite: ResolvedSuite, name: string, onEvent: (event: SuiteEvent) => void = () => undefined) {
  const signal = new AbortController().signal;
  const directory = path.join(folder, name);
  return runSuite(suite, { directory, device: 'auto', command: ['nibble'], signal, onEvent, worker });
}

test('failed runs are recorded with what went wrong, and enter no statistic', async () => {
  const ended: string[] = [];
  const { runs, summary } = await run(suiteOf(path.join(folder, 'rows.jsonl')), 'out', (event) => {
    if (event.type === 'run-end') ended.push(`${event.name} ${event.record.run_info.status}`);
  });
  expect(ended).toEqual([
    'lora-seed0 success',
    'qlora-seed0 success',
    'qlora-seed1 oom',
    'lora-seed1 success',
    'lora-seed2 error',
    'qlora-seed2 error',
  ]);
  expect(summary.arms.map(({ arm, n, failed }) => ({ arm, n, failed }))).toEqual([
    { arm: 'lora', n: 2, failed: 1 },
    { arm: 'qlora', n: 1, failed: 2 },
  ]);
  expect(summary.comparison).toMatchObject({ n: 1, paired: { eval_loss: { seeds: [0] } } });
  const errors = runs.map(({ run_info }) => run_info.error);
  expect(errors.filter((error) => error !== null)).toEqual([
    { kind: 'DeviceError', message: 'llvmpipe: no\nout of memory: use less', stack: null },
    { kind: CRASH, message: 'its process ended with code 3 and no word of why', stack: null },
    { kind: 'KernelCallError', message: 'matmul: w is short', stack: 'KernelCallError: at x' },
  ]);
  const [failed] = runs.filter(({ run_info }) => run_info.status === 'oom');
  expect(failed).toMatchObject({
    run_info: {
      arm: 'qlora',
      seed: 1,
      suite: 'mine',
      experiment_name: 'mine/qlora',
      peft_config: { peft_type: 'LORA' },
    },
    train_info: { memory: null, history: [] },
    meta_info: { model_info: { id: 'tiny' } },
  });
});

test('a copy of a record is refused: it is no further evidence', async () => {
  const copied = path.join(folder, 'copied');
  mkdirSync(copied);
  const record = path.join(folder, 'out', 'lora-seed0.run.json');
  for (const name of ['lora-seed0.run.json', 'lora-seed00.run.json']) copyFileSync(record, path.join(copied, name));
  await expect(readSuiteFolder(copied)).rejects.toThrow(
    /lora-seed00\.run\.json: is arm lora, seed 0, as is lora-seed0\.run\.json\. Leave one of the two out/,
  );
});

test('its folder reads back whole, in the order of the runs', async () => {
  const out = path.join(folder, 'out');
  const { runs, summary } = await readSuiteFolder(out);
  expect(runs.map(({ run_info: { arm, seed } }) => `${arm}${seed}`)).toEqual([
    'lora0',
    'qlora0',
    'qlora1',
    'lora1',
    'lora2',
    'qlora2',
  ]);
  expect(new Set(summary.run_ids).size).toBe(6);
  const manifest = suiteManifestSchema.parse(JSON.parse(readFileSync(path.join(out, 'suite.json'), 'utf8')));
  expect(manifest.runs.map(({ status }) => status)).toEqual(['success', 'success', 'oom', 'success', 'error', 'error']);
});

test('what is missing is said for all arms at once, before any run', async () => {
  const suite = suiteOf('nowhere.jsonl', ', model_name_or_path: /nowhere/tiny', 'division: open\n');

  const error = await run(suite, 'none').then(
    () => null,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(ConfigError);
  expect((error as ConfigError).problems).toEqual([
    {
      path: 'datasets[0].path',
      message: expect.stringMatching(/there is no file nowhere\.jsonl in .* \(mine\.yaml:4\)$/),
    },
    {
      path: 'model_name_or_path',
      message: expect.stringMatching(/there is no folder \/nowhere\/tiny; .*mine\.yaml:5/),
    },
  ]);
  expect(readdirSync(folder)).not.toContain('none');
});

test('a process that was killed is no bug, and is said to have been killed', async () => {
  const { runs } = await run(
    suiteOf(path.join(folder, 'rows.jsonl'), ', max_length: 77', 'division: open\n'),
    'killed',
  );
  const [error] = runs.flatMap(({ run_info }) => (run_info.error?.kind === KILLED ? [run_info.error] : []));
  expect(error?.message).toMatch(
    /^its process ended with SIGKILL and no word of why \(the system may have had no memory/,
  );
});
