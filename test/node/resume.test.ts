/** A run that is cut off goes on from its newest checkpoint and ends as one that was not, to the bit. */
import { cpSync, existsSync, readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { ConfigError, DataError, RunStopped } from '../../src/errors.ts';
import type { DeviceChoice } from '../../src/node/device-choice.ts';
import { type FinetuneEvent, type FinetuneOptions, finetune } from '../../src/node/finetune.ts';
import { directory } from '../e2e/nibble.ts';
import { rejection } from '../formats/files.ts';
import { itFloat16 } from '../gpu/float16.ts';
import { writeShallow } from '../models/shallow.ts';
import { EVAL_ROWS, RESUMABLE, ROWS } from '../train/resumable.ts';
import { comparable } from '../train/resumed.ts';

const TINY = await writeShallow(path.join(directory(), 'tiny'), 2);
const device = (process.env.NIBBLE_TEST_DEVICE ?? 'auto') as DeviceChoice;

type Settings = Omit<Partial<FinetuneOptions>, 'model_name_or_path' | 'datasets' | 'eval_datasets' | 'output_dir'>;

function options(output_dir: string, settings: Settings): FinetuneOptions {
  const evaluates = settings.eval_strategy !== undefined;
  const eval_datasets = evaluates ? [{ rows: EVAL_ROWS }] : [];
  return { model_name_or_path: TINY, datasets: [{ rows: ROWS }], eval_datasets, device, output_dir, ...settings };
}

const CUT = new Error('cut off');
/** Ends a run where it is, as a kill would: nothing more is written. */
const cutAt =
  (isThere: (event: FinetuneEvent) => boolean) =>
  (event: FinetuneEvent): void => {
    if (isThere(event)) throw CUT;
  };
const atStep = (step: number) => cutAt((event) => event.type === 'step' && event.step === step);

describe('cut off at a step and resumed, a run is the uninterrupted one', () => {
  for (const [name, { settings, needsFloat16 }] of Object.entries(RESUMABLE)) {
    const it = needsFloat16 ? itFloat16 : test;
    it(name, async () => {
      const root = directory();
      const [whole, cut] = [path.join(root, 'whole'), path.join(root, 'cut')];
      const { steps } = await finetune(options(whole, settings));
      expect(steps.length).toBeGreaterThan(5);
      const resume = { ...settings, resume_from_checkpoint: true };
      const run = finetune(options(cut, { ...resume, onEvent: atStep(5) }));
      expect(await rejection(run)).toBe(CUT);
      const resumed = await finetune(options(cut, resume));
      expect(resumed.steps.map(({ loss }) => loss)).toEqual(steps.map(({ loss }) => loss));
      expect(resumed.record.train_info.checkpoints?.resumed_at.length).toBeGreaterThan(0);
      expect(comparable(cut)).toEqual(comparable(whole));
      expect(readdirSync(cut).filter((entry) => entry.endsWith('.tmp'))).toEqual([]);
    });
  }
});

const short: Settings = {
  per_device_train_batch_size: 2,
  learning_rate: 1e-2,
  lora_r: 2,
  max_length: 24,
  max_steps: 6,
  save_steps: 2,
};

describe('the folder of a run', () => {
  const root = directory();
  const out = path.join(root, 'out');
  const whole = path.join(root, 'whole');
  const copy = (name: string): string => {
    const to = path.join(root, name);
    cpSync(out, to, { recursive: true });
    return to;
  };

  test('is the one way into a folder that is not empty, and holds what is promised', async () => {
    await finetune(options(whole, short));
    expect(await rejection(finetune(options(out, { ...short, onEvent: atStep(5) })))).toBe(CUT);
    expect(readdirSync(path.join(out, 'checkpoint-4')).sort()).toEqual([
      'README.md',
      'adapter_config.json',
      'adapter_model.safetensors',
      'optimizer.safetensors',
      'resume.json',
      'tokenizer.json',
      'tokenizer_config.json',
      'trainer_state.json',
    ]);
    // the card of the last checkpoint is that of the end; an earlier one says how far its weights came
    const card = (of: string) => readFileSync(path.join(whole, of, 'README.md'), 'utf8');
    expect(card('checkpoint-6')).toBe(card('.'));
    expect(card('checkpoint-4')).toContain('These are the weights after step 4.');
    const refused = await rejection(finetune(options(out, short)));
    expect(refused).toBeInstanceOf(ConfigError);
    expect(refused.message).toMatch(
      /holds a run that (did not end|was interrupted) .* Set resume_from_checkpoint: true to go on with it/,
    );
    const foreign = directory({ 'mine.txt': 'x' });
    const other = await rejection(finetune(options(foreign, { ...short, resume_from_checkpoint: true })));
    expect(other.message).toMatch(/^output_dir: .* is not empty \(it holds mine.txt\)/);
  });

  test('a damaged checkpoint is passed over with a word, and refused where it was named', async () => {
    const damaged = copy('damaged');
    truncateSync(path.join(damaged, 'checkpoint-4', 'optimizer.safetensors'), 100);
    const notes: string[] = [];
    const onEvent = (event: FinetuneEvent): void => {
      if (event.type === 'note') notes.push(event.text);
    };
    await finetune(options(damaged, { ...short, resume_from_checkpoint: true, onEvent }));
    expect(notes.find((text) => text.startsWith('passed over'))).toMatch(
      /checkpoint-4\/optimizer.safetensors: has 100 bytes instead of \d+, so the checkpoint is not as it was saved/,
    );
    expect(notes.find((text) => text.startsWith('goes on after'))).toMatch(/step 2 of 6/);
    expect(comparable(damaged)).toEqual(comparable(whole));

    const named = copy('named');
    const checkpoint = path.join(named, 'checkpoint-4');
    writeFileSync(
      path.join(checkpoint, 'resume.json'),
      readFileSync(path.join(checkpoint, 'resume.json')).subarray(0, 500),
    );
    const error = await rejection(finetune(options(named, { ...short, resume_from_checkpoint: checkpoint })));
    expect(error).toBeInstanceOf(DataError);
    expect(error.message).toMatch(/checkpoint-4\/resume.json: is not whole JSON/);
  });

  test('a checkpoint by its path goes on in place, or in a new folder', async () => {
    const [inPlace, fresh] = [copy('in-place'), path.join(root, 'fresh')];
    const from = path.join(inPlace, 'checkpoint-2');
    await finetune(options(fresh, { ...short, resume_from_checkpoint: from }));
    const { checkpoints: _, ...rest } = comparable(whole);
    expect(comparable(fresh)).toMatchObject(rest);
    await finetune(options(inPlace, { ...short, resume_from_checkpoint: from }));
    expect(comparable(inPlace)).toEqual(comparable(whole));
  });

  test('a changed configuration is told by its differences', async () => {
    const changed = copy('changed');
    const resume = { ...short, resume_from_checkpoint: true };
    const other = { ...resume, lora_r: 4, seed: 1, max_steps: 8 };
    const error = (await rejection(finetune(options(changed, other)))) as ConfigError;
    expect(error).toBeInstanceOf(ConfigError);
    expect(error.problems.map(({ path: at }) => at)).toEqual(['lora_r', 'seed']);
    expect(error.message).toMatch(/lora_r: got 4, the run in .*checkpoint-4 has 2 and cannot go on otherwise/);
    const rows = await rejection(finetune({ ...options(changed, resume), datasets: [{ rows: ROWS.slice(1) }] }));
    expect(rows.message).toMatch(/^datasets: gives other rows than the run in .*checkpoint-4 was started with/);

    const notes: string[] = [];
    const onEvent = (event: FinetuneEvent): void => {
      if (event.type === 'note') notes.push(event.text);
    };
    const longer = await finetune(options(changed, { ...resume, max_steps: 8, learning_rate: 5e-3, onEvent }));
    expect(longer.steps.length).toBe(8);
    expect(notes).toContain('max_steps: 6 up to the checkpoint, 8 from now on');
    expect(notes).toContain('learning_rate: 0.01 up to the checkpoint, 0.005 from now on');
  });

  test('true in a new folder starts at the beginning; what is no checkpoint is refused by its name', async () => {
    const fresh = path.join(root, 'nothing-there');
    const notes: string[] = [];
    const onEvent = (event: FinetuneEvent): void => {
      if (event.type === 'note') notes.push(event.text);
    };
    await finetune(options(fresh, { ...short, resume_from_checkpoint: true, onEvent }));
    expect(notes[0]).toMatch(/has no complete checkpoint, so the run starts from its beginning$/);
    expect(comparable(fresh)).toEqual(comparable(whole));
    const refusals = { [TINY]: /holds no resume.json/, [whole]: /give one of its checkpoints, such as checkpoint-6/ };
    for (const [from, message] of Object.entries(refusals)) {
      const run = finetune(options(path.join(root, 'none'), { ...short, resume_from_checkpoint: from }));
      expect((await rejection(run)).message).toMatch(message);
      expect(existsSync(path.join(root, 'none'))).toBe(false);
    }
  });
});

describe('a run that is told to stop', () => {
  test('saves a checkpoint at the next step, and goes on from it to the same end', async () => {
    const root = directory();
    const [whole, stopped] = [path.join(root, 'whole'), path.join(root, 'stopped')];
    const settings: Settings = { ...short, save_steps: 100, eval_strategy: 'steps', eval_steps: 3 };
    await finetune(options(whole, settings));
    const reason = new Error('enough');
    for (const isThere of [
      (event: FinetuneEvent) => event.type === 'step' && event.step === 1,
      // in the evaluation after step 3
      (event: FinetuneEvent) => event.type === 'phase' && event.phase === 'eval',
    ]) {
      const controller = new AbortController();
      const checkpoints: FinetuneEvent[] = [];
      const onEvent = (event: FinetuneEvent): void => {
        if (event.type === 'checkpoint') checkpoints.push(event);
        if (isThere(event)) controller.abort(reason);
      };
      const { signal } = controller;
      const run = finetune(options(stopped, { ...settings, resume_from_checkpoint: true, signal, onEvent }));
      expect(await rejection(run)).toBe(reason);
      expect(checkpoints).toMatchObject([{ isStop: true }]);
      expect(existsSync(path.join(stopped, 'interrupted.json'))).toBe(true);
    }
    await finetune(options(stopped, { ...settings, resume_from_checkpoint: true }));
    expect(existsSync(path.join(stopped, 'interrupted.json'))).toBe(false);
    const { checkpoints: _, ...rest } = comparable(whole);
    expect(comparable(stopped)).toMatchObject(rest);
  });

  test('max_minutes does the same before they are over', async () => {
    const out = path.join(directory(), 'out');
    const minutes = 0.15;
    const few = { save_steps: 50, save_total_limit: 1 };
    const started = performance.now();
    const error = await rejection(
      finetune(options(out, { ...short, max_steps: 100_000, max_minutes: minutes, ...few })),
    );
    expect(performance.now() - started).toBeLessThan(minutes * 60_000 + 2000);
    expect(error).toBeInstanceOf(RunStopped);
    expect(error.message).toMatch(
      /^stopped after step \d+ of 100000, since max_minutes 0.15 are nearly over: .*checkpoint-\d+ holds/,
    );
    expect(existsSync(path.join((error as RunStopped).checkpoint, 'resume.json'))).toBe(true);
    const none = finetune(options(path.join(directory(), 'none'), { ...short, max_minutes: 1e-6 }));
    expect((await rejection(none)).message).toMatch(/^max_minutes: 0.000001 minutes are over before the first step/);
  });
});
