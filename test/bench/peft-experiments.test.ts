/** PEFT's experiments as a suite: arms by METHOD/NAME, defaults and differences, what is left out, and what is refused. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parse } from 'yaml';
import { readExperiments } from '../../src/bench/peft-experiments.ts';
import { loadSuite } from '../../src/config/index.ts';
import { ConfigError } from '../../src/errors.ts';

let root: string;
beforeAll(() => {
  root = mkdtempSync(path.join(os.tmpdir(), 'nibble-peft-'));
});
afterAll(() => rmSync(root, { recursive: true }));

function experiments(name: string, files: Readonly<Record<string, object>>): string {
  for (const [file, content] of Object.entries(files)) {
    const at = path.join(root, name, file);
    mkdirSync(path.dirname(at), { recursive: true });
    writeFileSync(at, JSON.stringify(content));
  }
  return path.join(root, name, 'experiments');
}

/** A LoraConfig as PEFT saves it, shortened. */
const LORA = {
  peft_type: 'LORA',
  task_type: null,
  r: 32,
  lora_alpha: 64,
  target_modules: ['v_proj', 'q_proj'],
  lora_dropout: 0,
};

test('adapter_config.json and the differences from the defaults make an arm each; what all share is the base', async () => {
  const folder = experiments('good', {
    'default_training_params.json': {
      model_id: 'm/base',
      batch_size: 2,
      optimizer_kwargs: { lr: 2e-4 },
      query_template: 'Q: {query}',
    },
    'experiments/lora/rank32/adapter_config.json': LORA,
    'experiments/lora/rank32-int4/adapter_config.json': { ...LORA, use_rslora: true },
    'experiments/lora/rank32-int4/training_params.json': { dtype: 'int4', lr_scheduler: null },
    'experiments/full/full/training_params.json': { batch_size: 1, use_gc: true },
    'experiments/ia3/default/adapter_config.json': { peft_type: 'IA3' },
  });
  const notes: string[] = [];
  const file = await readExperiments(folder, (text) => notes.push(text));
  expect(notes).toEqual([
    'ia3/default is left out: its peft_type is "IA3", and nibble trains LORA',
    'not followed: query_template; datasets are given as settings: --datasets, --eval_datasets',
  ]);
  const suite = loadSuite({ file, flags: { datasets: 'rows.jsonl', max_steps: '8' } });
  expect(suite).toMatchObject({ suite: 'experiments', division: 'open', seeds: [0] });
  const arms = new Map(suite.cases[0]!.arms.map(({ name, config }) => [name as string, config.values]));
  expect([...arms.keys()]).toEqual(['full--full', 'lora--rank32', 'lora--rank32-int4']);
  const shared = {
    model_name_or_path: 'm/base',
    max_length: 768,
    weight_decay: 0.1,
    learning_rate: 2e-4,
    max_steps: 8,
  };
  for (const values of arms.values()) expect(values).toMatchObject(shared);
  expect(arms.get('full--full')).toMatchObject({
    method: 'full',
    per_device_train_batch_size: 1,
    gradient_checkpointing: true,
  });
  expect(arms.get('lora--rank32')).toMatchObject({
    method: 'lora',
    lora_r: 32,
    lora_alpha: 64,
    lr_scheduler_type: 'cosine',
  });
  // int4 there is load_in_4bit alone: fp4, no double quantization, computed in float32
  expect(arms.get('lora--rank32-int4')).toMatchObject({
    method: 'qlora',
    bnb_4bit_quant_type: 'fp4',
    bnb_4bit_use_double_quant: false,
    compute_dtype: 'float32',
    use_rslora: true,
    lr_scheduler_type: 'constant',
    per_device_train_batch_size: 2,
  });
  expect(Object.keys(parse(file.text).base)).toContain('max_steps');
});

test('parameters that cannot be followed are refused together, with the experiment they stand in', async () => {
  const folder = experiments('bad', {
    'experiments/lora/a/adapter_config.json': LORA,
    'experiments/lora/a/training_params.json': { dtype: 'int8' },
    'experiments/lora/b/adapter_config.json': LORA,
    'experiments/lora/b/training_params.json': { optimizer_type: 'lora+', batchsize: 3 },
  });
  const error = await readExperiments(folder, () => undefined).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(ConfigError);
  const paths = (error as ConfigError).problems.map((problem) => problem.path);
  expect(paths).toEqual(['training_params.json.dtype', 'training_params.json.optimizer_type', 'training_params.json']);
  expect((error as ConfigError).problems[0]?.message).toContain('experiments/lora/a');
});

test('a folder without experiments is refused with what it should hold', async () => {
  const folder = experiments('none', { 'experiments/readme.json': {} });
  await expect(readExperiments(folder, () => undefined)).rejects.toThrow(/holds no METHOD\/NAME\/adapter_config\.json/);
});
