/** LoRA on a checkpoint that bitsandbytes quantized is reported and recorded as quantized. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { loadTrainConfig } from '../../src/config/index.ts';
import { baseQuantization, prequantizedNote } from '../../src/estimate/base-quantization.ts';
import { nodeReader } from '../../src/node/files.ts';
import { readRunInput } from '../../src/train/session.ts';

const golden = (name: string) => new URL(`../golden/${name}`, import.meta.url).pathname;
/** NF4 in blocks of 64 with double quantization. */
const QUANTIZED = golden('peft-steps/qlora/base');
const PLAIN = golden('llama/untied-gqa-f32');

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(path.join(os.tmpdir(), 'nibble-base-'));
  writeFileSync(path.join(folder, 'rows.jsonl'), '{"input_ids": [1, 2, 3, 4]}\n');
});
afterAll(() => rmSync(folder, { recursive: true }));

async function inputOf(model: string, flags: Record<string, string>) {
  const datasets = path.join(folder, 'rows.jsonl');
  const { values } = loadTrainConfig({ flags: { model_name_or_path: model, datasets, ...flags } });
  return readRunInput(values, nodeReader);
}

const NF4 = { quantType: 'nf4', blockSize: 64, doubleQuant: true };

test('the checkpoint decides, whatever the method and the settings', async () => {
  for (const flags of [{}, { method: 'qlora' }, { method: 'qlora', bnb_4bit_quant_type: 'fp4' }])
    expect(baseQuantization((await inputOf(QUANTIZED, flags)).layout)).toMatchObject(NF4);
});

test('where it is not quantized, the settings decide', async () => {
  expect(baseQuantization((await inputOf(PLAIN, {})).layout)).toBeNull();
  const layout = (await inputOf(PLAIN, { method: 'qlora', bnb_4bit_quant_type: 'fp4' })).layout;
  expect(baseQuantization(layout)).toMatchObject({ quantType: 'fp4', blockSize: 64, doubleQuant: false });
});

test('it is said where the settings do not say it, and only there', async () => {
  const note = async (model: string, flags: Record<string, string>) => prequantizedNote(await inputOf(model, flags));
  expect(await note(QUANTIZED, {})).toBe(
    'the base is quantized to 4 bits in its checkpoint (nf4, blocks of 64, double quantization) and stays so: ' +
      'this LoRA is what others call QLoRA',
  );
  expect(await note(QUANTIZED, { method: 'qlora' })).toContain('the bnb_4bit_ settings do not change that');
  expect(await note(QUANTIZED, { method: 'qlora', bnb_4bit_use_double_quant: 'true' })).toBeNull();
  expect(await note(PLAIN, {})).toBeNull();
  expect(await note(PLAIN, { method: 'qlora' })).toBeNull();
});
