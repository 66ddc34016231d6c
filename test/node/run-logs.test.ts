import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { loadTrainConfig, type TrainSettings } from '../../src/config/index.ts';
import { nodeWriter } from '../../src/node/files.ts';
import { openRunLogs } from '../../src/node/run-logs.ts';
import type { LogRow } from '../../src/train/events.ts';
import { readEvents } from '../ref/tfevents.ts';

const ROWS: readonly LogRow[] = [
  {
    epoch: 0.5,
    grad_norm: 0.25,
    learning_rate: 1e-4,
    loss: 3.1,
    step: 1,
    tokens_per_second: 9,
    num_input_tokens_seen: 4,
  },
  { epoch: 0.5, eval_loss: 2.9, eval_runtime: 1, eval_samples_per_second: 8, eval_steps_per_second: 2, step: 1 },
  { epoch: 1, grad_norm: Number.POSITIVE_INFINITY, learning_rate: 0, loss: Number.NaN, step: 2 },
];
const END: LogRow = { epoch: 1, step: 2, total_flos: 12, train_loss: 3.1, train_runtime: 4 };

let folder: string;
let notes: string[];
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'nibble-logs-'));
  notes = [];
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

type From = Parameters<typeof openRunLogs>[2];

function open(options: TrainSettings, from: From = { rows: [], samples: [], firstStep: 0 }) {
  const { values } = loadTrainConfig({ options: { model_name_or_path: 'm', datasets: [{ path: 'd' }], ...options } });
  return openRunLogs(nodeWriter(folder), values, from, (text) => notes.push(text));
}

async function write(options: TrainSettings, rows: readonly LogRow[], isComplete: boolean, from?: From): Promise<void> {
  const logs = await open(options, from);
  for (const row of rows) logs.add(row);
  await logs.close(isComplete);
}

const text = (name: string): string => readFileSync(path.join(folder, name), 'utf8');
const eventFiles = (at: string) =>
  readdirSync(at)
    .sort()
    .map((name) => readEvents(readFileSync(path.join(at, name))));
const runs = () => readdirSync(path.join(folder, 'runs')).map((name) => path.join(folder, 'runs', name));

test('a run writes log.jsonl alone unless report_to names more', async () => {
  await write({ report_to: ['jsonl'] }, ROWS, true);
  expect(readdirSync(folder)).toEqual(['log.jsonl']);
  expect(
    text('log.jsonl')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line)),
  ).toEqual([ROWS[0], ROWS[1], { ...ROWS[2], grad_norm: null, loss: null }]);
});

test('texts of eval_generate are lines of log.jsonl, behind the rows of their step, after a resume too', async () => {
  const texts = (step: number) => [{ step, prompt: '"a"\n', text: '</script>', token_ids: [1] }];
  const line = (step: number) => ({ step, samples: [{ prompt: '"a"\n', text: '</script>' }] });
  const kinds = () =>
    text('log.jsonl')
      .trimEnd()
      .split('\n')
      .map((each) => JSON.parse(each))
      .map((row) => (row.samples === undefined ? row.step : row));
  const logs = await open({ report_to: 'csv' });
  logs.addTexts(texts(0));
  for (const row of ROWS.slice(0, 2)) logs.add(row);
  logs.addTexts(texts(1));
  logs.add(ROWS[2]!);
  await logs.close(true);
  expect(kinds()).toEqual([line(0), 1, 1, line(1), 2]);
  expect(text('log.csv').trimEnd().split('\n')).toHaveLength(4);
  const samples = [...texts(0), ...texts(1)];
  await write({}, [ROWS[2]!], true, { rows: ROWS.slice(0, 2), samples, firstStep: 2 });
  expect(kinds()).toEqual([line(0), 1, 1, line(1), 2]);
});

test('log.csv has a column for every value, and numbers that are not finite as pandas reads them', async () => {
  await write({ report_to: 'csv' }, [...ROWS, END], true);
  expect(text('log.csv').split('\n')).toEqual([
    'step,epoch,loss,grad_norm,learning_rate,loss_scale,skipped_steps,tokens_per_second,num_input_tokens_seen,eval_loss,' +
      'eval_runtime,eval_samples_per_second,eval_steps_per_second,train_loss,train_runtime,train_samples_per_second,' +
      'train_steps_per_second,total_flos',
    '1,0.5,3.1,0.25,0.0001,,,9,4,,,,,,,,,',
    '1,0.5,,,,,,,,2.9,1,8,2,,,,,',
    '2,1,NaN,inf,0,,,,,,,,,,,,,',
    '2,1,,,,,,,,,,,,3.1,4,,,12',
    '',
  ]);
});

test("event files have transformers' tags, settings, and the row of the whole run where it came to its end", async () => {
  await write({ report_to: 'tensorboard' }, [...ROWS, END], true);
  const [run = ''] = runs();
  expect(path.basename(run)).toMatch(new RegExp(`^[A-Z][a-z]{2}\\d\\d_\\d\\d-\\d\\d-\\d\\d_${hostname()}$`));
  const [events = []] = eventFiles(run);
  expect(events[0]?.version).toBe('brain.Event:2');
  expect(JSON.parse(events[1]?.texts['args/text_summary'] ?? '')).toMatchObject({
    report_to: 'tensorboard',
    lora_r: 8,
  });
  const f = Math.fround;
  expect(events.slice(2).map(({ step, scalars }) => ({ step, scalars }))).toEqual([
    {
      step: 1,
      scalars: {
        'train/epoch': 0.5,
        'train/grad_norm': 0.25,
        'train/learning_rate': f(1e-4),
        'train/loss': f(3.1),
        'train/tokens_per_second': 9,
        'train/num_input_tokens_seen': 4,
      },
    },
    {
      step: 1,
      scalars: {
        'train/epoch': 0.5,
        'eval/loss': f(2.9),
        'eval/runtime': 1,
        'eval/samples_per_second': 8,
        'eval/steps_per_second': 2,
      },
    },
    {
      step: 2,
      scalars: {
        'train/epoch': 1,
        'train/grad_norm': Number.POSITIVE_INFINITY,
        'train/learning_rate': 0,
        'train/loss': Number.NaN,
      },
    },
    {
      step: 2,
      scalars: { 'train/epoch': 1, 'train/total_flos': 12, 'train/train_loss': f(3.1), 'train/train_runtime': 4 },
    },
  ]);
});

test('a resumed run begins a second file, which hides what comes after its checkpoint, and no row twice', async () => {
  await write({ report_to: 'all' }, [...ROWS, END], false);
  const before = ROWS.slice(0, 2);
  await write({ report_to: 'all', resume_from_checkpoint: true }, [], true, {
    rows: before,
    samples: [],
    firstStep: 2,
  });
  expect(runs()).toHaveLength(1);
  const [first = [], second = []] = eventFiles(runs()[0] as string);
  expect(first.filter(({ scalars }) => 'train/train_runtime' in scalars)).toEqual([]);
  expect(second.map(({ step, session }) => ({ step, session }))).toEqual([
    { step: 0, session: undefined },
    { step: 2, session: 1 },
  ]);
  expect(text('log.csv').trim().split('\n')).toHaveLength(3);
  expect(text('log.jsonl').trim().split('\n')).toHaveLength(2);
});

test('a run resumed in another folder brings its rows along', async () => {
  const logging_dir = path.join(folder, 'elsewhere', 'tb');
  await write({ report_to: 'tensorboard', logging_dir, resume_from_checkpoint: 'c' }, [], true, {
    rows: ROWS,
    samples: [],
    firstStep: 3,
  });
  const [events = []] = eventFiles(logging_dir);
  expect(events.map(({ step }) => step)).toEqual([0, 0, 1, 1, 2]);
  expect(notes).toEqual([]);
});

test('event files of another run in logging_dir are told', async () => {
  const options = { report_to: 'tensorboard', logging_dir: path.join(folder, 'tb') } as const;
  await write(options, ROWS, true);
  await write(options, ROWS, true);
  expect(eventFiles(options.logging_dir).map((events) => events.some(({ session }) => session === 1))).toEqual([
    false,
    false,
  ]);
  expect(notes).toEqual([`${options.logging_dir} has event files of another run; TensorBoard draws both as one`]);
});

test('a logging_dir that cannot be made is refused before the first step', async () => {
  await write({}, ROWS, true);
  const logging_dir = path.join(folder, 'log.jsonl', 'tb');
  await expect(open({ report_to: 'tensorboard', logging_dir })).rejects.toThrow(
    'cannot be written (a part of its path is a file, not a folder, EEXIST). Give another logging_dir, or leave tensorboard out of report_to.',
  );
});
