/** Keywords of a Python program under their own names: what each says, and what is done or said of it. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { loadTrainConfig, type ResolvedConfig } from '../../src/config/index.ts';
import { ConfigError } from '../../src/errors.ts';

const golden = JSON.parse(
  readFileSync(new URL('../golden/programs/keywords.json', import.meta.url), 'utf8'),
) as Readonly<Record<string, Readonly<Record<string, unknown>>>>;

/** Defaults that a configuration cannot have, and why. */
const EXCEPT: Readonly<Record<string, string>> = {
  model_name_or_path: 'a run needs one',
  use_peft: 'false trains all weights, which contradicts load_in_4bit below',
};

const load = (options: object): ResolvedConfig =>
  loadTrainConfig({ options: { model_name_or_path: 'm', datasets: [{ path: 'd' }], load_in_4bit: true, ...options } });

describe.each(Object.entries(golden))('%s', (kind, keywords) => {
  test('every keyword is taken with its default', () => {
    const counts = {
      TrainingArguments: 114,
      SFTConfig: 135,
      LoraConfig: 42,
      ModelConfig: 19,
      ScriptArguments: 6,
      BitsAndBytesConfig: 10,
    };
    expect(Object.keys(keywords)).toHaveLength(counts[kind as keyof typeof counts]);
    const refused = Object.entries(keywords).flatMap(([name, value]) => {
      if (name in EXCEPT) return [];
      try {
        load({ [name]: value });
        return [];
      } catch (error) {
        return [(error as ConfigError).message];
      }
    });
    expect(refused).toEqual([]);
  });
});

/** What is said of a keyword: null for nothing, a text for what its line contains, a pattern of a refusal. */
const SAID: readonly (readonly [string, unknown, string | null | { readonly refused: RegExp }])[] = [
  ['task_type', 'CAUSAL_LM', null],
  ['task_type', 'SEQ_CLS', { refused: /not supported yet/ }],
  ['inference_mode', true, { refused: /not supported yet/ }],
  ['fan_in_fan_out', true, { refused: /not supported yet/ }],
  ['peft_type', 'IA3', { refused: /set "LORA"/ }],
  ['remove_unused_columns', false, null],
  ['average_tokens_across_devices', false, null],
  ['ddp_find_unused_parameters', true, 'trains on one GPU'],
  ['label_names', ['labels'], null],
  ['label_names', ['target'], { refused: /read from the column "labels"; rename yours/ }],
  ['dataloader_num_workers', 4, 'reads rows as they are needed'],
  ['dataloader_pin_memory', false, null],
  ['dataloader_drop_last', true, { refused: /not supported yet/ }],
  ['save_total_limit', 3, null],
  ['save_safetensors', false, 'safetensors alone'],
  ['overwrite_output_dir', true, 'nothing is written over'],
  ['logging_strategy', 'epoch', 'a row every logging_steps'],
  ['logging_nan_inf_filter', true, 'logged as null'],
  ['tf32', true, 'kernels of its own'],
  ['optim', 'paged_adamw_8bit', null],
  ['optim', 'adamw_bnb_8bit', 'same formula as adamw_8bit'],
  ['optim', 'galore_adamw', { refused: /"galore_adamw", which is not supported yet/ }],
  ['gradient_checkpointing', null, null],
  ['gradient_checkpointing_kwargs', { use_reentrant: false }, 'one way to compute a layer again'],
  ['max_seq_length', 512, 'read as max_length'],
  ['dataset_text_field', 'text', null],
  ['dataset_kwargs', { skip_prepare_dataset: true }, { refused: /column "input_ids"/ }],
  ['neftune_noise_alpha', 5, null],
  ['loss_type', 'dft', { refused: /set "nll"/ }],
  ['truncation_mode', 'keep_end', { refused: /set "keep_start"/ }],
  ['pad_token', '</s>', 'masked by its place'],
  ['group_by_length', true, 'read as train_sampling_strategy'],
  ['evaluation_strategy', 'no', 'read as eval_strategy'],
  ['warmup_ratio', 0.03, 'read as warmup_steps'],
  ['model_init_kwargs', { dtype: 'bfloat16' }, { refused: /write its keywords beside the other settings/ }],
  ['peft_config', { r: 8 }, { refused: /write its keywords beside the other settings/ }],
];

test.each(SAID)('%s: %j', (name, value, said) => {
  if (said !== null && typeof said === 'object') {
    expect(() => load({ [name]: value })).toThrow(ConfigError);
    expect(() => load({ [name]: value })).toThrow(said.refused);
    return;
  }
  const lines = load({ [name]: value }).notices.filter(({ path }) => path === name);
  expect(lines.map(({ message }) => message).join()).toEqual(said === null ? '' : expect.stringContaining(said));
});

test('null leaves gradient checkpointing and the compute dtype to their defaults', () => {
  const { values } = load({ gradient_checkpointing: null, bnb_4bit_compute_dtype: null, output_dir: null });
  expect(values).toMatchObject({
    gradient_checkpointing: false,
    compute_dtype: 'float32',
    output_dir: 'trainer_output',
  });
});
