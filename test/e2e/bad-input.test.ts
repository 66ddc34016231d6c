/** Bad input of every kind gives one clear message and exit code 2, and leaves existing files as they are. */
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { directory, GOLDEN } from './nibble.ts';
import { expectRefusal, type Says } from './refusal.ts';

const SINGLE = path.join(GOLDEN, 'formats', 'llama-untied-f32');
const SHARDED = path.join(GOLDEN, 'formats', 'llama-sharded-bf16');
const TIED = path.join(GOLDEN, 'formats', 'llama-tied-f16');
const WEIGHTS = 'model.safetensors';
const INDEX = 'model.safetensors.index.json';
const UP = 'model.layers.0.mlp.up_proj.weight';
const ROW = `${JSON.stringify({ input_ids: [1, 2, 3, 4, 5, 6, 7, 8] })}\n`;

type Header = Record<string, { dtype: string; shape: number[]; data_offsets: [number, number] }>;

/** Weights of SINGLE under a changed header. */
function withHeader(change: (header: Header) => void): Uint8Array {
  const file = readFileSync(path.join(SINGLE, WEIGHTS));
  const end = 8 + Number(file.readBigUInt64LE(0));
  const header = JSON.parse(file.subarray(8, end).toString()) as Header;
  change(header);
  const text = Buffer.from(JSON.stringify(header));
  const padded = Buffer.alloc(Math.ceil(text.length / 8) * 8, ' ');
  text.copy(padded);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(padded.length));
  return Buffer.concat([length, padded, file.subarray(end)]);
}

const entry = (header: Header, name = UP) => header[name] as Header[string];

function changedJson(from: string, file: string, change: (json: Record<string, unknown>) => void): string {
  const json = JSON.parse(readFileSync(path.join(from, file), 'utf8')) as Record<string, unknown>;
  change(json);
  return JSON.stringify(json);
}

function without(model: string, file: string): string {
  rmSync(path.join(model, file));
  return model;
}

const config = (change: (json: Record<string, unknown>) => void) =>
  directory({ 'config.json': changedJson(SINGLE, 'config.json', change) }, SINGLE);
const weights = (content: Uint8Array) => directory({ [WEIGHTS]: content }, SINGLE);
const index = (change: (map: Record<string, string>) => void) =>
  directory(
    { [INDEX]: changedJson(SHARDED, INDEX, (json) => change(json.weight_map as Record<string, string>)) },
    SHARDED,
  );
const file = readFileSync(path.join(SINGLE, WEIGHTS));

type Case = {
  readonly what: string;
  readonly model?: string;
  readonly rows?: string;
  readonly flags?: readonly string[];
  readonly says: Says;
};

const CASES: Case[] = [
  {
    what: 'no weights',
    model: without(directory({}, SINGLE), WEIGHTS),
    says: ['holds neither model.safetensors nor', 'Give the directory'],
  },
  {
    what: 'no config.json',
    model: without(directory({}, SINGLE), 'config.json'),
    says: ['model_name_or_path', 'has no config.json (it holds model.safetensors', '(--model_name_or_path)'],
  },
  {
    what: 'a model directory that is not there',
    model: '/nowhere/llama',
    says: ['model_name_or_path: there is no folder /nowhere/llama; wanted the directory of a Hugging Face model'],
  },
  {
    what: 'a model by its name on the hub',
    model: 'meta-llama/Llama-3.2-1B',
    says: [
      `there is no folder meta-llama/Llama-3.2-1B in ${process.cwd()}`,
      'HF_HUB_OFFLINE allows no network',
      'has no meta-llama/Llama-3.2-1B at revision main',
    ],
  },
  {
    what: 'a file of the model for its directory',
    model: path.join(SINGLE, WEIGHTS),
    says: [`${WEIGHTS} is a file`, 'give the folder it lies in'],
  },
  {
    what: 'an adapter that is not there',
    flags: ['--adapter_name_or_path', '/nowhere/adapter'],
    says: ['adapter_name_or_path: there is no folder /nowhere/adapter; wanted the directory of a PEFT adapter'],
  },
  {
    what: 'a truncated file',
    model: weights(file.subarray(0, -100)),
    says: [WEIGHTS, 'the file ends at', 'truncated; fetch it again'],
  },
  { what: 'a file cut inside its header', model: weights(file.subarray(0, 40)), says: [WEIGHTS, 'truncated'] },
  { what: 'an empty file', model: weights(new Uint8Array(0)), says: [WEIGHTS, 'holds 0 bytes'] },
  {
    what: 'a header longer than any',
    model: weights(Buffer.concat([Buffer.alloc(8, 0xff), file.subarray(8)])),
    says: [WEIGHTS, 'offset 0 announces a header of', 'limit'],
  },
  {
    what: 'offsets that overlap',
    model: weights(
      withHeader((h) => {
        const { data_offsets: at } = entry(h);
        entry(h).data_offsets = [at[0] - 64, at[1] - 64];
      }),
    ),
    says: [WEIGHTS, 'begins at byte', 'needs', 'Fetch the file again'],
  },
  {
    what: 'offsets that lie about the size',
    model: weights(withHeader((h) => entry(h).shape.fill(23, 0, 1))),
    says: [UP, /data_offsets span 1536 bytes/, 'The header lies'],
  },
  {
    what: 'offsets beyond the end',
    model: weights(withHeader((h) => entry(h).data_offsets.fill(2 ** 40))),
    says: [WEIGHTS, UP, 'data_offsets'],
  },
  {
    what: 'an index that names an absent shard',
    model: without(directory({}, SHARDED), 'model-00002-of-00002.safetensors'),
    says: ['names the shard model-00002-of-00002.safetensors, which is absent', 'Fetch the missing shard'],
  },
  {
    what: 'an index that leads out of the directory',
    model: index((map) => {
      map['lm_head.weight'] = '../elsewhere.safetensors';
    }),
    says: [INDEX, '"../elsewhere.safetensors"', 'inside the model directory'],
  },
  {
    what: 'an index that leads to an absolute path',
    model: index((map) => {
      map['lm_head.weight'] = '/etc/passwd';
    }),
    says: [INDEX, '"/etc/passwd"', 'inside the model directory'],
  },
  {
    what: 'an index that names a tensor its shard lacks',
    model: index((map) => {
      map['lm_head.weight'] = 'model-00001-of-00002.safetensors';
    }),
    says: ['lm_head.weight', 'model-00001-of-00002.safetensors'],
  },
  {
    what: 'an unsupported architecture',
    model: config((json) => {
      json.architectures = ['GPT2LMHeadModel'];
    }),
    says: ['architectures', '"GPT2LMHeadModel"', 'supported are LlamaForCausalLM'],
  },
  {
    what: 'an unsupported dtype in config.json',
    model: config((json) => {
      json.dtype = 'int8';
    }),
    says: ['dtype', '"int8"', 'supported are float32, float16, bfloat16'],
  },
  {
    what: 'an unsupported dtype of a tensor',
    model: weights(
      withHeader((h) => {
        entry(h).dtype = 'I32';
      }),
    ),
    says: [WEIGHTS, UP, 'is I32, needs F32, F16 or BF16'],
  },
  {
    what: 'a dtype nobody knows',
    model: weights(
      withHeader((h) => {
        entry(h).dtype = 'F33';
      }),
    ),
    says: [WEIGHTS, UP, 'dtype "F33" is not known'],
  },
  {
    what: 'weights of another shape than config.json says',
    model: config((json) => {
      json.intermediate_size = 28;
    }),
    says: [WEIGHTS, /is \(24, 16\), needs \(28, 16\)|is \(16, 24\), needs \(16, 28\)/, 'does config.json belong'],
  },
  {
    what: 'a missing head',
    model: directory(
      {
        'config.json': changedJson(TIED, 'config.json', (json) => {
          json.tie_word_embeddings = false;
        }),
      },
      TIED,
    ),
    says: ['lm_head.weight', 'tie_word_embeddings'],
  },
  {
    what: 'a module to skip that there is not',
    flags: ['--method', 'qlora', '--llm_int8_skip_modules', '[lm_head, self_attention]'],
    says: ['llm_int8_skip_modules', '"self_attention" names no module', 'q_proj'],
  },
  {
    what: 'full training of a 4-bit base',
    model: path.join(GOLDEN, 'peft-steps/qlora/base'),
    flags: ['--method', 'full'],
    says: ['method', 'quantized to 4 bits', 'use qlora'],
  },
  {
    what: 'target modules that match nothing',
    flags: ['--lora_target_modules', 'q_proj,c_attn'],
    says: ['lora_target_modules', '"c_attn"', 'q_proj', 'all-linear'],
  },
  {
    what: 'a tokenizer beyond the embedding',
    model: directory({ 'tokenizer.json': readFileSync(path.join(GOLDEN, 'formats/tokenizer/tokenizer.json')) }, SINGLE),
    says: ['tokenizer.json', /has id \d+, the model's vocab_size is 32/, 'Take the tokenizer of this model'],
  },
  { what: 'an empty dataset', rows: '', says: ['rows.jsonl', 'gives no rows'] },
  { what: 'a dataset of blank lines', rows: '\n  \n', says: ['rows.jsonl', 'gives no rows'] },
  {
    what: 'a dataset that is not there',
    flags: ['--datasets', 'nowhere.jsonl'],
    says: [
      `datasets[0].path: there is no file nowhere.jsonl in ${process.cwd()}; wanted a file of rows (JSONL, JSON, CSV, Parquet) or a folder of them (--datasets)`,
    ],
  },
  { what: 'a line that is not JSON', rows: `${ROW}{"input_ids": [1, 2\n`, says: ['rows.jsonl:2', 'JSON'] },
  {
    what: 'text without a tokenizer',
    rows: '{"text": "Call me Ishmael."}\n',
    says: ['rows.jsonl:1', 'no tokenizer.json'],
  },
  {
    what: 'ids beyond the vocabulary',
    rows: `${ROW}{"input_ids": [1, 32]}\n`,
    says: ['rows.jsonl:2', 'input_ids[1] is 32', 'vocab_size 32'],
  },
  {
    what: 'a sequence beyond the positions',
    rows: JSON.stringify({ input_ids: new Array(65).fill(1) }),
    says: ['rows.jsonl:1', 'has 65 tokens, the model 64 positions', 'Set max_length to 64'],
  },
  {
    what: 'an unknown setting on the command line',
    flags: ['--lora_rr', '4'],
    says: ["unknown option '--lora_rr'", '--lora_r'],
  },
  {
    what: 'a plan beyond the memory it may have',
    flags: ['--max_gpu_memory', '300KB'],
    says: [
      /^nibble: max_gpu_memory: the run would be out of memory: it needs [\d.]+ MiB of the GPU, 0\.29 MiB are allowed/,
      /^ {2}base_weights +[\d.]+ MiB$/m,
      /^ {2}gradient_checkpointing: true +[\d.]+ MiB, /m,
    ],
  },
  { what: 'a value that is none', flags: ['--method', 'lore'], says: ['method', 'lore', 'lora'] },
];

const RUN_HEAD = ['config.yaml', 'environment.json', 'log.jsonl'];
const quiet = ['--max_steps', '1', '--lora_r', '2'];

test.each(CASES)('$what', async ({ model = SINGLE, rows = ROW, flags = [], says }) => {
  const root = directory({ 'rows.jsonl': rows });
  const output = path.join(directory(), 'run');
  const argv = ['--model_name_or_path', model, '--datasets', path.join(root, 'rows.jsonl'), '--output_dir', output];
  await expectRefusal(root, [...argv, ...quiet, ...flags], says, model);
  expect(existsSync(output)).toBe(false);
});

test('unknown keys of a file: all of them at once, each with the nearest there is', async () => {
  const yaml = `model_name_or_path: ${SINGLE}\nlora_rr: 4\nlearning_rat: 1\ndatasets: [{path: rows.jsonl, tpye: jsonl}]\n`;
  const root = directory({ 'run.yaml': yaml, 'rows.jsonl': ROW });
  const says = ['lora_rr', 'lora_r', 'learning_rat', 'learning_rate', 'tpye'];
  await expectRefusal(root, [path.join(root, 'run.yaml'), '--output_dir', path.join(root, 'out')], says, SINGLE);
});

test('an output_dir that is not empty stays as it is', async () => {
  const root = directory({ 'rows.jsonl': ROW, 'run/adapter_model.safetensors': 'of another run' });
  const argv = ['--model_name_or_path', SINGLE, '--datasets', path.join(root, 'rows.jsonl')];
  const says = ['output_dir', 'is not empty (it holds adapter_model.safetensors)', 'give a new folder'];
  await expectRefusal(root, [...argv, '--output_dir', path.join(root, 'run'), ...quiet], says, SINGLE);
});

test('an output_dir where nothing can be made, or that is a file, is refused before the model is read', async () => {
  const root = directory({ 'rows.jsonl': ROW, file: 'x' });
  const argv = ['--model_name_or_path', SINGLE, '--datasets', path.join(root, 'rows.jsonl'), ...quiet];
  const below = path.join(root, 'file');
  const says = ['output_dir', 'a part of its path is a file, not a folder', 'give another folder'];
  await expectRefusal(root, [...argv, '--output_dir', path.join(below, 'run')], says, SINGLE);
  await expectRefusal(root, [...argv, '--output_dir', below], says, SINGLE);
  if (process.platform !== 'linux') return;
  await expectRefusal(
    root,
    [...argv, '--output_dir', '/proc/nibble'],
    ['output_dir: /proc/nibble cannot be used'],
    SINGLE,
  );
});

test('all that is not there is said at once', async () => {
  const root = directory();
  const argv = ['--model_name_or_path', '/nowhere', '--datasets', 'a.jsonl', '--eval_datasets', 'b.csv'];
  const says = ['3 problems', 'model_name_or_path:', 'datasets[0].path:', 'eval_datasets[0].path:'];
  await expectRefusal(root, [...argv, '--output_dir', path.join(root, 'out')], says, root);
});

test('a folder with a run that did not end says so', async () => {
  const head = { 'config.yaml': '', 'environment.json': '{}' };
  const root = directory({ 'rows.jsonl': ROW });
  const argv = ['--model_name_or_path', SINGLE, '--datasets', path.join(root, 'rows.jsonl'), '--output_dir'];
  const refused = (files: Record<string, string>, says: string[]) =>
    expectRefusal(root, [...argv, directory(files)], ['output_dir', ...says], SINGLE);
  await refused(head, ['holds a run that did not end', 'Delete the folder']);
  const why = JSON.stringify({ reason: 'stopped by SIGINT', step: 3, max_steps: 9 });
  const says = ['holds a run that was interrupted (stopped by SIGINT, after step 3 of 9)', 'give another output_dir'];
  await refused({ ...head, 'trainer_state.json': '{}', 'interrupted.json': why }, says);
  await refused({ ...head, 'trainer_state.json': '{}' }, ['holds a finished run, which is not written over']);
});

test('weights that are not finite, quantized: nothing is left but what the run wrote of itself', async () => {
  const broken = Buffer.from(file);
  const header = JSON.parse(broken.subarray(8, 8 + Number(broken.readBigUInt64LE(0))).toString()) as Header;
  const start = 8 + Number(broken.readBigUInt64LE(0)) + entry(header).data_offsets[0];
  broken.writeFloatLE(Number.NaN, start + 4 * 300);
  const model = weights(broken);
  const root = directory({ 'rows.jsonl': ROW });
  const argv = ['--model_name_or_path', model, '--datasets', path.join(root, 'rows.jsonl'), '--method', 'qlora'];
  const output = path.join(directory(), 'run');
  await expectRefusal(root, [...argv, '--output_dir', output, ...quiet], [UP, 'NaN', /\b300\b/], model);
  expect(readdirSync(output).sort()).toEqual(RUN_HEAD);
});
