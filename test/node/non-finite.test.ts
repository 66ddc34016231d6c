/** A loss that is not finite: the run stops with step, rows and the last checkpoint, or passes over it as on_nan says. */
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { DataError } from '../../src/errors.ts';
import type { DeviceChoice } from '../../src/node/device-choice.ts';
import { type FinetuneOptions, finetune } from '../../src/node/finetune.ts';
import type { StepEvent } from '../../src/train/events.ts';
import { requireFiniteStep } from '../../src/train/non-finite.ts';
import { directory } from '../e2e/nibble.ts';
import { rejection } from '../formats/files.ts';
import { writeShallow } from '../models/shallow.ts';

const TINY = await writeShallow(path.join(directory(), 'tiny'), 2);
const device = (process.env.NIBBLE_TEST_DEVICE ?? 'auto') as DeviceChoice;

/** Trained so fast that the second step overflows. */
function options(output_dir: string, more: Partial<FinetuneOptions> = {}): FinetuneOptions {
  const datasets = [{ rows: Array.from({ length: 4 }, (_, i) => ({ text: `Row ${i}, call me Ishmael.` })) }];
  const fast = { method: 'full', learning_rate: 1e30, max_grad_norm: 0, lr_scheduler_type: 'constant' } as const;
  const few = {
    max_steps: 4,
    save_steps: 1,
    per_device_train_batch_size: 2,
    train_sampling_strategy: 'sequential',
  } as const;
  return { model_name_or_path: TINY, datasets, device, output_dir, ...fast, ...few, ...more };
}

test('stop: what, where, and the checkpoint before it', async () => {
  const out = path.join(directory(), 'out');
  const error = await rejection(finetune(options(out)));
  expect(error).toBeInstanceOf(DataError);
  expect(error.message).toMatch(
    /the (loss is (NaN|Infinity)|gradient is not finite) in step 2, on rows 2, 3 \(from 0\).*The last good checkpoint is .*checkpoint-1; resume_from_checkpoint.*on_nan: skip/,
  );
  expect(readdirSync(out)).toContain('checkpoint-1');
  expect(readdirSync(out)).not.toContain('model.safetensors');
});

test('skip: the run ends, its record counts the update that was left out', async () => {
  const out = path.join(directory(), 'out');
  const { steps, record } = await finetune(options(out, { on_nan: 'skip', max_steps: 2 }));
  expect(steps.map(({ finite }) => finite)).toEqual([true, false]);
  expect(record.train_info.skipped_steps).toBe(1);
  expect(record.run_info.train_config.on_nan).toBe('skip');
  expect(readdirSync(out)).toContain('model.safetensors');
});

test('skip: weights that gave no finite loss up to the end are not written', async () => {
  const out = path.join(directory(), 'out');
  const error = await rejection(finetune(options(out, { on_nan: 'skip' })));
  expect(error).toBeInstanceOf(DataError);
  expect(error.message).toContain('the last 3 of 4 steps gave no finite loss');
  expect(readdirSync(out)).toContain('interrupted.json');
  expect(readdirSync(out)).not.toContain('model.safetensors');
});

test('a checkpoint of the step before is told to have the weights that gave the loss', () => {
  const step = { step: 2, loss: Number.NaN, lossTokens: 4, finite: false, lossScale: null, flags: 0 };
  const config = { on_nan: 'stop', datasets: [{ path: 'rows.jsonl' }], packing: false } as const;
  const said = (loss: number, checkpoint: string) => {
    try {
      requireFiniteStep(
        { ...step, loss } as StepEvent,
        [[0]],
        { ...config, datasets: [...config.datasets] },
        checkpoint,
      );
    } catch (error) {
      return (error as Error).message.includes(
        'Its weights gave this loss: should it come again, take an earlier one.',
      );
    }
    return null;
  };
  expect(said(Number.NaN, 'out/checkpoint-1')).toBe(true);
  expect(said(Number.NaN, 'out/checkpoint-2')).toBe(false);
  expect(said(1, 'out/checkpoint-1')).toBe(false);
});
