/** A run that is stopped or fails leaves its log, and no weights. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { memoryWriter } from '../../src/formats/memory.ts';
import type { TrainEvent } from '../../src/train/events.ts';
import { train } from '../../src/train/run.ts';
import { readRunInput } from '../../src/train/session.ts';
import { configOf, type Files, learnableRows, runtimeOf } from './run.ts';

const MODEL = new URL('../golden/llama/untied-gqa-f32', import.meta.url).pathname;

/** Runs until `stop` throws or aborts; returns files and events. */
async function stoppedRun(stop: (event: TrainEvent, abort: AbortController) => void) {
  const runtime = runtimeOf({ '.': new Map([['rows.jsonl', learnableRows(1, 8, 8, 32)]]) });
  const input = await readRunInput(configOf({ model_name_or_path: MODEL, max_steps: 9 }), runtime.readerOf);
  const abort = new AbortController();
  const files: Files = new Map();
  const notes: string[] = [];
  const run = train(runtime, input, { signal: abort.signal, writer: memoryWriter(files) });
  const ended = (async () => {
    for await (const event of run) {
      if (event.type === 'note') notes.push(event.text);
      stop(event, abort);
    }
  })();
  const error = await ended.then(
    () => null,
    (thrown: unknown) => thrown as Error,
  );
  return { error, files, notes };
}

/** A trainer_state.json that Trainer wrote. */
const HF_STATE = JSON.parse(
  readFileSync(new URL('../golden/trainer/cosine/trainer_state.json', import.meta.url), 'utf8'),
) as object;

test('stopped after three steps: their log, marked, and nothing else', async () => {
  const { error, files, notes } = await stoppedRun((event, abort) => {
    if (event.type === 'step' && event.step === 2) abort.abort(new Error('stopped by SIGINT'));
  });
  expect(error?.message).toBe('stopped by SIGINT');
  expect([...files.keys()]).toEqual(['trainer_state.json', 'interrupted.json']);
  const read = (name: string) => JSON.parse(Buffer.from(files.get(name) as Uint8Array).toString());
  const state = read('trainer_state.json');
  // the third step had been submitted
  expect(state).toMatchObject({ global_step: 3, max_steps: 9 });
  // Hugging Face's TrainerState refuses unknown fields
  expect(Object.keys(state).sort()).toEqual(Object.keys(HF_STATE).sort());
  expect(read('interrupted.json')).toEqual({
    reason: 'stopped by SIGINT',
    step: 3,
    max_steps: 9,
    checkpoint: null,
  });
  expect(
    state.log_history.flatMap((row: { loss?: number; step: number }) => ('loss' in row ? [row.step] : [])),
  ).toEqual([1, 2, 3]);
  expect(notes.at(-1)).toContain('trainer_state.json has the log up to step 3; no weights were written');
});

test('stopped before the first step: nothing', async () => {
  const { error, files } = await stoppedRun((event, abort) => {
    if (event.type === 'phase' && event.phase === 'warmup') abort.abort(new Error('stopped by SIGINT'));
  });
  expect(error?.message).toBe('stopped by SIGINT');
  expect([...files.keys()]).toEqual([]);
});
