/** Inputs that once gave wrong results (test/golden/faults), and others of the same kinds, from the command line. */
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
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
    ['assistant_masks', ids.map((_, i) => Number(i > 8)), 'Give "labels" of -100'],
    ['position_ids', ids, 'not 0, 1, 2 and so on'],
    ['completion_mask', 'x', 'completion_mask is not all ones'],
    ['attention_mask', ids.map((_, i) => Number(i > 0)), 'without padding'],
    ['inputs_embeds', [[0]], 'inputs_embeds is not read'],
  ])('%s %j', async (key, value, says) => {
    await refused(MODEL, rowsOf({ input_ids: ids, [key]: value }), `:1: ${key} is`, says);
  });

  test('what says nothing new changes nothing; what is not read is named in a note', async () => {
    const ones = ids.map(() => 1);
    const row = {
      ...{ input_ids: ids, attention_mask: ones, position_ids: ids.map((_, i) => i), seq_lengths: [24] },
      ...{ completion_mask: ones, assistant_masks: ones, token_type_ids: ids.map(() => 0), source: 'x', empty: null },
    };
    const { loss, stderr } = await trained(MODEL, rowsOf(row));
    expect(loss).toBeCloseTo(5.826392, DECIMALS);
    expect(stderr).toContain('train: "source", "token_type_ids" of the rows are not read');
  });
});

describe('files that are not JSONL are called by their names', () => {
  test('a JSON array', async () => {
    const model = modelWith({ 'tokenizer.json': bytes('json-array', 'tokenizer.json') });
    await refused(model, path.join(FAULTS, 'json-array', 'rows.json'), 'rows.json: is a JSON array, needs JSONL');
  });

  test.each([
    ['a Parquet file', 'r.parquet', Buffer.from('PAR1\u0015\u0004')],
    ['compressed by gzip', 'r.jsonl.gz', Buffer.from([0x1f, 0x8b, 8, 0])],
    ['UTF-16 text', 'r.jsonl', Buffer.from('\ufeff{"text": "a"}\n', 'utf16le')],
    ['UTF-16 text', 'r.txt', Buffer.from('\ufeffabc', 'utf16le')],
    ['a table of comma- or tab-separated values', 'r.csv', Buffer.from('text,label\na,b\n')],
    ['a JSON array', 'r.jsonl', Buffer.from('\ufeff\n  [1]')],
  ])('%s: %s', async (name, file, content) => {
    await refused(MODEL, path.join(directory({ [file]: content }), file), `${file}: is ${name}, needs `);
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
