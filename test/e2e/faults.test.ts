/** Inputs that once gave wrong results (test/golden/faults), and others of the same kinds, from the command line. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { quantize } from '../../src/node/quantize.ts';
import { directory, GOLDEN, nibbleTrain, trainerState } from './nibble.ts';
import { expectRefusal } from './refusal.ts';

const FAULTS = path.join(GOLDEN, 'faults');
const MODEL = path.join(FAULTS, 'model');
const ROWS = path.join(FAULTS, 'rows.jsonl');
/** The values stand to six decimals. */
const DECIMALS = 5;

const bytes = (...parts: string[]) => readFileSync(path.join(FAULTS, ...parts));

/** The model with some files replaced or added. */
const modelWith = (files: Readonly<Record<string, string | Uint8Array>>): string => directory(files, MODEL);

/** A file of rows. */
const rowsOf = (...rows: object[]): string =>
  path.join(directory({ 'rows.jsonl': rows.map((row) => `${JSON.stringify(row)}\n`).join('') }), 'rows.jsonl');

const argvOf = (model: string, rows: string, output: string, ...more: string[]): string[] => [
  ...['--model_name_or_path', model, '--datasets', rows, '--output_dir', output],
  ...(more.includes('--max_steps') ? more : ['--max_steps', '1', ...more]),
];

/** A run that succeeds: the loss of its first step, what it said, and its folder. */
async function trained(model: string, rows: string, ...more: string[]) {
  const output = path.join(directory(), 'run');
  const { code, stderr } = await nibbleTrain(...argvOf(model, rows, output, ...more));
  expect(code, stderr).toBe(0);
  const { log_history } = trainerState(output);
  return { loss: log_history[0]?.loss as number, log_history, stderr, output };
}

const refused = (model: string, rows: string, ...says: (string | RegExp)[]) =>
  expectRefusal(path.dirname(rows), argvOf(model, rows, path.join(directory(), 'run')), says, model);

describe('columns of tokenized rows', () => {
  const ids = Array.from({ length: 24 }, (_, i) => 10 + i);

  test('the tokens alone', async () => {
    const { loss, stderr } = await trained(MODEL, path.join(FAULTS, 'columns', 'plain.jsonl'));
    expect(loss).toBeCloseTo(5.826392, DECIMALS);
    expect(stderr).not.toContain('not read');
  });

  test.each(['position_ids', 'completion_mask'])(
    '%s, which changes the loss elsewhere, is refused by name',
    async (key) => {
      await refused(MODEL, path.join(FAULTS, 'columns', `${key}.jsonl`), `${key}.jsonl:1: ${key} is not `);
    },
  );

  test.each([
    ['seq_lengths', [12, 12], 'set packing: true'],
    ['position_ids', ids, 'not 0, 1, 2 and so on'],
    ['completion_mask', 'x', 'completion_mask is'],
    ['attention_mask', ids.map((_, i) => Number(i > 0)), 'without padding'],
    ['inputs_embeds', [[0]], 'inputs_embeds is not read'],
  ])('%s %j', async (key, value, says) => {
    await refused(MODEL, rowsOf({ input_ids: ids, [key]: value }), `:1: ${key} is`, says);
  });

  test('what says nothing new changes nothing; what is not read is named in a note', async () => {
    const ones = ids.map(() => 1);
    const row = {
      input_ids: ids,
      attention_mask: ones,
      position_ids: ids.map((_, i) => i),
      seq_lengths: [24],
      completion_mask: ones,
      assistant_masks: ones,
      token_type_ids: ids.map(() => 0),
      source: 'x',
      empty: null,
    };
    const { loss, stderr } = await trained(MODEL, rowsOf(row));
    expect(loss).toBeCloseTo(5.826392, DECIMALS);
    expect(stderr).toContain('train: "source", "token_type_ids" of the rows are not read');
  });
});

describe('text, by the tokenizers of files that differ in small things', () => {
  type Small = {
    models: unknown[];
    rows: { name: string; text: string; files: Record<string, Record<string, unknown>> }[];
  };
  const file = path.join(GOLDEN, 'tokenizers', 'small.json');
  const { models, rows } = JSON.parse(readFileSync(file, 'utf8')) as Small;

  test.each([
    ['added-tokens-decoder', 30, 5.682967],
    ['eos-only-in-config', 30, 5.69458],
    ['digits', 41, 5.770843],
  ])('%s: %i tokens, loss %d', async (name, tokens, right) => {
    const { text, files } = rows.find((row) => row.name === name)!;
    const { 'config.json': _, ...others } = files;
    const tokenizer = { ...files['tokenizer.json'], model: models[files['tokenizer.json']?.model as number] };
    const texts = Object.entries({ ...others, 'tokenizer.json': tokenizer }).map(
      ([at, json]) => [at, JSON.stringify(json)] as const,
    );
    const { loss, output } = await trained(modelWith(Object.fromEntries(texts)), rowsOf({ text }));
    expect(loss).toBeCloseTo(right, DECIMALS);
    const { train_info } = JSON.parse(readFileSync(path.join(output, 'run.json'), 'utf8'));
    expect(train_info.history[0].num_input_tokens_seen).toBe(tokens);
  });

  test('double-bos: a note says that there are two', async () => {
    const { text, files } = rows.find((row) => row.name === 'double-bos')!;
    const tokenizer = { ...files['tokenizer.json'], model: models[files['tokenizer.json']?.model as number] };
    const { stderr } = await trained(modelWith({ 'tokenizer.json': JSON.stringify(tokenizer) }), rowsOf({ text }));
    expect(stderr).toMatch(/1 row .*(BOS|EOS)/);
  });
});

describe('files that are no rows are called by their names', () => {
  test('a JSON array is read', async () => {
    const model = modelWith({ 'tokenizer.json': bytes('json-array', 'tokenizer.json') });
    const { stderr } = await trained(model, path.join(FAULTS, 'json-array', 'rows.json'));
    expect(stderr).toMatch(/train: \d+ rows/);
  });

  test.each([
    ['a Parquet file', 'r.parquet', Buffer.from('PAR1\u0015\u0004')],
    ['compressed by gzip', 'r.jsonl.gz', Buffer.from([0x1f, 0x8b, 8, 0])],
    ['UTF-16 text', 'r.jsonl', Buffer.from('\ufeff{"text": "a"}\n', 'utf16le')],
    ['UTF-16 text', 'r.txt', Buffer.from('\ufeffabc', 'utf16le')],
  ])('%s that is cut off or of another kind: %s', async (_name, file, content) => {
    await refused(MODEL, path.join(directory({ [file]: content }), file), file);
  });
});

describe('non-finite numbers in what the base keeps in 16 or 32 bits', () => {
  const weights = bytes('model', 'model.safetensors');
  const start = 8 + Number(weights.readBigUInt64LE(0));
  type Entry = { readonly data_offsets: readonly [number, number] };
  const header = JSON.parse(weights.toString('utf8', 8, start)) as Record<string, Entry>;

  /** The model with one element of a tensor replaced. */
  function damaged(name: string, element: number, value: number): string {
    const changed = Buffer.from(weights);
    changed.writeFloatLE(value, start + (header[name] as Entry).data_offsets[0] + 4 * element);
    return modelWith({ 'model.safetensors': changed });
  }

  test.each([
    ['model.layers.0.mlp.up_proj.weight', 101, NaN],
    ['model.embed_tokens.weight', 319 * 32, Infinity],
    ['model.layers.0.input_layernorm.weight', 31, -Infinity],
    ['model.norm.weight', 0, NaN],
  ])('%s, element %i: %d', async (name, element, value) => {
    const model = damaged(name, element, value);
    const output = path.join(directory(), 'run');
    const { code, stderr } = await nibbleTrain(...argvOf(model, ROWS, output));
    expect(code).toBe(2);
    expect(stderr).toMatch(
      new RegExp(`nibble: .*${name}: element ${element} of \\d+ \\(float32\\) is ${value}; all weights`),
    );
    expect(existsSync(path.join(output, 'adapter_model.safetensors'))).toBe(false);
  });
});

describe('steps without a label', () => {
  const SEQUENTIAL = ['--per_device_train_batch_size', '1', '--train_sampling_strategy', 'sequential'];
  const masked = path.join(FAULTS, 'masked-step', 'rows.jsonl');
  const [, firstOnly = '', ...others] = readFileSync(masked, 'utf8').trim().split('\n');
  /** Two rows whose only label is the first, which no position predicts, and two whole rows. */
  const unlabelled = path.join(directory({ 'rows.jsonl': [firstOnly, firstOnly, ...others].join('\n') }), 'rows.jsonl');

  test('a row without any label is left out, as TRL leaves it out', async () => {
    const { log_history, stderr } = await trained(MODEL, masked, '--max_steps', '3', ...SEQUENTIAL);
    expect(stderr).toContain('train: 1 row without a label within max_length 1024 left out');
    expect(log_history.slice(0, 3).map(({ loss }) => loss === null)).toEqual([true, false, false]);
  });

  test('are left out of the mean of a window, and of the whole run', async () => {
    const { log_history, stderr } = await trained(
      MODEL,
      unlabelled,
      '--max_steps',
      '4',
      ...SEQUENTIAL,
      '--logging_steps',
      '4',
    );
    expect(log_history[0]?.loss).toBeCloseTo(5.97, 2);
    expect(log_history[1]?.train_loss).toBe(log_history[0]?.loss);
    expect(stderr).toContain('train: 2 rows without a token to learn from');
  });

  test('alone in their windows: null, in the log and in the record, and the run is a success', async () => {
    const { log_history, output, stderr } = await trained(MODEL, unlabelled, '--max_steps', '4', ...SEQUENTIAL);
    expect(log_history.slice(0, 2).map(({ loss }) => loss)).toEqual([null, null]);
    const [third, fourth] = log_history.slice(2, 4).map(({ loss }) => loss as number) as [number, number];
    expect((third + fourth) / 2).toBeCloseTo(5.97, 2);
    const record = JSON.parse(readFileSync(path.join(output, 'run.json'), 'utf8'));
    expect(record.run_info.status).toBe('success');
    expect(record.train_info.history.map(({ loss }: { loss: number | null }) => loss)).toEqual([
      null,
      null,
      third,
      fourth,
    ]);
    expect(stderr).not.toContain('NaN');
  });

  test('with all_labels the first label of a row counts, and the loss over it is 0', async () => {
    const settings = [...SEQUENTIAL, '--loss_denominator', 'all_labels'];
    const { log_history } = await trained(MODEL, unlabelled, '--max_steps', '2', ...settings);
    expect(log_history.slice(0, 2).map(({ loss }) => loss)).toEqual([0, 0]);
  });
});

describe('a run that ends without weights worth saving: exit code 2, no adapter', () => {
  const fails = async (model: string, says: RegExp, ...more: string[]) => {
    const output = path.join(directory(), 'run');
    const { code, stderr } = await nibbleTrain(...argvOf(model, ROWS, output, ...more));
    expect([code, stderr.match(says)?.length], stderr).toEqual([2, 1]);
    expect(readdirSync(output).filter((name) => name.startsWith('adapter'))).toEqual([]);
    expect(readdirSync(output)).toContain('interrupted.json');
  };

  test('every update skipped', async () => {
    const weights = bytes('model', 'model.safetensors');
    // all of the embedding times a norm of this size is beyond float32
    const at = 8 + Number(weights.readBigUInt64LE(0)) + 40_960;
    for (let i = 0; i < 32; i++) weights.writeFloatLE(3e38, at + 4 * i);
    const says = /every one of 3 updates was skipped \(gradients were not finite\), so nothing was trained/;
    await fails(modelWith({ 'model.safetensors': weights }), says, '--max_steps', '3', '--on_nan', 'skip');
  });

  test('a weight that is not finite at the end', async () => {
    const decay = ['--weight_decay', '1e20', '--learning_rate', '1e30', '--lr_scheduler_type', 'constant'];
    await fails(
      MODEL,
      /adapter_model\.safetensors: .*lora_A\.weight: element 0 is not finite as float32 after training/,
      ...decay,
    );
  });

  test('the same of full training, where the type of the file is too narrow', async () => {
    const large = ['--learning_rate', '1e6', '--method', 'full', '--dtype', 'float16'];
    const output = path.join(directory(), 'run');
    const { code, stderr } = await nibbleTrain(...argvOf(MODEL, ROWS, output, ...large));
    expect(code, stderr).toBe(2);
    expect(stderr).toMatch(/model\.safetensors: .*: element \d+ is not finite as float16 after training/);
    expect(existsSync(path.join(output, 'model.safetensors'))).toBe(false);
  });
});

/** A file of tensors with other names; `more` are added, each of four zero bytes a value. */
function renamedTensors(file: Buffer, rename: (name: string) => string, more: Record<string, number[]> = {}): Buffer {
  const start = 8 + Number(file.readBigUInt64LE(0));
  const { __metadata__, ...tensors } = JSON.parse(file.toString('utf8', 8, start)) as Record<string, object>;
  let end = file.length - start;
  const added = Object.entries(more).map(([name, shape]) => {
    const from = end;
    end += 4 * shape.reduce((product, size) => product * size, 1);
    return [name, { dtype: 'F32', shape, data_offsets: [from, end] }] as const;
  });
  const renamed = Object.entries(tensors).map(([name, entry]) => [rename(name), entry] as const);
  const header = Buffer.from(JSON.stringify(Object.fromEntries([...renamed, ...added])));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  return Buffer.concat([length, header, file.subarray(start), Buffer.alloc(end - (file.length - start))]);
}

const WEIGHTS = bytes('model', 'model.safetensors');
const CONFIG = JSON.parse(bytes('model', 'config.json').toString()) as object;
const LOSS = 5.785756;

describe('what transformers loads, with a note', () => {
  test('pad_token_id: -1', async () => {
    const { loss, stderr } = await trained(modelWith({ 'config.json': bytes('pad-minus-one', 'config.json') }), ROWS);
    expect(loss).toBeCloseTo(LOSS, DECIMALS);
    expect(stderr).toContain('config.json: pad_token_id is -1, read as none');
  });

  test('an architecture of another spelling, and swish', async () => {
    const other = { architectures: ['LLaMAForCausalLM'], hidden_act: 'swish' };
    const model = modelWith({ 'config.json': JSON.stringify({ ...CONFIG, ...other }) });
    const { loss, stderr } = await trained(model, ROWS);
    expect(loss).toBeCloseTo(LOSS, DECIMALS);
    expect(stderr).toContain('architectures is "LLaMAForCausalLM", read as LlamaForCausalLM by its model_type "llama"');
  });

  test('the base model without its prefix', async () => {
    const bare = renamedTensors(WEIGHTS, (name) => name.replace(/^model\./, ''));
    const { loss, stderr } = await trained(modelWith({ 'model.safetensors': bare }), ROWS);
    expect(loss).toBeCloseTo(LOSS, DECIMALS);
    expect(stderr).toContain('its tensors are those of the base model, read under the names of one with a head');
  });

  test("adapter keys with the adapter's name, biases and whole modules among them", async () => {
    const modules = ['--lora_modules_to_save', 'norm', '--lora_target_modules', 'q_proj,v_proj'];
    const first = await trained(MODEL, ROWS, '--learning_rate', '1e-2', '--max_steps', '2', '--seed', '7', ...modules);
    const file = path.join(first.output, 'adapter_model.safetensors');
    const named = renamedTensors(readFileSync(file), (name) =>
      name.includes('lora_')
        ? name.replace('.weight', '.mine.weight')
        : name.replace('.weight', '.modules_to_save.mine.weight'),
    );
    const renamedAdapter = directory({
      'adapter_config.json': readFileSync(path.join(first.output, 'adapter_config.json')),
      'adapter_model.safetensors': named,
    });
    const plain = await trained(MODEL, ROWS, '--adapter_name_or_path', first.output);
    const again = await trained(MODEL, ROWS, '--adapter_name_or_path', renamedAdapter);
    expect(again.loss).toBe(plain.loss);
    expect(Math.abs(plain.loss - LOSS)).toBeGreaterThan(1e-3);
    expect(again.stderr).toContain('its keys hold the adapter\'s name "mine", read without');
    expect(plain.stderr).not.toContain('read without');
  });
});

describe('tensors of a checkpoint that the model has no place for', () => {
  const withMore = (more: Record<string, number[]>) =>
    modelWith({ 'model.safetensors': renamedTensors(WEIGHTS, (name) => name, more) });

  test('are named in a note', async () => {
    const model = withMore({ 'vision_tower.patch.weight': [2, 2], 'model.layers.0.self_attn.k_scale': [1] });
    const { loss, stderr } = await trained(model, ROWS);
    expect(loss).toBeCloseTo(LOSS, DECIMALS);
    expect(stderr).toContain(
      ': model.layers.0.self_attn.k_scale, vision_tower.patch.weight of its tensors belong to no part',
    );
  });

  test('but for rotary frequencies, which follow from config.json', async () => {
    const { stderr } = await trained(withMore({ 'model.layers.0.self_attn.rotary_emb.inv_freq': [8] }), ROWS);
    expect(stderr).not.toContain('belong to no part');
  });

  test.each([
    ['model.layers.0.self_attn.q_proj.bias', [32]],
    ['model.layers.1.input_layernorm.weight', [32]],
    ['model.layers.0.self_attn.q_norm.weight', [16]],
    ['lm_head.bias', [320]],
  ])('%s is an error', async (name, shape) => {
    await refused(withMore({ [name]: shape }), ROWS, `model.safetensors: holds ${name}, for which a LlamaForCausalLM`);
  });
});

describe('files that belong to a model come along', () => {
  const beside = ['chat_template.jinja', 'tokenizer.json', 'tokenizer_config.json'];
  const templates = ['additional_chat_templates/rag.jinja', 'additional_chat_templates/tool_use.jinja'];
  const model = modelWith({
    ...Object.fromEntries(beside.map((name) => [name, bytes('two-templates', name)])),
    'additional_chat_templates/tool_use.jinja': bytes('two-templates', 'additional_chat_templates', 'tool_use.jinja'),
    'additional_chat_templates/rag.jinja': '{{ documents }}',
    'preprocessor_config.json': '{}',
  });
  const expected = [...beside, ...templates, 'generation_config.json', 'preprocessor_config.json'];

  const expectSame = (output: string) => {
    for (const name of expected)
      expect(readFileSync(path.join(output, name)), name).toEqual(readFileSync(path.join(model, name)));
  };

  test('with a quantized model', async () => {
    const output = path.join(directory(), 'quantized');
    const { copied } = await quantize({ model_name_or_path: model, output_dir: output });
    expect(copied).toEqual([...expected].sort());
    expectSame(output);
  });

  test("but templates of chat_template_path take the place of the model's, also in checkpoints", async () => {
    const mine = directory({ 'mine.jinja': '{{ messages }}' });
    const { output } = await trained(
      model,
      ROWS,
      '--chat_template_path',
      path.join(mine, 'mine.jinja'),
      '--save_steps',
      '1',
    );
    for (const folder of [output, path.join(output, 'checkpoint-1')]) {
      expect(readFileSync(path.join(folder, 'chat_template.jinja'), 'utf8')).toBe('{{ messages }}');
      expect(readdirSync(folder)).not.toContain('additional_chat_templates');
      expect(readdirSync(folder)).toContain('tokenizer_config.json');
    }
  });

  test('with one that was trained whole', async () => {
    const { output } = await trained(model, ROWS, '--method', 'full');
    expectSame(output);
  });
});
