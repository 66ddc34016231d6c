/** The JSON Schema, the flag table and the printed form say the same as the loader. */
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { z } from 'zod';
import { schemaOf } from '../../src/config/describe.ts';
import {
  configJsonSchema,
  flagTable,
  loadTrainConfig,
  printConfig,
  quietFlagNames,
  settingKeys,
  suiteJsonSchema,
} from '../../src/config/index.ts';
import { settings } from '../../src/config/settings.ts';
import { BLOCK_SIZES } from '../../src/wasm/types.ts';

const MINIMAL = { model_name_or_path: './llama', datasets: [{ path: 'rows.jsonl' }] };
const validator = z.fromJSONSchema(configJsonSchema() as Parameters<typeof z.fromJSONSchema>[0]);

function loads(settings: Record<string, unknown>): boolean {
  try {
    loadTrainConfig({ file: { path: 'c.yaml', text: stringify({ ...MINIMAL, ...settings }) } });
    return true;
  } catch {
    return false;
  }
}

describe('JSON Schema', () => {
  // one setting at a time: only the loader knows rules between settings
  const cases: Record<string, unknown>[] = [
    {},
    { lora_r: 4 },
    { lora_r: 0 },
    { lora_r: 1.5 },
    { lora_r: '4' },
    { lora_r: null },
    { lora_rr: 4 },
    { learning_rate: 1e-5 },
    { learning_rate: -1 },
    { max_steps: -1 },
    { max_steps: 0 },
    { max_steps: 9 },
    { warmup_steps: 0.5 },
    { warmup_steps: 1.5 },
    { warmup_steps: 10 },
    { warmup_ratio: 0.1 },
    { warmup_ratio: 2 },
    { lora_target_modules: 'all-linear' },
    { lora_target_modules: ['q'] },
    { lora_target_modules: [] },
    { eval_datasets: [{ path: 'a' }] },
    { eval_datasets: [{ pth: 'a' }] },
    { eval_datasets: ['a'] },
    { packing: false },
    { packing: true },
    { packing_strategy: 'bfd_split' },
    { packing_strategy: 'ffd' },
    { shuffle_dataset: false },
    { shuffle_dataset: true },
    { report_to: 'none' },
    { report_to: 'wandb' },
    { report_to: ['tensorboard', 'csv'] },
    { report_to: 'tensorbord' },
    { group_by_length: true },
    { group_by_length: 'random' },
    { bf16: 'auto' },
    { bf16: 'yes' },
    { fp16: null },
    { lora_model_dir: null },
    { lora_target_linear: 3 },
    { flash_attention: true },
    { stage: 'dpo' },
    { lora_target: 'all' },
    { lora_rank: 0 },
    { r: 2 },
    { bnb_4bit_blocksize: 128 },
    { bnb_4bit_blocksize: 100 },
    { init_lora_weights: false },
    { optim: 'adamw' },
    { data_seed: null },
    { data_seed: 3 },
    { seed: 2 ** 32 },
    { save_strategy: 'no' },
    { save_strategy: 'steps' },
    { save_strategy: 'never' },
    { save_steps: 0.1 },
    { save_steps: 1.5 },
    { resume_from_checkpoint: true },
    { resume_from_checkpoint: 3 },
  ];

  test.each(cases.map((settings) => [JSON.stringify(settings), settings] as const))(
    'agrees with the loader on %s',
    (_, settings) => {
      expect(validator.safeParse({ ...MINIMAL, ...settings }).success).toBe(loads(settings));
    },
  );

  test('both answers occur in those cases', () => {
    const answers = cases.map(loads);
    expect([answers.filter(Boolean).length, answers.filter((a) => !a).length]).toEqual([34, 25]);
  });

  test('describes every setting with text and default, and has no integer bound beyond those of the settings', () => {
    const { properties } = configJsonSchema();
    expect(settingKeys).toHaveLength(108);
    for (const key of settingKeys) {
      expect(properties?.[key]?.description, key).toMatch(/\w{3}/);
      if (key !== 'model_name_or_path') expect(properties?.[key], key).toHaveProperty('default');
    }
    expect(JSON.stringify(configJsonSchema())).not.toContain(String(Number.MAX_SAFE_INTEGER));
  });

  test.each([
    ['train', configJsonSchema],
    ['suite', suiteJsonSchema],
  ] as const)('schemas/%s.schema.json is what the settings say today', (name, schema) => {
    // To renew: nibble config schema [--suite] > schemas/NAME.schema.json, then npm run format
    const file = new URL(`../../schemas/${name}.schema.json`, import.meta.url);
    expect(JSON.parse(readFileSync(file, 'utf8'))).toEqual(schema());
  });
});

test('bnb_4bit_blocksize offers the block sizes of the codec', () => {
  const offered = schemaOf(settings.shape.bnb_4bit_blocksize).anyOf?.map((choice) => choice.const);
  expect(offered).toEqual([...BLOCK_SIZES]);
});

describe('flagTable', () => {
  test('has one row per setting, with names from its key and a section', () => {
    const table = flagTable();
    expect(table.map((row) => row.key)).toEqual(settingKeys);
    const row = table.find(({ key }) => key === 'bnb_4bit_quant_type');
    expect(row).toEqual({
      key: 'bnb_4bit_quant_type',
      flag: '--bnb_4bit_quant_type',
      env: 'NIBBLE_BNB_4BIT_QUANT_TYPE',
      section: 'Quantization (qlora)',
      type: 'one of nf4, fp4, int4',
      flagType: 'one of nf4, fp4, int4',
      isBoolean: false,
      default: 'nf4',
      huggingFaceDefault: 'fp4',
      help: '4-bit code of the base weights; int4, symmetric, is for comparing and in no checkpoint',
      aliases: ['quant_type', 'quantization_type'],
    });
  });

  test('no name is a setting and an alias or a refused key at once', () => {
    const quiet = quietFlagNames();
    expect(new Set(quiet).size).toBe(quiet.length);
    expect(quiet.filter((name) => (settingKeys as string[]).includes(name))).toEqual([]);
  });
});

describe('printConfig', () => {
  test('reads back as the same values, whatever the texts hold', () => {
    // anything a path can hold, starting with characters that mean something to YAML
    const path = fc.oneof(
      fc.string({ minLength: 1 }),
      fc.constantFrom('# x', 'a: b', '- a', '1e5', 'null', 'a\nb', ' a ', '"', "'", '*a', 'no'),
    );
    // what float32 takes for 0 or infinite is refused
    const rate = fc.oneof(fc.constant(0), fc.double({ min: 2 ** -126, max: 3e38, noNaN: true }));
    fc.assert(
      fc.property(path, path, rate, (model, data, rate) => {
        const settings = { model_name_or_path: model, datasets: [{ path: data }], learning_rate: rate, lora_r: 3 };
        const first = loadTrainConfig({ file: { path: 'c.json', text: JSON.stringify(settings) } });
        const again = loadTrainConfig({ file: { path: 'resolved.yaml', text: printConfig(first) } });
        expect(again.values).toEqual(first.values);
        expect(again.notices).toEqual([]);
      }),
      { seed: 1, numRuns: 200 },
    );
  });

  test('a printed bfloat16 run computes as the first one did', () => {
    const flags = {
      model: 'm',
      datasets: 'a',
      load_in_4bit: true,
      bnb_4bit_compute_dtype: 'bfloat16',
      bf16_as: 'float16',
    } as const;
    const first = loadTrainConfig({ flags });
    expect(loadTrainConfig({ file: { path: 'r.yaml', text: printConfig(first) } }).values).toEqual(first.values);
  });

  test('says where each value came from, and where Hugging Face differs', () => {
    const text = printConfig(
      loadTrainConfig({ file: { path: 'c.yaml', text: stringify(MINIMAL) }, flags: { lora_r: '4' } }),
    );
    expect(text).toMatch(/^model_name_or_path: \.\/llama +# c\.yaml:1$/m);
    expect(text).toMatch(/^lora_r: 4 +# --lora_r$/m);
    expect(text).toMatch(/^seed: 42 +# default$/m);
    expect(text).toMatch(/^logging_steps: 1 +# default, Hugging Face: 500$/m);
  });
});
