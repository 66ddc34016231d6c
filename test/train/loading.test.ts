/** Loading and compiling run side by side: their events and times, and how either ends the other. */
import { afterEach, expect, test, vi } from 'vitest';
import { DeviceError } from '../../src/errors.ts';
import type { TrainEvent } from '../../src/train/events.ts';
import { train } from '../../src/train/run.ts';
import { readRunInput } from '../../src/train/session.ts';
import { device } from '../gpu/harness.ts';
import { configOf, learnableRows, runTraining, runtimeOf } from './run.ts';

const MODEL = new URL('../golden/llama/untied-gqa-f32', import.meta.url).pathname;
const FILES = { '.': new Map([['rows.jsonl', learnableRows(1, 8, 8, 32)]]) };
/** Tensors of the model: 5 norms, 14 linear layers, embedding and head. */
const TENSORS = 21;

afterEach(() => vi.restoreAllMocks());

test('phases come in order; the timers say what of compiling was hidden behind loading', async () => {
  const qlora = { method: 'qlora', load_in_4bit: true } as const;
  const { events, result } = await runTraining(FILES, { model_name_or_path: MODEL, max_steps: 1, ...qlora });
  const phases = events.flatMap((e) => (e.type === 'phase' ? [e.phase] : []));
  expect(phases.slice(0, 4)).toEqual(['load', 'compile', 'warmup', 'train']);
  expect(events.filter((e) => e.type === 'progress' && e.phase === 'load')).toHaveLength(TENSORS);
  const { timing } = result;
  expect(timing.compile_overlapped_s).toBeGreaterThan(0);
  expect(timing.compile_overlapped_s).toBeLessThanOrEqual(timing.load_s + timing.quantize_s);
  expect(timing.quantize_s).toBeGreaterThan(0);
  expect(timing.quantize_busy_s).toBeGreaterThan(0);
  // a single thread quantizes here, so its busy time is part of the waiting time
  expect(timing.quantize_busy_s).toBeLessThan(timing.quantize_s);
  const [note] = events.flatMap((e) => (e.type === 'note' && e.text.startsWith('loaded in') ? [e.text] : []));
  expect(note).toMatch(
    /^loaded in [\d.]+ s, quantizing [\d.]+ s of its threads together; compiled in [\d.]+ s, [\d.]+ s of them while loading$/,
  );
});

/** Returns the error of a run that fails, and how many weights it had loaded. */
async function failing(slow: boolean, stop: (event: TrainEvent, abort: AbortController) => void = () => undefined) {
  const runtime = runtimeOf(FILES);
  const input = await readRunInput(configOf({ model_name_or_path: MODEL, max_steps: 1 }), runtime.readerOf);
  let reads = 0;
  const source = {
    ...input.source,
    read: async (...args: Parameters<typeof input.source.read>) => {
      reads++;
      if (slow) await new Promise((resolve) => setTimeout(resolve, 5));
      await input.source.read(...args);
    },
  };
  const abort = new AbortController();
  let loaded = 0;
  const error = await (async () => {
    for await (const event of train(runtime, { ...input, source }, { signal: abort.signal, writer: null })) {
      if (event.type === 'progress' && event.phase === 'load') loaded++;
      stop(event, abort);
    }
  })().then(
    () => null,
    (thrown: unknown) => thrown as Error,
  );
  const before = reads;
  await new Promise((resolve) => setTimeout(resolve, 20));
  // nothing is read after the end
  expect(reads).toBe(before);
  return { error, loaded };
}

test('what does not compile ends the load', async () => {
  vi.spyOn(device, 'pipeline').mockRejectedValue(new DeviceError('no such kernel'));
  const { error, loaded } = await failing(true);
  expect(error?.message).toBe('no such kernel');
  expect(loaded).toBeLessThan(TENSORS);
});

test('an abort while weights are read ends the run with its reason', async () => {
  const { error, loaded } = await failing(true, (event, abort) => {
    if (event.type === 'progress') abort.abort(new Error('stopped by SIGINT'));
  });
  expect(error?.message).toBe('stopped by SIGINT');
  expect(loaded).toBe(1);
});
