/** What the files beside tokenizer.json add, what is refused by name, and what is said of a row. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { loadDataset } from '../../src/data/dataset.ts';
import { DataError } from '../../src/errors.ts';
import { memoryReader } from '../../src/formats/memory.ts';
import { loadTokenizer, openTokenizer, type TextTokenizer } from '../../src/formats/tokenizer.ts';
import { rejection, thrown } from './files.ts';

type Json = Record<string, unknown>;
type Small = { models: unknown[]; rows: { name: string; files: Record<string, Json>; text: string; ids: number[] }[] };

const golden = fileURLToPath(new URL('../golden/tokenizers/small.json', import.meta.url));
const { models, rows } = JSON.parse(readFileSync(golden, 'utf8')) as Small;

function load(files: Record<string, Json>): Promise<TextTokenizer> {
  const texts = Object.entries(files).map(([name, content]): [string, string] => [name, JSON.stringify(content)]);
  return loadTokenizer(memoryReader(new Map(texts), 'm'));
}

function filesOf(name: string): Record<string, Json> {
  const { files } = rows.find((row) => row.name === name)!;
  const tokenizer = files['tokenizer.json']!;
  return { ...files, 'tokenizer.json': { ...tokenizer, model: models[tokenizer.model as number] as Json } };
}

/** The plain tokenizer, with parts of tokenizer.json put in, and other files. */
function changed(parts: Json, config: Json = {}, others: Record<string, Json> = {}): Record<string, Json> {
  const files = filesOf('double-bos');
  return {
    ...files,
    'tokenizer.json': { ...files['tokenizer.json'], ...parts },
    'tokenizer_config.json': { ...files['tokenizer_config.json'], ...config },
    ...others,
  };
}

const model = (parts: Json): Json => ({ model: { ...(filesOf('digits')['tokenizer.json']!.model as Json), ...parts } });
const COUNTS = { digits: 41, 'added-tokens-decoder': 30, 'eos-only-in-config': 30, 'double-bos': 19 };

test.each(rows)('$name: a row of text has the ids that TRL gives it', async ({ name, text, ids }) => {
  const tokenizer = await load(filesOf(name));
  const files = memoryReader(new Map([['rows.jsonl', JSON.stringify({ text })]]));
  const options = { tokenizer, vocabSize: 320, maxPositions: 128, maxLength: 128, appendEos: true };
  const dataset = await loadDataset(files, [{ path: 'rows.jsonl' }], options);
  expect([...(await dataset.rows.row(0)).inputIds]).toEqual(ids);
  expect(ids.length).toBe(COUNTS[name as keyof typeof COUNTS]);
  expect(dataset.notes.get('doubled') ?? 0).toBe(name === 'double-bos' ? 1 : 0);
});

test('a special token twice is counted only where the tokenizer adds one of them', async () => {
  const doubled = async (name: string, text: string): Promise<number> => {
    const tokenizer = await load(filesOf(name));
    const files = memoryReader(new Map([['rows.jsonl', JSON.stringify({ text })]]));
    const options = { tokenizer, vocabSize: 320, maxPositions: 128, maxLength: 128, appendEos: true };
    return (await loadDataset(files, [{ path: 'rows.jsonl' }], options)).notes.get('doubled') ?? 0;
  };
  expect(await doubled('digits', '<s><s>a</s></s>')).toBe(0);
  expect(await doubled('double-bos', 'a')).toBe(0);
});

/** Files that ask for what is not followed, and words that the message has to hold. */
const REFUSED: [string, Record<string, Json>, string[]][] = [
  [
    'a template without single',
    changed({ post_processor: { type: 'TemplateProcessing', pair: [], special_tokens: {} } }),
    ['post_processor.single', 'absent'],
  ],
  [
    'a template without pair',
    changed({ post_processor: { type: 'TemplateProcessing', single: [], special_tokens: {} } }),
    ['post_processor.pair'],
  ],
  [
    'a template of two texts',
    changed({
      post_processor: {
        type: 'TemplateProcessing',
        single: [{ Sequence: { id: 'B', type_id: 0 } }],
        pair: [],
        special_tokens: {},
      },
    }),
    ['post_processor.single[0].Sequence.id', '"B"'],
  ],
  [
    'a template of an unknown token',
    changed({
      post_processor: {
        type: 'TemplateProcessing',
        single: [{ SpecialToken: { id: '<x>', type_id: 0 } }],
        pair: [],
        special_tokens: {},
      },
    }),
    ['special_tokens', '"<x>"'],
  ],
  ...([['a'], ['a', '1'], ['a', 1, 2], [1, 1], ['a', -1], ['a', 1.5]] as const).map(
    (sep): [string, Record<string, Json>, string[]] => [
      `a separator of ${JSON.stringify(sep)}`,
      changed({ post_processor: { type: 'BertProcessing', sep, cls: ['b', 2] } }),
      ['post_processor.sep', 'needs a token and its id'],
    ],
  ),
  ['an id that is a fraction', changed(model({ vocab: { a: 7.5 }, merges: [] })), ['model.vocab', '"a"', '7.5']],
  ['an id that is a word', changed(model({ vocab: { a: 'seven' }, merges: [] })), ['model.vocab', '"seven"']],
  ['an id of 33 bits', changed(model({ vocab: { a: 2 ** 32 + 5 }, merges: [] })), ['model.vocab', '4294967301']],
  ['an id of 2^31', changed(model({ vocab: { a: 2 ** 31 }, merges: [] })), ['model.vocab', '2147483648']],
  ['a negative id', changed(model({ vocab: { a: -1 }, merges: [] })), ['model.vocab', '-1']],
  [
    'an added id of 2^31',
    changed({ added_tokens: [{ id: 2 ** 31, content: '<x>' }] }),
    ['added_tokens[0].id', '2147483648'],
  ],
  [
    'a listed id that is a word',
    changed({}, { added_tokens_decoder: { seven: { content: '<x>' } } }),
    ['added_tokens_decoder', 'seven'],
  ],
  [
    'an id of added_tokens.json',
    changed({}, {}, { 'added_tokens.json': { '<x>': 7.5 } }),
    ['added_tokens.json', '7.5'],
  ],
  ['dropout', changed(model({ dropout: 0.1 })), ['model.dropout', '0.1']],
  ['a merge of one token', changed(model({ merges: [['a']] })), ['model.merges[0]']],
  ['a merge beyond the vocabulary', changed(model({ merges: [['a', 'b']] })), ['model.merges[0]', '"ab"']],
  [
    'a normalizer',
    changed({ normalizer: { type: 'Precompiled', precompiled_charsmap: '' } }),
    ['normalizer.type', 'Precompiled'],
  ],
  [
    'a pre-tokenizer',
    changed({ pre_tokenizer: { type: 'Sequence', pretokenizers: [{ type: 'UnicodeScripts' }] } }),
    ['pre_tokenizer.pretokenizers[0].type', 'UnicodeScripts'],
  ],
  [
    'a behaviour',
    changed({ pre_tokenizer: { type: 'Punctuation', behavior: 'Kept' } }),
    ['pre_tokenizer.behavior', '"Kept"'],
  ],
  [
    'a property',
    changed({
      pre_tokenizer: { type: 'Split', pattern: { Regex: '\\p{Emoji}' }, behavior: 'Isolated', invert: false },
    }),
    ['pattern.Regex', 'Emoji'],
  ],
  [
    'case of letters that fold together',
    changed({ pre_tokenizer: { type: 'Split', pattern: { Regex: '(?i:ss)' }, behavior: 'Isolated', invert: false } }),
    ['pattern.Regex', '(?i:ss)'],
  ],
  [
    'case by another form',
    changed({ pre_tokenizer: { type: 'Split', pattern: { Regex: '(?i)a' }, behavior: 'Isolated', invert: false } }),
    ['pattern.Regex', 'case'],
  ],
  [
    'Metaspace first behind a split',
    changed({
      pre_tokenizer: {
        type: 'Sequence',
        pretokenizers: [{ type: 'Whitespace' }, { type: 'Metaspace', replacement: '_', prepend_scheme: 'first' }],
      },
    }),
    ['pretokenizers[1].prepend_scheme'],
  ],
  [
    'Metaspace first behind Prepend',
    changed({
      normalizer: { type: 'Prepend', prepend: '_' },
      pre_tokenizer: { type: 'Metaspace', replacement: '_', prepend_scheme: 'first' },
    }),
    ['normalizer', 'first'],
  ],
  [
    'a post-processor behind a template',
    changed({
      post_processor: {
        type: 'Sequence',
        processors: [
          { type: 'TemplateProcessing', single: [], pair: [], special_tokens: {} },
          { type: 'BertProcessing', sep: ['a', 1], cls: ['b', 2] },
        ],
      },
    }),
    ['post_processor.processors[1].type'],
  ],
  ['a decoder', changed({ decoder: { type: 'CTC' } }), ['decoder.type', 'CTC']],
  ['a model', changed({ model: { type: 'Harbour', vocab: {} } }), ['model.type', 'Harbour']],
  ['a version', changed({ version: '2.0' }), ['version', '2.0']],
  [
    'a class that is built otherwise',
    changed({}, { tokenizer_class: 'CodeLlamaTokenizerFast' }),
    ['tokenizer_class', 'CodeLlamaTokenizerFast'],
  ],
  [
    'a class that needs BPE',
    changed(
      { model: { type: 'WordLevel', vocab: { a: 0 }, unk_token: 'a' }, pre_tokenizer: null, decoder: null },
      { tokenizer_class: 'LlamaTokenizer' },
    ),
    ['model.type', 'LlamaTokenizer'],
  ],
  [
    'a tokenizer that is code',
    changed({}, { auto_map: { AutoTokenizer: ['code.Tokenizer', null] } }),
    ['auto_map', 'code.Tokenizer'],
  ],
  ['split_special_tokens', changed({}, { split_special_tokens: true }), ['split_special_tokens']],
  ['files for versions', changed({}, { fast_tokenizer_files: ['tokenizer.5.0.0.json'] }), ['fast_tokenizer_files']],
  [
    'a vocabulary with gaps below an added token',
    changed({ ...model({ vocab: { a: 0, b: 2 }, merges: [] }), added_tokens: [{ id: 3, content: '<x>' }] }),
    ['"<x>"', 'id 2', '"b"'],
  ],
];
test.each(REFUSED)('%s is refused by name when the files are read', async (_, files, words) => {
  const error = await rejection(load(files));
  expect(error).toBeInstanceOf(DataError);
  for (const word of words) expect(error.message).toContain(word);
});

test('a tokenizer that is not followed refuses text, and tokenized rows go by it', async () => {
  const files = Object.entries(changed({}, { split_special_tokens: true }));
  const reader = memoryReader(new Map(files.map(([name, content]) => [name, JSON.stringify(content)])), 'm');
  const tokenizer = await openTokenizer(reader, 320);
  expect(tokenizer.notes.join()).toContain('split_special_tokens');
  expect(thrown(() => tokenizer.encode('a'))).toBeInstanceOf(DataError);
  const rows = memoryReader(new Map([['rows.jsonl', '{"input_ids": [1, 2]}']]));
  const options = { tokenizer, vocabSize: 320, maxPositions: 128, maxLength: 128, appendEos: true };
  expect((await loadDataset(rows, [{ path: 'rows.jsonl' }], options)).tokens).toBe(2);
  const broken = changed({ added_tokens: [{ id: 7.5, content: '<x>' }] });
  const texts = Object.entries(broken).map(([name, content]): [string, string] => [name, JSON.stringify(content)]);
  expect(await rejection(openTokenizer(memoryReader(new Map(texts)), 320))).toBeInstanceOf(DataError);
});

test('half of a surrogate pair is refused', async () => {
  const tokenizer = await load(filesOf('digits'));
  expect(thrown(() => tokenizer.encode('a\ud800b'))).toBeInstanceOf(DataError);
  expect(tokenizer.encode('👍').length).toBe(4);
});

test('a stretch that overflows the regular expression is refused, and not a crash', async () => {
  const tokenizer = await load(filesOf('double-bos'));
  const error = thrown(() => tokenizer.encode('!'.repeat(2 ** 24)));
  expect(error).toBeInstanceOf(DataError);
  expect(error.message).toMatch(/16,777,216 characters .* too long/);
});

test('notes say where the ids are not those that a file asks for', async () => {
  expect((await load(filesOf('double-bos'))).notes).toEqual([]);
  const notes = async (config: Json, parts: Json = {}): Promise<string> =>
    (await load(changed(parts, config))).notes.join('\n');
  expect(await notes({ add_eos_token: true })).toMatch(
    /m\/tokenizer_config\.json: add_eos_token is true, .* does not add the token/,
  );
  expect(await notes({ add_bos_token: false })).toMatch(/add_bos_token is false, .* adds the token/);
  expect(await notes({ add_bos_token: true })).toBe('');
  expect(await notes({ tokenizer_class: 'GPT2Tokenizer' }, { normalizer: { type: 'NFC' } })).toMatch(
    /normalizer is not followed: .*GPT2Tokenizer/,
  );
  const moved = { added_tokens: [{ id: 300, content: '<x>', special: true }] };
  expect(await notes({}, moved)).toMatch(/"<x>" has 264 and not 300/);
});

test('a long line takes time in proportion: what is quadratic takes minutes', async () => {
  const tokenizer = await load(filesOf('digits'));
  const started = performance.now();
  for (const unit of [' ', 'a', '1', 'the sea, ', '\n', '½', '<s>', '\u0301']) {
    const text = unit.repeat(250_000 / unit.length);
    expect(tokenizer.encode(text).length).toBeGreaterThan(20_000);
  }
  expect(performance.now() - started).toBeLessThan(60_000);
}, 120_000);
