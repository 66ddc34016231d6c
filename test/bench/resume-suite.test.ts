/**
 * A suite in parts, by halves and on another device: no run is made twice, none is lost, and the top says what is missing.
 * A script of the test plays the runs' processes.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { mergeFolders } from '../../src/bench/merge.ts';
import { runSuite } from '../../src/bench/run-suite.ts';
import { readSuiteFolder } from '../../src/bench/suite-folder.ts';
import { loadSuite, type ResolvedSuite } from '../../src/config/index.ts';
import type { Shard } from '../../src/node/run-types.ts';
import { makeRun } from '../report/fixture.ts';

const TINY = new URL('../../bench/models/tiny', import.meta.url).pathname;
const DIST = new URL('../../dist/', import.meta.url).pathname;

let root: string;
let worker: string;
beforeAll(() => {
  root = mkdtempSync(path.join(os.tmpdir(), 'nibble-resume-'));
  writeFileSync(path.join(root, 'rows.jsonl'), '{"text": "Call me Ishmael."}\n');
  for (const arm of ['lora', 'qlora'] as const)
    for (const seed of [0, 1, 2])
      writeFileSync(path.join(root, `${arm}${seed}.json`), JSON.stringify(makeRun(arm, seed)));
  worker = path.join(root, 'worker.mjs');
  // notes every run it makes, on the device that NIBBLE_TEST_NAME says; the record is the fixture's with this run's place
  writeFileSync(
    worker,
    `import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
    import path from 'node:path';
    import { sealed } from '${DIST}results/seal.js';
    import { sha256OfText } from '${DIST}node/environment.js';
    process.on('message', (job) => {
      const name = process.env.NIBBLE_TEST_NAME ?? 'first device';
      if (job.mustBe !== null && job.mustBe !== name)
        return process.send({ kind: 'other-device', message: 'the device is ' + name + ', and was ' + job.mustBe });
      process.send({ kind: 'device', name });
      const { arm, case: caseName, planId, suite, config, recordFile, shard } = job;
      const base = JSON.parse(readFileSync(path.join(${JSON.stringify(root)}, arm + config.values.seed + '.json'), 'utf8'));
      base.run_info = { ...base.run_info, suite, case: caseName, plan_id: planId, shard, run_id: planId };
      base.meta_info.gpu = { ...base.meta_info.gpu, description: name, driver: null };
      writeFileSync(recordFile, JSON.stringify(sealed(base, sha256OfText)));
      appendFileSync(${JSON.stringify(path.join(root, 'made.txt'))}, path.basename(recordFile) + '\\n');
      process.send({ kind: 'done' });
    });`,
  );
});
afterAll(() => rmSync(root, { recursive: true }));

function suite(more = '', lora = ''): ResolvedSuite {
  const text = `suite: mine\nseeds: [0, 1, 2]\nbase: {model_name_or_path: ${TINY}, datasets: [{path: ${root}/rows.jsonl}]${lora}}
arms: {lora: {}, qlora: {method: qlora}}\n${more}`;
  return loadSuite({ file: { path: 'mine.yaml', text } });
}

type Options = { shard?: Shard | null; device?: string; stopAfter?: number };

async function run(given: ResolvedSuite, folder: string, { shard = null, device, stopAfter }: Options = {}) {
  const controller = new AbortController();
  let ended = 0;
  if (device !== undefined) process.env.NIBBLE_TEST_NAME = device;
  else delete process.env.NIBBLE_TEST_NAME;
  writeFileSync(path.join(root, 'made.txt'), '');
  const result = await runSuite(given, {
    directory: path.join(root, folder),
    device: 'auto',
    command: ['nibble'],
    signal: controller.signal,
    shard,
    worker,
    onEvent: (event) => {
      if (event.type === 'run-end' && ++ended === stopAfter) controller.abort(new Error('stopped by the test'));
    },
  }).catch((error: Error) => error);
  const made = readFileSync(path.join(root, 'made.txt'), 'utf8').split('\n').filter(Boolean);
  return { result, made: made.map((file) => file.replace('.run.json', '')) };
}

const recordsOf = (folder: string) => readdirSync(path.join(root, folder)).filter((name) => name.endsWith('.run.json'));

test('a suite that was stopped is reported as it is, and goes on without making a run again', async () => {
  const first = await run(suite(), 'halves', { stopAfter: 2 });
  expect([first.result instanceof Error, first.made]).toEqual([true, ['lora-seed0', 'qlora-seed0']]);
  const { summary } = await readSuiteFolder(path.join(root, 'halves'));
  expect(summary.comparison?.n).toBe(1);
  expect(summary.notices[0]).toBe('4 of 6 runs are missing: qlora-seed1, lora-seed1, lora-seed2, qlora-seed2');
  const second = await run(suite(), 'halves');
  expect(second.made).toEqual(['qlora-seed1', 'lora-seed1', 'lora-seed2', 'qlora-seed2']);
  const third = await run(suite(), 'halves');
  expect(third.made).toEqual([]);
  expect(third.result).toMatchObject({ stopped: null, summary: { comparison: { n: 3 }, notices: [] } });
});

test('a folder of other settings, rows, runs or parts is refused, and nothing in it changes', async () => {
  await run(suite(), 'mine', { stopAfter: 1 });
  const before = readFileSync(path.join(root, 'mine', 'suite.json'), 'utf8');
  const refusal = async (given: ResolvedSuite, options: Options = {}) =>
    ((await run(given, 'mine', options)).result as Error).message;
  expect(await refusal(suite('', ', lora_r: 4'))).toMatch(/mine holds lora-seed0 with other settings, weights or rows/);
  expect(await refusal(suite('matrix: {max_length: [32]}\n'))).toMatch(
    /with the run lora-seed0, which is not asked for/,
  );
  expect(await refusal(suite(), { shard: { i: 1, n: 2 } })).toMatch(
    /is of the whole of the suite, and part 1\/2 is asked/,
  );
  expect(readFileSync(path.join(root, 'mine', 'suite.json'), 'utf8')).toBe(before);
});

test('another device stops the suite; what was made before stays, and the top says why', async () => {
  await run(suite(), 'moved', { stopAfter: 3 });
  const { result, made } = await run(suite(), 'moved', { device: 'second device' });
  const why = 'Stopped before run 4 of 6 (lora-seed1): the device is second device, and was first device';
  expect(made).toEqual([]);
  expect(result).toMatchObject({ stopped: why, summary: { comparison: { n: 1 } } });
  const { summary } = await readSuiteFolder(path.join(root, 'moved'));
  expect(summary.notices).toEqual([
    why,
    '3 of 6 runs are missing: lora-seed1, lora-seed2, qlora-seed2',
    'Seed 1 of qlora has no run of lora beside, and no part in its comparison',
  ]);
  // back on the first one it goes on, and nothing is left to say
  const back = await run(suite(), 'moved');
  expect(back.made.length).toBe(3);
  expect(back.result).toMatchObject({ stopped: null, summary: { notices: [] } });
});

test('four parts merged are the suite in one piece; a part says that it is one', async () => {
  await run(suite(), 'whole');
  const made: string[] = [];
  for (const i of [1, 2, 3, 4]) made.push(...(await run(suite(), `part${i}`, { shard: { i, n: 4 } })).made);
  expect(made.sort()).toEqual(recordsOf('whole').map((file) => file.replace('.run.json', '')));
  const parts = [1, 2, 3, 4].map((i) => path.join(root, `part${i}`));
  expect((await readSuiteFolder(parts[1]!)).summary.notices).toEqual([
    'This is part 2 of 4: 4 of 6 runs are in the other parts',
  ]);
  expect((await readSuiteFolder(parts[3]!)).runs).toEqual([]);
  const merged = await mergeFolders(parts, path.join(root, 'merged'));
  const { summary, runs } = await readSuiteFolder(path.join(root, 'whole'));
  const timeless = ({ created_at, ...rest }: typeof summary) => rest;
  expect(timeless(merged.summary)).toEqual(timeless(summary));
  expect(merged.runs.map((one) => one.run_info.run_id)).toEqual(runs.map((one) => one.run_info.run_id));
});

test('parts of different suites, a run that two hold, and folders that are no parts are not merged', async () => {
  await run(suite(), 'a', { shard: { i: 1, n: 2 } });
  await run(suite('', ', lora_r: 4'), 'b', { shard: { i: 2, n: 2 } });
  await run(suite(), 'c', { shard: { i: 1, n: 2 } });
  const merge = (...names: string[]) =>
    mergeFolders(
      names.map((name) => path.join(root, name)),
      path.join(root, 'out'),
    );
  await expect(merge('a', 'b')).rejects.toThrow(
    /b: is no part of the suite in .*a: lora-seed0 was asked for with other/,
  );
  await expect(merge('a', 'c')).rejects.toThrow(/c\/lora-seed0\.run\.json: is in .*a as well: a run made twice/);
  await expect(merge('a', '.')).rejects.toThrow(/holds no suite\.json/);
});

test('a record that was edited is refused, with what to do', async () => {
  await run(suite(), 'edited', { stopAfter: 2 });
  const file = path.join(root, 'edited', 'lora-seed0.run.json');
  const text = readFileSync(file, 'utf8');
  const edit = async (content: string) => {
    writeFileSync(file, content);
    return readSuiteFolder(path.join(root, 'edited')).catch((error: Error) => error.message);
  };
  const record = JSON.parse(text);
  expect(await edit(JSON.stringify(record, null, 1))).toHaveProperty('runs');
  record.eval_info.metrics.eval_loss.value = 0.1;
  expect(await edit(JSON.stringify(record))).toMatch(/lora-seed0\.run\.json: was edited after nibble wrote it/);
  expect(await edit(text.replace('"schema_version":2', '"schema_version":3'))).toMatch(
    /is a run of schema 3, and this nibble reads 1 and 2\. Install/,
  );
  expect(await edit(text.replace(/"p50":[^,]*/, '"p50":1e999'))).toMatch(
    /is not a run of schema v2: train_info\.step_time_ms\.p50 is/,
  );
});
