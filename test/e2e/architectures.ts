/** `nibble train` on a model of every architecture. */
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { expect } from 'vitest';
import { learnableRows } from '../train/run.ts';
import { directory, GOLDEN, nibbleTrain, trainerState } from './nibble.ts';

export const ROOT = path.join(GOLDEN, 'architectures');
export const NAMES = readdirSync(ROOT).filter((name) => !name.includes('.'));
const STEPS = 10;
const rows = path.join(directory({ 'rows.jsonl': learnableRows(1, 40, 12, 128) }), 'rows.jsonl');

export const train = (model: string, output: string, ...flags: readonly string[]) =>
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

/** A method and the form of the base that it trains on. */
export const FORMS = [
  ['lora', 'dense'],
  ['qlora', 'dense'],
  ['qlora', 'bnb-4bit'],
] as const;

export async function expectFallingLoss(name: string, method: string, form: string): Promise<void> {
  const output = path.join(directory(), 'run');
  const flags = ['--method', method, '--lora_target_modules', 'all-linear'];
  const { code, stderr } = await train(path.join(ROOT, name, form), output, ...flags);
  expect([code, code === 0 ? '' : stderr]).toEqual([0, '']);
  const { global_step, log_history } = trainerState(output);
  expect(global_step).toBe(STEPS);
  const losses = log_history.flatMap((row) => ('loss' in row ? [row.loss as number] : []));
  expect(losses.length).toBe(STEPS);
  expect(losses.at(-1)).toBeLessThan((losses[0] as number) - 0.3);
}
