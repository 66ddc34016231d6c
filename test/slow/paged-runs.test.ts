/** Runs whose optimizer pages: cut off and resumed, refused with what would help, and what their records say. */
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { ConfigError, DeviceError } from '../../src/errors.ts';
import type { DeviceChoice } from '../../src/node/device-choice.ts';
import { type FinetuneEvent, type FinetuneOptions, finetune } from '../../src/node/finetune.ts';
import { requireHostMemory } from '../../src/node/host-memory.ts';
import { directory } from '../e2e/nibble.ts';
import { rejection } from '../formats/files.ts';
import { ROWS } from '../train/resumable.ts';
import { comparable } from '../train/resumed.ts';

const TINY = new URL('../../bench/models/tiny', import.meta.url).pathname;
const device = (process.env.NIBBLE_TEST_DEVICE ?? 'auto') as DeviceChoice;

type Settings = Omit<Partial<FinetuneOptions>, 'model_name_or_path' | 'datasets' | 'output_dir'>;
const options = (output_dir: string, settings: Settings): FinetuneOptions => ({
  model_name_or_path: TINY,
  datasets: [{ rows: ROWS }],
  device,
  output_dir,
  per_device_train_batch_size: 2,
  gradient_accumulation_steps: 2,
  learning_rate: 1e-2,
  max_length: 16,
  lora_r: 64,
  max_steps: 6,
  save_steps: 2,
  ...settings,
});

const CUT = new Error('cut off');
const cutAtFive = (event: FinetuneEvent): void => {
  if (event.type === 'step' && event.step === 5) throw CUT;
};

describe('a run of 8-bit state', () => {
  const root = directory();
  const [whole, cut] = [path.join(root, 'whole'), path.join(root, 'cut')];
  const paged = { optim: 'paged_adamw_8bit', paged_optimizer_memory: '20KB', resume_from_checkpoint: true } as const;

  test('whole on the GPU = paged, cut off and resumed, weights and state to the bit', async () => {
    const { record } = await finetune(options(whole, { optim: 'adamw_8bit', use_dora: true }));
    expect(record.train_info.paging).toBeUndefined();
    const first = finetune(options(cut, { ...paged, use_dora: true, onEvent: cutAtFive }));
    expect(await rejection(first)).toBe(CUT);
    const resumed = await finetune(options(cut, { ...paged, use_dora: true }));
    expect(comparable(cut)).toEqual(comparable(whole));
    const { paging, memory } = resumed.record.train_info;
    expect(memory?.by_category.optimizer).toBeLessThanOrEqual(20_000);
    expect(3 * 20_000).toBeLessThan(record.train_info.memory?.by_category.optimizer ?? 0);
    expect(memory?.prediction_error_pct).toBe(0);
    // steps 5 and 6 of this process
    expect(paging?.to_gpu_bytes).toBe(2 * (paging?.host_bytes ?? 0));
    expect(paging?.to_host_bytes).toBe(paging?.to_gpu_bytes);
  });

  test('does not go on under another optimizer', async () => {
    const error = await rejection(finetune(options(cut, { ...paged, use_dora: true, optim: 'adamw_torch' })));
    expect(error).toBeInstanceOf(ConfigError);
    expect(error.message).toMatch(/optim: got "adamw of 32 bits", the run in .* has "adamw of 8 bits"/);
  });
});

describe('refused before anything is written', () => {
  const out = path.join(directory(), 'out');

  test('a budget below the state of one tensor, with the smallest that works', async () => {
    const asked = options(out, { optim: 'paged_adamw_32bit', paged_optimizer_memory: 1000, max_steps: 1 });
    const error = await rejection(finetune(asked));
    expect(error).toBeInstanceOf(ConfigError);
    const [, least] = /the smallest that works is (\d+)/.exec(error.message) ?? [];
    expect(error.message).toContain('paged_optimizer_memory: got 1000 bytes, and the state of model.');
    expect(readdirSync(path.dirname(out))).toEqual([]);
    const enough = { ...asked, paged_optimizer_memory: Number(least) };
    expect(await rejection(finetune({ ...enough, paged_optimizer_memory: Number(least) - 1 }))).toBeInstanceOf(
      ConfigError,
    );
    const { record } = await finetune(enough);
    expect(record.train_info.memory?.by_category.optimizer).toBeLessThanOrEqual(Number(least));
  });

  test('host memory that runs out, with the arithmetic', () => {
    const state = { gpuBytes: 2 ** 30, hostBytes: 5 * 2 ** 30, pages: 160 };
    expect(() => requireHostMemory({ state }, 4 * 2 ** 30)).toThrow(DeviceError);
    expect(() => requireHostMemory({ state }, 4 * 2 ** 30)).toThrow(
      /state is 6.00 GiB: 1.00 GiB on the GPU, and the other 5.00 GiB \(5368709120 bytes\) need host memory, of which 4.00 GiB are free/,
    );
    requireHostMemory({ state }, 5 * 2 ** 30);
  });
});

describe('left to max_gpu_memory', () => {
  test('a paged optimizer keeps what fits on the GPU, and pages the rest', async () => {
    const root = directory();
    const whole = await finetune(options(path.join(root, 'whole'), { optim: 'paged_adamw_32bit', max_steps: 2 }));
    expect(whole.record.train_info.paging).toBeUndefined();
    const most = whole.peakBytes - 100_000;
    const notes: string[] = [];
    const onEvent = (event: FinetuneEvent) => {
      if (event.type === 'plan') notes.push(...event.notes);
    };
    const tight = { optim: 'paged_adamw_32bit', max_steps: 2, max_gpu_memory: most, onEvent } as const;
    const paged = await finetune(options(path.join(root, 'paged'), tight));
    expect(paged.peakBytes).toBeLessThanOrEqual(most);
    expect(paged.peakBytes).toBeGreaterThan(0.95 * most);
    expect(paged.record.train_info.paging?.pages).toBeGreaterThan(0);
    expect(notes.join('\n')).toMatch(/optimizer state: .* MiB on the GPU, .* MiB in host memory, in \d+ pages/);
    expect(paged.steps.map(({ loss }) => loss)).toEqual(whole.steps.map(({ loss }) => loss));
  });

  test('gradient_checkpointing: auto takes less memory as there is less, and the run is the same', async () => {
    const root = directory();
    const run = async (name: string, settings: Settings) => {
      const notes: string[] = [];
      const onEvent = (event: FinetuneEvent) => {
        if (event.type === 'plan') notes.push(...event.notes);
      };
      const outcome = await finetune(options(path.join(root, name), { max_steps: 1, ...settings, onEvent }));
      return { ...outcome, choice: notes.find((note) => note.startsWith('gradient_checkpointing')) };
    };
    const fixed = [];
    for (const gradient_checkpointing of [false, 'selective', true] as const)
      fixed.push(await run(`fixed-${gradient_checkpointing}`, { gradient_checkpointing }));
    for (const [i, taken] of ['false', 'selective', 'true'].entries()) {
      const max_gpu_memory = fixed[i]?.peakBytes as number;
      const auto = await run(`auto-${taken}`, { gradient_checkpointing: 'auto', max_gpu_memory });
      expect(auto.choice).toContain(`gradient_checkpointing: auto takes ${taken}: the fastest that fits`);
      expect(auto.peakBytes).toBe(max_gpu_memory);
      expect(auto.steps[0]?.loss).toBe(fixed[i]?.steps[0]?.loss);
    }
  });
});
