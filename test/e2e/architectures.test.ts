/** `nibble train` on a model of every architecture, with LoRA and with QLoRA. */
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { learnableRows } from '../train/run.ts';
import { directory, GOLDEN, nibbleTrain, trainerState } from './nibble.ts';

const ROOT = path.join(GOLDEN, 'architectures');
const NAMES = readdirSync(ROOT).filter((name) => !name.includes('.'));
const STEPS = 10;
const rows = path.join(directory({ 'rows.jsonl': learnableRows(1, 40, 12, 128) }), 'rows.jsonl');

const train = (model: string, output: string, ...flags: readonly string[]) =>
  nibbleTrain(
    `--model_name_or_path=${model}`,
    `--output_dir=${output}`,
    `--datasets=${rows}`,
    `--max_steps=${STEPS}`,
    '--learning_rate=2e-2',
    '--per_device_train_batch_size=2',
    '--lora_r=4',
    ...flags,
  );

test('there are models', () => {
  expect(NAMES.length).toBeGreaterThanOrEqual(10);
});

describe.each(NAMES)('%s', (name) => {
  test.each([
    ['lora', 'dense'],
    ['qlora', 'dense'],
    ['qlora', 'bnb-4bit'],
  ])('%s of the %s base: falling loss', async (method, form) => {
    const output = path.join(directory(), 'run');
    const flags = ['--method', method, '--lora_target_modules', 'all-linear'];
    const { code, stderr } = await train(path.join(ROOT, name, form), output, ...flags);
    expect([code, code === 0 ? '' : stderr]).toEqual([0, '']);
    const { global_step, log_history } = trainerState(output);
    expect(global_step).toBe(STEPS);
    const losses = log_history.flatMap((row) => ('loss' in row ? [row.loss as number] : []));
    expect(losses.length).toBe(STEPS);
    expect(losses.at(-1)).toBeLessThan((losses[0] as number) - 0.3);
  });
});

test('Phi-3 without target modules is asked for them, as PEFT does', async () => {
  const { code, stderr } = await train(path.join(ROOT, 'phi3', 'dense'), path.join(directory(), 'run'));
  expect(code).toBe(2);
  expect(stderr).toContain('lora_target_modules: has no default for this architecture');
  expect(stderr).toContain('qkv_proj');
});
