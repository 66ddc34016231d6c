/** Configurations of other trainers: what is taken, what is said of it, and what stays an error. */
import { describe, expect, test } from 'vitest';
import { loadTrainConfig, wasSet } from '../../src/config/index.ts';
import type { ConfigError } from '../../src/errors.ts';

const DATA = 'datasets: [{path: rows.jsonl}]\n';
const load = (text: string) => loadTrainConfig({ file: { path: 'recipe.yaml', text: DATA + text } });
const notices = (text: string) => load(text).notices.map(({ path, message }) => `${path}: ${message}`);

describe("Axolotl's spellings", () => {
  const QLORA = `base_model: ./llama
load_in_8bit: false
load_in_4bit: true
adapter: qlora
lora_model_dir:
sequence_len: 2048
sample_packing: true
lora_r: 32
lora_alpha: 16
lora_dropout: 0.05
lora_target_modules:
lora_target_linear: true
lora_fan_in_fan_out:
gradient_accumulation_steps: 4
micro_batch_size: 2
optimizer: paged_adamw_32bit
learning_rate: 0.0002
bf16: auto
fp16:
tf32: false
gradient_checkpointing: true
wandb_project:
flash_attention: true
deepspeed:
strict: false
`;

  test('are read, with the defaults that Axolotl would take', () => {
    const config = load(QLORA);
    expect(config.values).toMatchObject({
      model_name_or_path: './llama',
      method: 'qlora',
      max_length: 2048,
      packing: true,
      lora_target_modules: 'all-linear',
      per_device_train_batch_size: 2,
      optim: 'paged_adamw_32bit',
      float16_if_possible: true,
      // not in the recipe
      bnb_4bit_use_double_quant: true,
      num_train_epochs: 1,
      lr_scheduler_type: 'cosine',
      adapter_name_or_path: null,
    });
    expect(wasSet(config, 'num_train_epochs')).toBe(false);
  });

  test('what is done instead is said, and of what is left empty nothing', () => {
    const said = notices(QLORA);
    const about = (name: string) => said.filter((text) => text.startsWith(`${name}:`));
    expect(about('recipe')).toEqual([
      'recipe: read as one of Axolotl, whose defaults hold where it says nothing: bnb_4bit_use_double_quant true, ' +
        'num_train_epochs 1, lr_scheduler_type cosine',
    ]);
    expect(about('flash_attention')[0]).toMatch(/^flash_attention: true: nibble has kernels of its own.*recipe\.yaml/);
    expect(about('optimizer').join()).not.toMatch(/computed|same formula/);
    for (const name of ['wandb_project', 'deepspeed', 'lora_model_dir', 'tf32', 'strict', 'load_in_8bit', 'fp16'])
      expect(about(name), name).toEqual([]);
    expect(said.join('\n')).not.toContain('remove it');
  });

  test('without an adapter all weights are trained, unless something of one is set', () => {
    const bare = 'base_model: ./llama\nmicro_batch_size: 2\nsequence_len: 64\n';
    for (const recipe of [bare, `${bare}adapter:\n`]) {
      expect(load(recipe).values.method).toBe('full');
      expect(notices(recipe).join()).toContain('whose defaults hold where it says nothing: method full');
    }
    expect(load(`${bare}lora_r: 4\n`).values.method).toBe('lora');
    expect(load(`${bare}load_in_4bit: true\n`).values.method).toBe('qlora');
    expect(load(`${bare}method: lora\n`).values.method).toBe('lora');
  });

  test('base_model alone is only another name', () => {
    expect(load('base_model: ./llama\n').values.num_train_epochs).toBe(3);
  });
});

describe("LLaMA-Factory's spellings", () => {
  const QLORA = `model_name_or_path: ./llama
quantization_bit: 4
quantization_method: bnb
stage: sft
do_train: true
finetuning_type: lora
lora_rank: 16
lora_target: q_proj,v_proj
cutoff_len: 512
overwrite_cache: true
preprocessing_num_workers: 16
plot_loss: true
overwrite_output_dir: true
bf16: true
ddp_timeout: 180000000
trust_remote_code: true
`;

  test('are read, with the defaults that LLaMA-Factory would take', () => {
    expect(load(QLORA).values).toMatchObject({
      method: 'qlora',
      lora_r: 16,
      lora_alpha: 32,
      lora_target_modules: ['q_proj', 'v_proj'],
      bnb_4bit_use_double_quant: true,
      max_length: 512,
      float16_if_possible: true,
    });
    expect(load('model_name_or_path: m\nstage: sft\nfinetuning_type: lora\n').values).toMatchObject({
      method: 'lora',
      lora_alpha: 16,
      lora_target_modules: 'all-linear',
      max_length: 2048,
      bnb_4bit_use_double_quant: false,
    });
    expect(load('model_name_or_path: m\nfinetuning_type: full\n').values).toMatchObject({
      method: 'full',
      lora_alpha: 8,
    });
  });

  test('what would be lost in silence is said', () => {
    const said = notices(QLORA).join('\n');
    expect(said).toContain('overwrite_output_dir: true: nothing is written over');
    expect(said).toContain('ddp_timeout: 180000000: nibble trains on one GPU');
  });
});

describe("TRL's and transformers' spellings", () => {
  test('a QLoRA recipe', () => {
    const config = load(`model_name_or_path: ./llama
dtype: bfloat16
use_peft: true
load_in_4bit: true
bnb_4bit_quant_type: nf4
bnb_4bit_compute_dtype: bfloat16
lora_task_type: CAUSAL_LM
attn_implementation: flash_attention_2
device_map: auto
gradient_checkpointing: true
gradient_checkpointing_kwargs: {use_reentrant: false}
warmup_ratio: 0.03
optim: paged_adamw_8bit
report_to: none
push_to_hub: true
bf16: true
`);
    expect(config.values).toMatchObject({
      method: 'qlora',
      warmup_steps: 0.03,
      optim: 'paged_adamw_8bit',
      dtype: 'bfloat16',
    });
    expect(config.values).toMatchObject({ float16_if_possible: true, requested_compute_dtype: 'bfloat16' });
    const said = config.notices.map(({ path, message }) => `${path}: ${message}`).join('\n');
    expect(said).toContain('device_map: "auto": nibble trains on one GPU');
    expect(said).toContain('push_to_hub: true: nibble uploads nothing');
    expect(said).toContain('gradient_checkpointing_kwargs: {"use_reentrant":false}: gradient_checkpointing decides');
  });

  test('use_peft is TRL’s, whose defaults hold where a file says nothing', () => {
    const taken = { lora_r: 16, lora_alpha: 32, lora_dropout: 0.05, learning_rate: 2e-5, logging_steps: 10 };
    const bare = load('model_name_or_path: m\nuse_peft: true\n').values;
    expect(bare).toMatchObject({ ...taken, gradient_checkpointing: true, bf16: true, method: 'lora' });
    expect(load('model_name_or_path: m\nuse_peft: true\nlora_r: 4\nfp16: true\n').values).toMatchObject({
      lora_r: 4,
      bf16: false,
    });
    const full = load('model_name_or_path: m\nuse_peft: false\n');
    expect(full.values).toMatchObject({ method: 'full', lora_r: 8, learning_rate: 2e-5 });
    expect(full.notices.map(({ message }) => message).join()).not.toContain('no effect');
  });

  test('use_peft: false trains all weights', () => {
    expect(load('model_name_or_path: ./llama\nuse_peft: false\n').values.method).toBe('full');
    expect(load('model_name_or_path: ./llama\nuse_peft: true\n').values.method).toBe('lora');
    expect(load('model_name_or_path: ./llama\nuse_peft: true\nmethod: qlora\n').values.method).toBe('qlora');
    expect(() => load('model_name_or_path: ./llama\nuse_peft: false\nload_in_4bit: true\n')).toThrow('contradicts');
  });

  test.each(['dataloader_drop_last: true', 'label_smoothing_factor: 0.1', 'load_in_8bit: true', 's2_attention: true'])(
    '%s changes results and is refused',
    (yaml) => {
      let refusal: ConfigError | null = null;
      try {
        load(`model_name_or_path: m\n${yaml}\n`);
      } catch (error) {
        refusal = error as ConfigError;
      }
      expect(refusal?.problems).toHaveLength(1);
      expect(refusal?.problems[0]?.message).toMatch(/is not supported yet/);
    },
  );
});

describe("entries of Axolotl's datasets", () => {
  const read = (entry: string, more = '') =>
    loadTrainConfig({
      file: {
        path: 'axo.yaml',
        text: `base_model: m\nadapter: lora\nmicro_batch_size: 1\n${more}datasets:\n  - ${entry}\n`,
      },
    });
  const problems = (entry: string): string[] => {
    try {
      read(entry);
    } catch (error) {
      return (error as ConfigError).problems.map(({ path, message }) => `${path}: ${message}`);
    }
    return [];
  };
  const ROLES = { user: ['human', 'user'], assistant: ['gpt', 'assistant'], system: ['system'], tool: ['tool'] };

  test('chat_template: the roles are mapped, and the assistant alone is learned from', () => {
    const config = read('{path: rows.jsonl, type: chat_template}');
    expect(config.values.datasets).toEqual([{ path: 'rows.jsonl', type: 'messages', roles: ROLES }]);
    expect(config.values.assistant_only_loss).toBe(true);
    expect(config.notices.find(({ path }) => path === 'datasets[0].type')).toMatchObject({ isFollowed: true });
    const all = read('{path: rows.jsonl, type: chat_template}', 'train_on_inputs: true\n').values;
    expect([all.assistant_only_loss, all.completion_only_loss]).toEqual([false, false]);
    expect(read('{path: rows.jsonl, type: alpaca}').values.assistant_only_loss).toBe(false);
  });

  test('chat_template: fields of ShareGPT, files of a type, and what it says that is so anyway', () => {
    const entry =
      '{path: json, data_files: [a.jsonl, b.jsonl], ds_type: json, type: chat_template, field_messages: conversations, ' +
      'message_property_mappings: {role: from, content: value}, roles_to_train: [assistant], train_on_eos: turn, split: train, ' +
      'roles: {user: [q], assistant: [a]}, chat_template: tokenizer_default, drop_system_message: null}';
    const how = { split: 'train', type: 'conversations', roles: { user: ['q'], assistant: ['a'] } };
    expect(read(entry).values.datasets).toEqual(['a.jsonl', 'b.jsonl'].map((path) => ({ path, ...how })));
  });

  test('a dataset of the hub keeps its name, revision and files', () => {
    const entry = '{path: org/set, name: en, revision: v1, data_files: a.jsonl, type: completion}';
    const place = { path: 'org/set', name: 'en', revision: 'v1', data_files: 'a.jsonl' };
    expect(read(entry).values.datasets).toEqual([place]);
  });

  test('completion is text; that long rows are cut is said', () => {
    const config = read('{path: rows.jsonl, type: completion, field: text}');
    expect(config.values.datasets).toEqual([{ path: 'rows.jsonl' }]);
    const notice = config.notices.find(({ path }) => path === 'datasets[0].type');
    expect(notice).toMatchObject({ isFollowed: false, message: expect.stringContaining('where Axolotl splits them') });
  });

  test.each([
    [
      '{path: r, type: chat_template, field_messages: turns}',
      /^datasets\[0\]\.field_messages: got "turns", wanted "messages" or/,
    ],
    [
      '{path: r, type: chat_template, message_field_role: speaker}',
      /^datasets\[0\]\.message_field_role: got "speaker"/,
    ],
    ['{path: r, type: chat_template, roles_to_train: [user]}', /^datasets\[0\]\.roles_to_train: got \["user"\]/],
    ['{path: r, type: chat_template, train_on_eos: last}', /^datasets\[0\]\.train_on_eos: got "last"/],
    ['{path: r, type: chat_template, chat_template: chatml}', /^datasets\[0\]\.chat_template: got "chatml"/],
    [
      '{path: r, type: chat_template, message_field_training: train}',
      /got "train", wanted it left out: nibble does not/,
    ],
    [
      '{path: r, type: completion, field: body}',
      /^datasets\[0\]\.field: got "body", wanted "text": name .* \(axo\.yaml:5\)/,
    ],
    [
      '{path: r, type: completion, field_messages: conversations}',
      /^datasets\[0\]\.field_messages: got "conversations", wanted it left out/,
    ],
    [
      '{path: json, type: completion, data_files: []}',
      /^datasets\[0\]\.data_files: got \[\], wanted at least one file/,
    ],
  ])('%s is refused', (entry, wanted) => expect(problems(entry)).toEqual([expect.stringMatching(wanted)]));
});
