/** The built-in suite: the arms it compares, its cost, and texts that are the same everywhere. */
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { resolveBuiltins } from '../../src/bench/builtin.ts';
import { BUILTIN_TEXTS, type BuiltinText, builtinText } from '../../src/bench/builtin-data.ts';
import { loadSuite } from '../../src/config/index.ts';
import { ConfigError } from '../../src/errors.ts';
import { readModelConfig } from '../../src/formats/hf-config.ts';
import { checkWeights } from '../../src/model/check-weights.ts';
import { allLinears, parameterCount } from '../../src/model/modules.ts';
import { openWeights } from '../../src/model/random-weights.ts';
import { nodeReader } from '../../src/node/files.ts';
import { readRunInput } from '../../src/train/session.ts';

const PATH = fileURLToPath(new URL('../../bench/suites/quick.yaml', import.meta.url));
const suite = loadSuite({ file: { path: PATH, text: await readFile(PATH, 'utf8') } });
const arms = suite.cases[0]?.arms ?? [];

/** Bytes and sha256 of each text: a package release that changes one must not pass for the same data. */
const TEXTS: Readonly<Record<BuiltinText, readonly [bytes: number, sha256: string]>> = {
  'moby-dick-train': [1_150_198, '0ca8d7a6c4d567cdcb5812b9dc49b7856096e8872ae6e882672ff7c7dd4aa448'],
  'moby-dick-eval': [66_241, '4a5335fa910b488b09976bb70e44e31ce841779c160b48a44466657ecf4d4c02'],
  'sotu-train': [314_030, '7d43a7fed54735b25d0904867e1f0bde76c78ee4972ad045bca64a4be4e89dbd'],
  'sotu-eval': [2_686, 'a6612690bdcebbc14c67c75dc58f412a56b79dfe7cec6b5709d3967c3e5ab1a9'],
};

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'nibble-quick-'));
});
afterAll(() => rm(folder, { recursive: true }));

describe('quick.yaml', () => {
  test('compares LoRA on the stored base with QLoRA on NF4 and double quantization, three paired seeds', () => {
    expect(suite).toMatchObject({ suite: 'quick', division: 'closed', seeds: [0, 1, 2], notices: [] });
    expect(arms.map(({ name }) => name)).toEqual(['lora', 'qlora']);
    const [lora, qlora] = arms.map(({ config }) => config.values);
    expect(lora).toMatchObject({ method: 'lora', dtype: 'auto', lora_r: 8, lora_alpha: 16 });
    expect(lora).toMatchObject({ lora_target_modules: 'all-linear', eval_on_start: true });
    const quantized = { bnb_4bit_quant_type: 'nf4', bnb_4bit_use_double_quant: true, llm_int8_skip_modules: null };
    expect(qlora).toMatchObject({ method: 'qlora', ...quantized });
  });

  test('a run is 24 steps of 128 tokens and 1,024 evaluated tokens, every batch of one shape', async () => {
    for (const { config } of arms) {
      const { config: resolved } = await resolveBuiltins(config.values, folder);
      const { batches, evaluation } = await readRunInput(resolved, nodeReader);
      expect(batches.totalSteps).toBe(24);
      expect(batches.shapes).toEqual({ train: [{ B: 2, S: 64 }], evaluation: [{ B: 2, S: 64 }] });
      expect(evaluation.tokens).toBe(1024);
      expect(batches.train.stepsPerEpoch).toBeGreaterThan(24); // no row is seen twice
    }
  });

  test('a run is at most 20 GFLOP', async () => {
    const { config } = await resolveBuiltins(arms[0]!.config.values, folder);
    const model = await readModelConfig(nodeReader(config.model_name_or_path));
    const linears = allLinears(model);
    const weights = linears.reduce((sum, l) => sum + l.in * l.out, model.vocab_size * model.hidden_size);
    const adapters = linears.reduce((sum, l) => sum + config.lora_r * (l.in + l.out), 0);
    const q = model.num_attention_heads * model.head_dim;
    // scores and their sum over values, a multiplication and an addition each; the causal mask saves nothing here
    const attention = model.num_hidden_layers * 2 * 2 * config.max_length! * q;
    const forward = 2 * (weights + adapters) + attention;
    // backward: the frozen base needs dX alone, adapters dX and their own gradient; attention recomputes its scores
    const backward = 2 * weights + 4 * adapters + 2.5 * attention;
    const tokens = config.max_steps * config.per_device_train_batch_size * config.max_length!;
    expect(tokens * (forward + backward) + 2 * 1024 * forward).toBeLessThan(20e9);
  });
});

test('every suite of the package resolves, and names built-ins that exist', async () => {
  const directory = join(PATH, '..');
  const files = (await readdir(directory)).filter((f) => f.endsWith('.yaml'));
  expect(files.length).toBeGreaterThanOrEqual(12);
  for (const file of files) {
    const { suite: name, cases } = loadSuite({
      file: { path: file, text: await readFile(join(directory, file), 'utf8') },
    });
    expect(file).toBe(`${name}.yaml`);
    for (const { config } of cases.flatMap((entry) => entry.arms)) await resolveBuiltins(config.values, folder);
  }
});

describe('built-in texts', () => {
  test.each(BUILTIN_TEXTS)('%s is written as it always was', async (name) => {
    const given = { model_name_or_path: 'm', max_length: 64, eval_datasets: [{ path: 'own.jsonl' }] };
    const { config, files } = await resolveBuiltins({ ...given, datasets: [{ path: `builtin:${name}` }] }, folder);
    const path = join(folder, `${name}.txt`);
    const [bytes, sha256] = TEXTS[name];
    expect(config).toEqual({ ...given, datasets: [{ path }] });
    expect(files).toEqual([{ name, path, bytes, sha256 }]);
    expect(await readFile(path, 'utf8')).toBe(await builtinText(name));
  });

  test('no evaluated sentence is in the training text', async () => {
    for (const source of ['sotu', 'moby-dick'] as const) {
      const train = await builtinText(`${source}-train`);
      const sentences = (await builtinText(`${source}-eval`)).split(/(?<=[.?!])\s+/).filter((s) => s.length > 40);
      expect(sentences.length).toBeGreaterThan(10);
      expect(sentences.filter((s) => train.includes(s))).toEqual([]);
    }
  });

  test('a text named twice is listed once', async () => {
    const both = { datasets: [{ path: 'builtin:sotu-eval' }], eval_datasets: [{ path: 'builtin:sotu-eval' }] };
    const { files } = await resolveBuiltins({ model_name_or_path: 'builtin:tiny', max_length: 64, ...both }, folder);
    expect(files.map(({ name }) => name)).toEqual(['sotu-eval']);
  });

  test('a published shape with random weights, and rows of random tokens for it', async () => {
    const given = { model_name_or_path: 'builtin:random-smollm2-135m', max_length: 5, eval_datasets: [] };
    const { config } = await resolveBuiltins({ ...given, datasets: [{ path: 'builtin:random-tokens' }] }, folder);
    const reader = nodeReader(config.model_name_or_path);
    const model = await readModelConfig(reader);
    expect(parameterCount(model)).toBe(134_515_008); // what the published model card counts
    await checkWeights(model, await openWeights(reader, model));
    const rows = (await readFile(config.datasets[0]?.path as string, 'utf8')).trim().split('\n');
    expect(rows.length).toBe(64);
    const ids = rows.flatMap((row) => (JSON.parse(row) as { input_ids: number[] }).input_ids);
    expect(ids.length).toBe(64 * 5);
    expect(Math.max(...ids)).toBeLessThan(49_152);
    expect(new Set(ids).size).toBeGreaterThan(300);
  });

  test.each([
    ['datasets', { model_name_or_path: 'm', datasets: [{ path: 'builtin:sotu' }], eval_datasets: [] }],
    ['eval_datasets', { model_name_or_path: 'm', datasets: [], eval_datasets: [{ path: 'builtin:sotu' }] }],
    ['model_name_or_path', { model_name_or_path: 'builtin:toString', datasets: [], eval_datasets: [] }],
  ])('an unknown name in %s is refused with the names there are', async (path, paths) => {
    const error = await resolveBuiltins({ max_length: 64, ...paths }, folder).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(ConfigError);
    const known = path === 'model_name_or_path' ? 'builtin:tiny' : 'builtin:sotu-train';
    expect((error as ConfigError).problems).toEqual([{ path, message: expect.stringContaining(known) as string }]);
  });
});
