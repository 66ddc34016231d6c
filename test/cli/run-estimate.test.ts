/** `nibble estimate`: its table and its JSON. */

import { mkdtempSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { Readable } from 'node:stream';
import { expect, test } from 'vitest';
import { runEstimate } from '../../src/cli/estimate/run.ts';
import { loadTrainConfig } from '../../src/config/index.ts';

/** Llama-3-70B's widths: its embedding in f32 exceeds an NVIDIA binding. */
const WIDE = {
  architectures: ['LlamaForCausalLM'],
  vocab_size: 128_256,
  hidden_size: 8192,
  intermediate_size: 28_672,
  num_hidden_layers: 2,
  num_attention_heads: 64,
  num_key_value_heads: 8,
  torch_dtype: 'bfloat16',
};

async function estimate(
  json: boolean,
  shape: object = WIDE,
  more: Record<string, string> = {},
  profile?: string,
  gpu?: string,
): Promise<string> {
  const directory = mkdtempSync(path.join(os.tmpdir(), 'nibble-estimate-'));
  const file = { path: path.join(directory, 'config.json'), text: JSON.stringify(shape) };
  writeFileSync(file.path, file.text);
  const flags = { model_name_or_path: directory, per_device_train_batch_size: '1', max_length: '128', ...more };
  const config = loadTrainConfig({ flags }, 'estimate');
  let written = '';
  const stdout = { write: (text: string) => (written += text) };
  // what takes long shows its progress there
  const stderr = { write: () => true };
  const context = { stdin: Readable.from([]), stdout, stderr, env: {}, signal: new AbortController().signal };
  await runEstimate(
    { config, modelConfig: file, profile, gpu, cards: gpu !== undefined, json, markdown: false },
    context,
  );
  return written;
}

test('a method the device cannot do is a reason; the others have their figures', async () => {
  const rows = JSON.parse(await estimate(true)).estimates as {
    method: string;
    peak_bytes: number | null;
    reason?: string;
  }[];
  expect(rows.map((row) => row.method)).toEqual(['lora', 'qlora', 'full']);
  expect(rows.map((row) => row.peak_bytes === null)).toEqual([false, false, true]);
  expect(rows[2]?.reason).toContain('model.embed_tokens.weight has 4202692608 bytes to train');
  expect(rows[1]?.peak_bytes).toBeLessThan(rows[0]?.peak_bytes ?? 0);
});

test('the table says so too, and names the batch it is for', async () => {
  const text = await estimate(false);
  expect(text).not.toContain('what fits');
  expect(text).toContain('full batches of 1 x 128 tokens');
  expect(text).toMatch(/peak +[\d.]+ GiB +[\d.]+ GiB +–/);
  expect(text).toContain('full: model.embed_tokens.weight');
});

test('that tiles are the default ones is said where the device has tiles', async () => {
  expect(await estimate(false)).toContain('default tiles: where nibble tune-kernels kept others, workspace may differ');
  expect(JSON.parse(await estimate(true))).toMatchObject({ profile: 'nvidia', tiles: 'default' });
  const narrow = { ...WIDE, hidden_size: 64, intermediate_size: 64, num_attention_heads: 4, num_key_value_heads: 4 };
  const software = await estimate(false, { ...narrow, vocab_size: 64 }, {}, 'swiftshader');
  expect(software).toContain('device profile swiftshader');
  expect(software).not.toContain('tiles');
});

test('the peak of each phase stands below the peak of all', async () => {
  const text = await estimate(false);
  const cells = (label: string) => new RegExp(`^ *${label} +(\\S+ GiB) +(\\S+ GiB) +–$`, 'm').exec(text)?.slice(1);
  expect(cells('in load')).toHaveLength(2);
  // training is the phase of the peak
  expect(cells('in train')).toEqual(cells('peak'));
});

test('what the qlora column assumes is said, and taken from the settings where they say it', async () => {
  const assumed = { bnb_4bit_quant_type: 'nf4', bnb_4bit_use_double_quant: true, bnb_4bit_blocksize: 64 };
  const recipe = async (more: Record<string, string>) =>
    (JSON.parse(await estimate(true, WIDE, more)) as { qlora_quantization: object }).qlora_quantization;
  expect(await recipe({})).toEqual({ ...assumed, assumed: true });
  const plain = { bnb_4bit_use_double_quant: 'false' };
  expect(await recipe(plain)).toEqual({ ...assumed, bnb_4bit_use_double_quant: false, assumed: true });
  expect(await recipe({ method: 'qlora' })).toEqual({ ...assumed, bnb_4bit_use_double_quant: false, assumed: false });
  const text = await estimate(false);
  expect(text).toMatch(/^qlora: nf4 in blocks of 64 with double quantization, 4\.127 bits a parameter/m);
  expect(text).toContain('The settings are not for qlora: this is what the column assumes');
  expect(await estimate(false, WIDE, { method: 'qlora' })).not.toContain('assumes');
});

test('a max_length beyond the positions is cut to them, and said', async () => {
  const text = await estimate(false, { ...WIDE, max_position_embeddings: 96 });
  expect(text).toContain('full batches of 1 x 96 tokens (all positions of the model)');
});

test('max_gpu_memory: which methods fit it', async () => {
  const limit = { max_gpu_memory: '8GB' };
  expect(await estimate(false, WIDE, limit)).toMatch(
    /^peak .*\n +in GB +8\.79 GB +6\.25 GB +–\nfits 7\.45 GiB +no +yes +–$/m,
  );
  const { estimates, ...settings } = JSON.parse(await estimate(true, WIDE, limit));
  expect(settings.max_gpu_memory).toBe(8e9);
  expect(estimates.map((row: { fits?: boolean }) => row.fits)).toEqual([false, true, undefined]);
});

test('where no method can be done, the reason is the error', async () => {
  const huge = { ...WIDE, hidden_size: 65_536, intermediate_size: 65_536, vocab_size: 64_000_000 };
  await expect(estimate(true, huge)).rejects.toMatchObject({ name: 'DeviceError' });
});

test('one card: what it holds of each method, what would help, and what was assumed', async () => {
  const narrow = { ...WIDE, hidden_size: 512, intermediate_size: 1024, num_attention_heads: 8, num_key_value_heads: 8 };
  const shape = { ...narrow, vocab_size: 4096, max_position_embeddings: 256 };
  const text = await estimate(false, shape, {}, undefined, '0.03');
  expect(text).toMatch(/^0\.03 GB +27\.65 MiB +– +– +[\d,–]+ +[\d*–]+ +– +–$/m);
  expect(text).toMatch(
    /^full does not fit 0\.03 GB\.\nWhat would help, and what the run would need then:\n {2}method: /m,
  );
  const { guide } = JSON.parse(await estimate(true, shape, {}, 'lavapipe', 'rx7600'));
  expect(guide.cards).toHaveLength(1);
  expect(guide.cards[0]).toMatchObject({ card: 'rx7600', title: 'AMD Radeon RX 7600', memory_bytes: 8 * 2 ** 30 });
  expect(guide.cards[0].methods.map((row: { longest_row: number }) => row.longest_row)).toEqual([256, 256, 256]);
  // the settings were given as they are, without usual ones
  expect(guide.assumed).toEqual({});
  await expect(estimate(true, shape, {}, undefined, 'rtx')).rejects.toThrow('--gpu: got "rtx", which may be one of');
});
