/** What generation is said to need is what the ledger of a run of it then holds, category by category, to the byte. */
import { copyFileSync, mkdtempSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { estimateCommand } from '../../src/cli/estimate/command.ts';
import { runEstimate, runGenerateEstimate } from '../../src/cli/estimate/run.ts';
import type { GenerateInput } from '../../src/config/generate.ts';
import { CATEGORIES } from '../../src/gpu/category.ts';
import type { DeviceChoice } from '../../src/node/device-choice.ts';
import { estimateGenerate } from '../../src/node/estimate-generate.ts';
import { generate } from '../../src/node/generate.ts';
import { nibble } from '../cli/fakes.ts';
import { device } from '../gpu/harness.ts';
import { GOLDEN } from '../model/open.ts';

const OPTIONS = path.join(GOLDEN, 'peft-options');
const QWEN = path.join(GOLDEN, 'architectures/qwen2');
const several = { a: `${OPTIONS}/dora`, b: `${OPTIONS}/modules-to-save`, c: `${OPTIONS}/embedding` };
type Case = {
  readonly what: string;
  readonly model: string;
  readonly adapters?: Readonly<Record<string, string>>;
  readonly settings: GenerateInput;
};
const double = { load_in_4bit: true, bnb_4bit_use_double_quant: true };
const CASES: readonly Case[] = [
  { what: 'the base as it is', model: `${QWEN}/dense`, settings: { batch_size: 1 } },
  { what: 'nf4', model: `${QWEN}/dense`, settings: { batch_size: 8, load_in_4bit: true } },
  {
    what: 'an adapter on nf4 with double quantization',
    model: `${QWEN}/dense`,
    adapters: { a: `${QWEN}/adapter-init` },
    settings: { batch_size: 1, ...double },
  },
  { what: 'several adapters', model: `${OPTIONS}/biased`, adapters: several, settings: { batch_size: 8 } },
];
const LENGTHS = { prompt: 21, max_new_tokens: 3 };
const CONTEXT = LENGTHS.prompt + LENGTHS.max_new_tokens;

test.each(CASES)('$what: batch $settings.batch_size', async ({ model, adapters = {}, settings }) => {
  const { max_new_tokens, prompt } = LENGTHS;
  const common = { model_name_or_path: model, adapters, ...settings, max_new_tokens };
  const ids = Array.from({ length: prompt }, (_, i) => i + 3);
  const summary = await generate({
    ...common,
    prompts: Array.from({ length: settings.batch_size ?? 1 }, () => ids),
    ignore_eos: true,
    temperature: 0,
    device: (process.env.NIBBLE_TEST_DEVICE ?? 'auto') as DeviceChoice,
  });
  const { estimates } = await estimateGenerate({ ...common, context: CONTEXT, profile: device.profile });
  const [found] = estimates;
  expect(found).toMatchObject({ by_category: summary.by_category, peak_bytes: summary.peak_bytes });
  expect(summary.by_category.kv_cache).toBeGreaterThan(0);
});

describe('what fits', () => {
  const asked = { model_name_or_path: `${QWEN}/dense`, context: 40, batch_size: 3, profile: 'lavapipe' } as const;

  test('the answers fit, and one more does not', async () => {
    const [, nf4] = (await estimateGenerate(asked)).estimates;
    const most = (nf4?.peak_bytes as number) + 40_000;
    const limited = await estimateGenerate({ ...asked, load_in_4bit: true, max_gpu_memory: most });
    const [figures] = limited.estimates;
    if (figures?.peak_bytes === null || figures === undefined) throw new Error('no figures');
    const { fits, largest_batch_size = 0, longest_context = 0 } = figures;
    expect([fits, largest_batch_size >= 3, longest_context >= 40]).toEqual([true, true, true]);
    const peakAt = async (changed: object) =>
      (await estimateGenerate({ ...asked, load_in_4bit: true, ...changed })).estimates[0]?.peak_bytes as number;
    expect(await peakAt({ batch_size: largest_batch_size })).toBeLessThanOrEqual(most);
    expect(await peakAt({ batch_size: largest_batch_size + 1 })).toBeGreaterThan(most);
    const { max_new_tokens } = limited;
    expect(await peakAt({ context: longest_context, max_new_tokens })).toBeLessThanOrEqual(most);
    if (longest_context < limited.max_position_embeddings)
      expect(await peakAt({ context: longest_context + 1, max_new_tokens })).toBeGreaterThan(most);
    const [small] = (await estimateGenerate({ ...asked, load_in_4bit: true, max_gpu_memory: 1000 })).estimates;
    expect(small).toMatchObject({ fits: false, largest_batch_size: 0, longest_context: 0 });
  });
});

const run = (...argv: readonly string[]) =>
  nibble(['estimate', ...argv], [(context) => estimateCommand(context, runEstimate, runGenerateEstimate)]);

test('the command prints a table, and with --json what the call returns', async () => {
  const flags = ['--generate', '--batch-size', '2', '--context', '32', '--max-new-tokens', '8', '--load_in_4bit'];
  const adapter = ['--adapter', `${QWEN}/adapter-init=law`];
  const { stdout, stderr, code } = await run(`${QWEN}/dense`, ...flags, ...adapter);
  expect(code, stderr).toBe(0);
  expect(stdout).toContain('2 sequences at once, 32 tokens each: 24 tokens of a prompt and 8 new tokens');
  expect(stdout).toMatch(/^ +nf4$/m);
  expect(stdout).toMatch(/^kv_cache +[\d.]+ KiB$/m);
  const json = JSON.parse((await run(`${QWEN}/dense`, ...flags, ...adapter, '--json')).stdout);
  const adapters = { law: `${QWEN}/adapter-init` };
  const settings = { batch_size: 2, context: 32, max_new_tokens: 8, load_in_4bit: true };
  const called = await estimateGenerate({ model_name_or_path: `${QWEN}/dense`, adapters, ...settings });
  expect(json).toEqual(called);
  const [figures] = called.estimates;
  if (figures?.peak_bytes === null || figures === undefined) throw new Error('no figures');
  const parts = [...CATEGORIES, 'alignment' as const].map((category) => figures.by_category[category]);
  expect(parts.reduce((a, b) => a + b)).toBe(figures.peak_bytes);
});

test('config.json alone is enough, for the same bytes', async () => {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'nibble-config-'));
  copyFileSync(`${QWEN}/dense/config.json`, path.join(folder, 'config.json'));
  const [alone, whole] = await Promise.all(
    [folder, `${QWEN}/dense`].map((model) => estimateGenerate({ model_name_or_path: model, context: 32 })),
  );
  expect(alone?.estimates).toEqual(whole?.estimates);
  expect(whole?.estimates.map(({ base }) => base)).toEqual(['bfloat16', 'nf4', 'nf4+double']);
  copyFileSync(`${QWEN}/bnb-4bit/config.json`, path.join(folder, 'config.json'));
  await expect(estimateGenerate({ model_name_or_path: folder })).rejects.toThrow(/only the weights say/);
});

test.each([
  [['--generate', '--max_length', '8'], /max_length: is no setting of generation; with --generate there are/],
  [['--context', '8'], /context: is a setting of generation: add --generate/],
  [['--generate', '--context', '9999'], /context: got 9999, and the model has \d+ positions/],
  [['--generate', '--context', '8', '--max_new_tokens', '8'], /the context of 8 has to hold a prompt as well/],
  [['--generate', '--batch_size', '0'], /batch_size: got 0, wanted an integer of at least 1/],
  [['--generate', '--adapter', './none'], /adapter: there is no folder .\/none/],
])('refused: %s', async (flags, message) => {
  const { code, stderr, stdout } = await run(`${QWEN}/dense`, ...flags);
  expect([code, stdout]).toEqual([2, '']);
  expect(stderr).toMatch(message);
});

test('batch_size and adapter are still other names of training settings', async () => {
  const { stdout, code, stderr } = await run(`${QWEN}/dense`, '--batch_size', '3', '--adapter', 'qlora', '--json');
  expect(code, stderr).toBe(0);
  expect(JSON.parse(stdout)).toMatchObject({
    per_device_train_batch_size: 3,
    qlora_quantization: { assumed: false },
  });
});
