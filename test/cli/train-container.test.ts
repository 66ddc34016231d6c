/** nibble train as a container starts it: settings from NIBBLE_CONFIG, JSON lines for a log, exit codes. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Readable } from 'node:stream';
import { afterAll, expect, test } from 'vitest';
import type { CliContext } from '../../src/cli/shared/context.ts';
import { jsonLines } from '../../src/cli/shared/json-lines.ts';
import { isConfigText } from '../../src/cli/shared/variables.ts';
import { type TrainArgs, trainCommand } from '../../src/cli/train/command.ts';
import { jsonLog } from '../../src/cli/train/json-log.ts';
import { DataError, RunStopped } from '../../src/errors.ts';
import type { RunEvent } from '../../src/node/run-types.ts';
import { nibble } from './fakes.ts';

const YAML = 'model_name_or_path: ./llama\ndatasets: [{path: rows.jsonl}]\nlora_r: 4\n';
const dir = mkdtempSync(path.join(tmpdir(), 'nibble-container-'));
afterAll(() => rmSync(dir, { recursive: true }));
const file = path.join(dir, 'config.yaml');
writeFileSync(file, YAML);

async function train(env: Record<string, string>, argv: readonly string[] = [], more: Partial<CliContext> = {}) {
  const calls: TrainArgs[] = [];
  const record = (args: TrainArgs) => Promise.resolve(void calls.push(args));
  const outcome = await nibble(['train', ...argv], [(context) => trainCommand(context, record)], { env, ...more });
  return { ...outcome, args: calls[0] };
}

test('NIBBLE_CONFIG is a path, YAML, JSON or -, and a file that is given goes before it', async () => {
  const rank = async (
    env: Record<string, string>,
    ...more: Parameters<typeof train> extends [unknown, ...infer R] ? R : []
  ) => (await train(env, ...more)).args?.config.values.lora_r;
  expect(await rank({ NIBBLE_CONFIG: file })).toBe(4);
  expect(await rank({ NIBBLE_CONFIG: YAML })).toBe(4);
  expect(await rank({ NIBBLE_CONFIG: YAML, NIBBLE_LORA_R: '16' })).toBe(16);
  expect(await rank({ NIBBLE_CONFIG: '{"base_model": "m", "datasets": [{"path": "r"}], "lora_r": 2}' })).toBe(2);
  expect(await rank({ NIBBLE_CONFIG: '-' }, [], { stdin: Readable.from([Buffer.from(YAML)]) })).toBe(4);
  const both = await train({ NIBBLE_CONFIG: 'lora_r: 8\n' }, [file]);
  expect(both.args?.config.values.lora_r).toBe(4);
  expect(both.stderr).toContain(`note: NIBBLE_CONFIG: not read, since ${file} is given`);
});

test('settings of NIBBLE_CONFIG are named by their line', async () => {
  const { code, stderr } = await train({ NIBBLE_CONFIG: `${YAML}lora_dropuot: 0.1\n` });
  expect(code).toBe(2);
  expect(stderr).toContain('lora_dropuot');
  expect(stderr).toContain('NIBBLE_CONFIG:4');
});

test('a text of settings is told from a path', () => {
  expect(['lora_r: 4', '{"lora_r":4}', 'datasets:\n- path: x', 'a:'].map(isConfigText)).toEqual([
    true,
    true,
    true,
    true,
  ]);
  expect(['config.yaml', '/data/run 7/c.yml', 'C:\\runs\\c.yaml', '-'].map(isConfigText)).toEqual(Array(4).fill(false));
});

test('NIBBLE_LOG and NIBBLE_UNATTENDED stand for the flags, and refuse what they do not know', async () => {
  const { args, stderr } = await train({ NIBBLE_CONFIG: file, NIBBLE_LOG: 'json', NIBBLE_UNATTENDED: '1' });
  expect(args).toMatchObject({ unattended: true, write: expect.any(Function) });
  expect(stderr).toBe('');
  expect((await train({ NIBBLE_CONFIG: file, NIBBLE_UNATTENDED: 'false' })).args).toMatchObject({
    unattended: false,
    write: undefined,
  });
  expect((await train({}, [file, '--json', '--unattended'])).args).toMatchObject({
    unattended: true,
    write: expect.any(Function),
  });
  const wrong = await train({ NIBBLE_CONFIG: file, NIBBLE_LOG: 'jsonl' });
  expect([wrong.code, wrong.stderr]).toEqual([2, 'nibble: NIBBLE_LOG: got "jsonl", wanted one of json, text\n']);
});

/** Runs a train command whose work fails, with JSON lines. */
async function failing(error: unknown) {
  const fails = (context: CliContext) => trainCommand(context, () => Promise.reject(error));
  const outcome = await nibble(['train', file, '--json'], [fails], { env: { NIBBLE_MAX_STEP: '3' } });
  const lines = outcome.stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  return { ...outcome, lines };
}

test('every line of the log is JSON, notes and the end included, and standard error stays empty', async () => {
  const stopped = await failing(new RunStopped('stopped by SIGTERM after step 3', 'out/checkpoint-3'));
  expect(stopped).toMatchObject({ code: 75, stderr: '' });
  expect(stopped.lines).toMatchObject([
    { type: 'note', text: expect.stringContaining('NIBBLE_MAX_STEP') },
    { type: 'stopped', exit_code: 75, checkpoint: 'out/checkpoint-3', message: expect.stringContaining('step 3') },
  ]);
  const refused = await failing(new DataError('rows.jsonl', 'line 3 is no JSON'));
  expect(refused).toMatchObject({ code: 2, stderr: '' });
  expect(refused.lines.at(-1)).toMatchObject({ type: 'error', exit_code: 2, message: 'rows.jsonl: line 3 is no JSON' });
});

test('events of a run as lines', () => {
  const out: string[] = [];
  const at = new Date(0);
  const log = jsonLog(jsonLines({ write: (text) => out.push(text) }, () => at));
  const events: RunEvent[] = [
    { type: 'device', name: 'lavapipe', software: true, notes: ['no GPU'] },
    { type: 'data', trainRows: 8, evalRows: 0, totalSteps: 4, notes: [] },
    { type: 'progress', phase: 'load', label: 'x' },
    { type: 'log', row: { step: 1, loss: Number.NaN, tokens_per_second: 50 } },
    { type: 'checkpoint', step: 2, path: 'out/checkpoint-2', isBest: false, isStop: true },
    { type: 'end', error: null },
  ];
  events.forEach(log);
  const time = '1970-01-01T00:00:00.000Z';
  expect(out.map((line) => JSON.parse(line))).toEqual([
    { time, type: 'device', name: 'lavapipe', software: true },
    { time, type: 'note', text: 'no GPU' },
    { time, type: 'data', train_rows: 8, eval_rows: 0, total_steps: 4 },
    { time, type: 'log', total_steps: 4, step: 1, loss: null, tokens_per_second: 50 },
    { time, type: 'checkpoint', step: 2, path: 'out/checkpoint-2', is_best: false, is_stop: true },
  ]);
  expect(out.every((line) => line.endsWith('\n'))).toBe(true);
});
