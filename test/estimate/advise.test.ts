/** Advice before a run: what far-off settings and rows are told, and that published recipes are told nothing. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { loadTrainConfig } from '../../src/config/index.ts';
import { loadDataset } from '../../src/data/dataset.ts';
import { rowAdvice } from '../../src/estimate/advise-rows.ts';
import { settingAdvice } from '../../src/estimate/advise-settings.ts';
import { referenceModel } from '../../src/estimate/reference-models.ts';
import { memoryReader } from '../../src/formats/memory.ts';
import { allLinears } from '../../src/model/modules.ts';
import type { Advice } from '../../src/train/advice.ts';
import { modelLayout } from '../../src/train/model-layout.ts';

const RECIPES = new URL('../golden/recipes/', import.meta.url).pathname;
const codes = (advice: readonly Advice[]): string[] => advice.map(({ code }) => code);

async function onSettings(text: string, totalSteps = 1000, name = 'Llama-3.2-1B') {
  const { values: config } = loadTrainConfig({ file: { path: 'run.yaml', text } }, 'estimate');
  const model = referenceModel(name);
  const layout = await modelLayout({ config, model, source: null, adapter: null, maxPositions: 512 });
  const targets = layout.lora?.layout.targets ?? null;
  const facts = { model, totalSteps, isQuantized: config.method === 'qlora', targets, linears: allLinears(model) };
  return settingAdvice({ ...facts, config });
}

const told = (more: string, totalSteps?: number, name?: string) =>
  onSettings(`model_name_or_path: m\nlearning_rate: 2.0e-4\n${more}`, totalSteps, name);

describe('settings', () => {
  test('published recipes are told nothing', async () => {
    const files = ['axolotl-qlora.yml', 'llama-factory-qlora.yaml'];
    for (const file of files)
      expect(await onSettings(readFileSync(path.join(RECIPES, file), 'utf8')), file).toEqual([]);
    const shapes = ['lora_r: 16\nlora_alpha: 32', 'lora_r: 64\nlora_alpha: 16', 'lora_r: 256\nlora_alpha: 32'];
    for (const shape of [...shapes, 'lora_r: 1\nlora_alpha: 32', 'lora_r: 256\nlora_alpha: 16\nuse_rslora: true'])
      expect(await told(`method: qlora\nlora_target_modules: all-linear\n${shape}`), shape).toEqual([]);
    const small = await onSettings('model_name_or_path: m\nmethod: full\nlearning_rate: 1.0e-3', 10, 'SmolLM2-135M');
    expect(small).toEqual([]);
  });

  test('a rate of another method', async () => {
    const [low] = await onSettings('model_name_or_path: m');
    expect(low).toMatchObject({ code: 'rate_low', path: 'learning_rate', fix: 'set 2e-4' });
    expect(low?.message).toBe(
      '5e-5 is the rate of a full fine-tune; adapters learn with 1e-4 to 5e-4, about 10 times as much',
    );
    const at = (rate: string, more = '') => onSettings(`model_name_or_path: m\nlearning_rate: ${rate}\n${more}`);
    expect(codes(await at('1.0e-4'))).toEqual([]);
    expect(codes(await at('0.9e-4'))).toEqual(['rate_low']);
    expect(codes(await at('0.9e-4', 'lora_alpha: 24'))).toEqual([]);
    expect(codes(await at('1.0e-3'))).toEqual([]);
    expect((await at('0.02'))[0]).toMatchObject({
      code: 'rate_high',
      message: expect.stringContaining('0.02 is 100 times'),
    });
    expect(codes(await at('1.0e-4', 'method: full'))).toEqual([]);
    expect((await at('2.0e-4', 'method: full'))[0]).toMatchObject({ code: 'rate_high', fix: 'start from 2e-5' });
  });

  test('a scale, a rank', async () => {
    const [scale] = await told('lora_r: 8\nlora_alpha: 512');
    expect(scale).toMatchObject({ code: 'scale', fix: 'set 8 (a scale of 1) or 16' });
    expect(scale?.message).toContain("512 / 8 multiplies the adapter's output by 64");
    expect((await told('lora_r: 256'))[0]?.message).toContain('8 / 256');
    expect(codes(await told('lora_r: 64\nlora_alpha: 64\nuse_rslora: true'))).toEqual([]);
    // k and v of the model are 512 x 2048
    expect(codes(await told('lora_r: 409\nlora_alpha: 409\nlora_target_modules: [k_proj]'))).toEqual([]);
    const [rank] = await told('lora_r: 410\nlora_alpha: 410\nlora_target_modules: [k_proj]');
    expect(rank).toMatchObject({ code: 'rank', path: 'lora_r', fix: 'set 204 or less, or method: full' });
    expect(rank?.message).toContain('410 x (512 + 2048) makes 1,049,600 parameters for the 512 x 2048 = 1,048,576 of');
    expect(rank?.message).toContain('and no fewer in 15 other modules');
  });

  test('targets of a 4-bit base', async () => {
    const [targets] = await told('method: qlora');
    expect(targets).toMatchObject({ code: 'targets', path: 'lora_target_modules' });
    expect(targets?.message).toContain(
      'adapts q_proj, v_proj of a 4-bit base and leaves out k_proj, o_proj, gate_proj',
    );
    // 16 layers, r 8: q and v, then all seven
    expect(targets?.fix).toBe('set all-linear (5,636,096 trained parameters instead of 851,968)');
    expect(await told('method: lora')).toEqual([]);
    expect(await told('method: qlora\nlora_target_modules: [q_proj, v_proj, down_proj]')).toEqual([]);
  });

  test('a warm-up without an end, a step of many rows', async () => {
    const [warmup] = await told('warmup_steps: 100', 50);
    expect(warmup?.message).toBe(
      '100 steps of warm-up in a run of 50 steps: the learning rate ends at 9.8e-5 and never reaches 2e-4',
    );
    expect(await told('warmup_steps: 100', 101)).toEqual([]);
    expect(await told('warmup_steps: 100\nlr_scheduler_type: constant', 50)).toEqual([]);
    expect(await told('gradient_accumulation_steps: 8')).toEqual([]);
    expect((await told('gradient_accumulation_steps: 9'))[0]).toMatchObject({ code: 'batch' });
  });
});

type Tokens = { readonly input_ids: readonly number[]; readonly labels?: readonly number[] };
const EOS = 1;

async function onRows(rows: readonly Tokens[], settings = '', evaluation: readonly Tokens[] = []) {
  const text = `model_name_or_path: m\ndatasets: [{path: train}]\n${settings}`;
  const config = loadTrainConfig({ file: { path: 'run.yaml', text } });
  const lines = (of: readonly Tokens[]) => of.map((row) => JSON.stringify(row)).join('\n');
  const reader = memoryReader(
    new Map([
      ['train', lines(rows)],
      ['eval', lines(evaluation)],
    ]),
    '.',
  );
  const { max_length: maxLength } = config.values;
  const options = { vocabSize: 100, maxPositions: 100, maxLength, tokenizer: null, eosIds: new Set([EOS]) };
  const train = await loadDataset(reader, [{ path: 'train' }], options);
  const specs = evaluation.length > 0 ? [{ path: 'eval' }] : [];
  const held = await loadDataset(reader, specs, options);
  return rowAdvice({ config: config.values, isSet: () => false, train, evaluation: held });
}

const repeated = (count: number, row: Tokens): Tokens[] => Array.from({ length: count }, () => row);

describe('rows', () => {
  const fine = { input_ids: [5, 6, 7, EOS], labels: [-100, -100, 7, EOS] };

  test('that are whole, and end, are told nothing', async () => {
    expect(await onRows(repeated(20, fine))).toEqual([]);
    expect(await onRows(repeated(200, fine), '', [fine])).toEqual([]);
    // pieces of a text
    expect(await onRows(repeated(20, { input_ids: [5, 6, 7, 8] }))).toEqual([]);
  });

  test('whose EOS is masked as padding is, or absent', async () => {
    const [masked] = await onRows(repeated(20, { ...fine, labels: [-100, -100, 7, -100] }));
    expect(masked).toMatchObject({ code: 'eos_masked' });
    expect(masked?.message).toContain('the EOS ends 20 of 20 rows and is a label in none');
    const [absent] = await onRows(repeated(20, { input_ids: [5, EOS, 7, 8], labels: [-100, -100, 7, 8] }));
    expect(absent).toMatchObject({ code: 'eos_absent' });
    expect(codes(await onRows([fine, { ...fine, labels: [-100, -100, 7, -100] }]))).toEqual([]);
  });

  test('that are cut: how many and by how much', async () => {
    const long = { input_ids: Array.from({ length: 30 }, () => 5) };
    const [cut, ...others] = await onRows([...repeated(9, fine), long], 'max_length: 24');
    expect(others).toEqual([]);
    expect(cut).toMatchObject({ code: 'rows_cut', path: 'max_length', fix: 'max_length: 30 holds the longest' });
    expect(cut?.message).toBe(
      '24 cuts 1 of 10 train rows (10 %), and leaves out 6 of 66 tokens (9.1 %), the ends of the rows',
    );
    expect(await onRows([...repeated(99, fine), long], 'max_length: 24', [fine])).toEqual([]);
  });

  test('without others to evaluate on, or with the same', async () => {
    const [none] = await onRows(repeated(100, fine));
    expect(none).toMatchObject({ code: 'no_evaluation', fix: expect.stringMatching(/^0\.05 holds back 5 rows/) });
    expect(await onRows(repeated(99, fine))).toEqual([]);
    expect(codes(await onRows([fine], 'eval_datasets: [{path: train}]', [fine]))).toEqual(['eval_on_train']);
  });
});
