import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { type DatasetOptions, type DatasetSpec, loadDataset } from '../../src/data/dataset.ts';
import { readLines } from '../../src/data/lines.ts';
import type { PackingStrategy } from '../../src/data/pack.ts';
import { textChunks } from '../../src/data/text-chunks.ts';
import { ConfigError, DataError } from '../../src/errors.ts';
import { memoryReader } from '../../src/formats/memory.ts';
import { loadTokenizer, type TextTokenizer } from '../../src/formats/tokenizer.ts';
import { goldenDirectory, goldenJson, rejection, thrown } from '../formats/files.ts';

/** One token a character: its code; BOS is 1, EOS 2. */
const letters: TextTokenizer = {
  vocabSize: 128,
  bosId: 1,
  eosId: 2,
  padId: null,
  specialTokens: new Map([['eos_token', '\u0002']]),
  notes: [],
  encodeWithOffsets: (text) => {
    const ids = [...new TextEncoder().encode(text)];
    return { ids, starts: ids.map((_, i) => i), ends: ids.map((_, i) => i + 1) };
  },
  encode: (text, { addSpecialTokens = true } = {}) => [
    ...(addSpecialTokens ? [1] : []),
    ...new TextEncoder().encode(text),
  ],
  decode: (ids) => String.fromCharCode(...ids),
};
const LIMITS: DatasetOptions = { tokenizer: letters, vocabSize: 128, maxPositions: 16, maxLength: 16 };

/** The dataset with its rows in a list. */
async function load(files: Record<string, string>, options: Partial<DatasetOptions> = {}, specs?: DatasetSpec[]) {
  const { rows, notes, ...counts } = await loadDataset(
    memoryReader(new Map(Object.entries(files)), 'd'),
    specs ?? Object.keys(files).map((path) => ({ path })),
    { ...LIMITS, ...options },
  );
  const list = await Promise.all(Array.from({ length: rows.count }, (_, i) => rows.row(i)));
  return { rows: list, ...counts, notes: Object.fromEntries(notes) };
}
const plain = (rows: readonly { inputIds: Uint32Array; labels: Int32Array | null }[]) =>
  rows.map(({ inputIds, labels }) => [[...inputIds], labels && [...labels]]);

test('text rows, tokenized rows and their labels, blank lines and CRLF', async () => {
  const file =
    '{"text": "ab"}\r\n\n{"input_ids": [3, 4, 5], "labels": [-100, 4, 5], "note": "x"}\n  \n{"input_ids": [6, 7], "attention_mask": [1, 1], "labels": null}';
  const { rows, ...report } = await load({ 'r.jsonl': file });
  expect(plain(rows)).toEqual([
    [[1, 97, 98], null],
    [
      [3, 4, 5],
      [-100, 4, 5],
    ],
    [[6, 7], null],
  ]);
  expect(report).toEqual({
    documents: 3,
    tokens: 8,
    lossTokens: 5,
    longestRow: 3,
    truncatedRows: 0,
    truncatedTokens: 0,
    droppedRows: 0,
    rowsWithoutLoss: 0,
    wholeTokens: 8,
    longestWhole: 3,
    learnedEnds: 0,
    maskedEnds: 0,
    partlyLearned: 0,
    notes: {},
    unreadColumns: ['note'],
  });
});

test('an EOS is appended to text where asked for, once', async () => {
  const files = { 'r.jsonl': '{"text": "a"}\n{"text": "b\\u0002"}\n{"input_ids": [5, 6]}' };
  const { rows } = await load(files, { appendEos: true });
  expect(plain(rows).map(([ids]) => ids)).toEqual([
    [1, 97, 2],
    [1, 98, 2],
    [5, 6],
  ]);
});

test("text rows are those of TRL's SFTTrainer, EOS and cut alike", async () => {
  const path = new URL('../golden/trainer/text-rows.json', import.meta.url);
  const golden = JSON.parse(readFileSync(path, 'utf8')) as {
    max_length: number;
    rows: { text: string; input_ids: number[] }[];
  };
  const tokenizer = await loadTokenizer(goldenDirectory('tokenizer'));
  const file = golden.rows.map(({ text }) => JSON.stringify({ text })).join('\n');
  const options = { tokenizer, vocabSize: 300, maxPositions: 64, maxLength: golden.max_length, appendEos: true };
  const { rows, truncatedRows } = await load({ 'r.jsonl': file }, options);
  expect(plain(rows).map(([ids]) => ids)).toEqual(golden.rows.map((row) => row.input_ids));
  expect([rows.length, truncatedRows]).toEqual([10, 1]);
});

test('an appended EOS is the first token that max_length cuts, and the row of an empty text', async () => {
  const { rows, truncatedTokens } = await load({ 'r.jsonl': '{"text": "ab"}' }, { appendEos: true, maxLength: 3 });
  expect([plain(rows).map(([ids]) => ids), truncatedTokens]).toEqual([[[1, 97, 98]], 1]);
  const bare: TextTokenizer = { ...letters, encode: (text) => [...new TextEncoder().encode(text)] };
  const ended = await load({ 'r.jsonl': '{"text": ""}\n{"text": "a"}' }, { appendEos: true, tokenizer: bare });
  expect([plain(ended.rows).map(([ids]) => ids), ended.rowsWithoutLoss]).toEqual([[[2], [97, 2]], 1]);
  const error = await rejection(load({ 'r.jsonl': '{"text": ""}' }, { tokenizer: bare }));
  expect(error.message).toContain('r.jsonl:1: text is "", which has no tokens. Leave the row out');
});

test('a tokenizer without an EOS appends none, and the rows of text that asked for one are counted', async () => {
  const files = { 'r.jsonl': '{"text": "a"}\n{"input_ids": [3, 4]}\n{"text": "b"}', 'c.txt': 'abcd' };
  const some = { tokenizer: { ...letters, eosId: null, specialTokens: new Map<string, string>() }, maxLength: 4 };
  const { rows, notes } = await load(files, { ...some, appendEos: true });
  expect(plain(rows).map(([ids]) => ids)).toEqual([
    [1, 97],
    [3, 4],
    [1, 98],
    [97, 98, 99, 100],
  ]);
  expect(notes.lacksEos).toBe(2);
  expect((await load(files, { ...some, appendEos: false })).notes).toEqual({});
  expect((await load(files, { ...some, tokenizer: letters, appendEos: true })).notes).toEqual({});
});

test('longer rows are cut to max_length, with their labels, and counted', async () => {
  const file = '{"input_ids": [3,4,5,6], "labels": [-100,-100,5,6]}\n{"text": "abcdef"}\n{"input_ids": [3,4,5]}';
  const { rows, ...report } = await load({ 'r.jsonl': file }, { maxLength: 3 });
  expect(plain(rows)).toEqual([
    [
      [3, 4, 5],
      [-100, -100, 5],
    ],
    [[1, 97, 98], null],
    [[3, 4, 5], null],
  ]);
  expect(report).toMatchObject({ truncatedRows: 2, truncatedTokens: 5, longestRow: 3, lossTokens: 5 });
});

describe('packed rows', () => {
  const file = '{"text": "abcdef"}\n{"input_ids": [3, 4], "labels": [3, -100]}\n{"text": "g"}';
  const packed = async (packing: PackingStrategy, options: Partial<DatasetOptions> = {}) => {
    const { rows, ...report } = await load({ 'r.jsonl': file }, { packing, maxLength: 5, ...options });
    return [rows.map(({ inputIds }) => inputIds.length), report];
  };

  const whole = { wholeTokens: 11, longestWhole: 7, learnedEnds: 0, maskedEnds: 0, partlyLearned: 0 };

  test('bfd cuts what is longer than a row, and counts it', async () => {
    expect(await packed('bfd')).toEqual([
      [5, 4],
      {
        documents: 3,
        tokens: 9,
        lossTokens: 5,
        longestRow: 5,
        truncatedRows: 1,
        truncatedTokens: 2,
        droppedRows: 0,
        rowsWithoutLoss: 1,
        ...whole,
        notes: {},
        unreadColumns: [],
      },
    ]);
  });

  test('bfd_split and wrapped lose no token; only a stream predicts the first of a document', async () => {
    const report = {
      documents: 3,
      tokens: 11,
      longestRow: 5,
      truncatedRows: 0,
      truncatedTokens: 0,
      droppedRows: 0,
      rowsWithoutLoss: 1,
      ...whole,
      notes: {},
      unreadColumns: [],
    };
    expect(await packed('bfd_split')).toEqual([[5, 4, 2], { ...report, lossTokens: 6 }]);
    expect(await packed('wrapped')).toEqual([[5, 5, 1], { ...report, lossTokens: 7 }]);
  });

  test('a stream needs a position for each token of a row, documents only for their own', async () => {
    expect((await packed('bfd', { maxPositions: 7, maxLength: 9 }))[0]).toEqual([9, 2]);
    const error = await rejection(packed('wrapped', { maxPositions: 7, maxLength: 9 }));
    expect(error).toBeInstanceOf(ConfigError);
    expect(error.message).toContain(
      'max_length: is 9, the model has 7 positions, and packing_strategy: wrapped uses one',
    );
  });

  test('needs a max_length', async () => {
    const error = await rejection(packed('bfd', { maxLength: null }));
    expect(error.message).toContain('max_length: is not set; packing fills rows of that many tokens');
  });
});

test('rows in which nothing counts are kept and counted', async () => {
  const { rows, rowsWithoutLoss } = await load({
    'r.jsonl': '{"input_ids": [3], "labels": [3]}\n{"input_ids": [3, 4], "labels": [3, -100]}\n{"text": "ab"}',
  });
  expect([rows.length, rowsWithoutLoss]).toEqual([3, 2]);
});

test('files follow each other, and two specs can share one', async () => {
  const file = [3, 4, 5, 6].map((id) => `{"input_ids": [${id}, ${id}]}`).join('\n');
  const { rows } = await load({ 'r.jsonl': file, 'x.data': file }, {}, [
    { path: 'r.jsonl', skip_rows: 3 },
    { path: 'x.data', skip_rows: 1, max_rows: 2 },
  ]);
  expect(rows.map(({ inputIds }) => inputIds[0])).toEqual([6, 4, 5]);
});

describe('a bad line is named with its number', () => {
  const good = '{"input_ids": [3, 4]}\n';
  const cases: Record<string, [string, string, Partial<DatasetOptions>?]> = {
    'not JSON': [`${good}{"text": `, 'd/r.jsonl:2:10: is not JSON: it ends too early'],
    'a comma too many': [`${good}{"text": "a",}`, 'd/r.jsonl:2:14: is not JSON: "}" cannot stand here'],
    'not an object': [`${good}${good}["text"]`, 'd/r.jsonl:3: holds ["text"], needs a JSON object'],
    'other keys': [
      `${good}{"sentence": "a", "label": "b"}`,
      'd/r.jsonl:2: has the keys ["sentence","label"], needs "text", "messages", "prompt" with "completion", ',
    ],
    'text of another type': [`${good}{"text": 7}`, 'd/r.jsonl:2: text is 7, needs a string'],
    'labels beside text': [`${good}{"text": "a", "labels": [1]}`, 'd/r.jsonl:2: has labels beside text'],
    'fractional id': [`${good}{"input_ids": [1.5]}`, 'd/r.jsonl:2: input_ids is [1.5], needs a list of whole numbers'],
    'negative id': [`${good}{"input_ids": [-100]}`, 'd/r.jsonl:2: input_ids is [-100]'],
    'labels of another length': [
      `${good}{"input_ids": [3, 4], "labels": [3]}`,
      'd/r.jsonl:2: has 1 labels for 2 input_ids',
    ],
    'label below -100': [`${good}{"input_ids": [3, 4], "labels": [-101, 4]}`, 'd/r.jsonl:2: labels is [-101,4]'],
    'label between -100 and 0': [
      `${good}{"input_ids": [3, 4], "labels": [-1, 4]}`,
      'd/r.jsonl:2: labels[0] is -1, needs -100 or an id below',
    ],
    'id beyond the vocabulary': [
      `${good}{"input_ids": [3, 128]}`,
      'd/r.jsonl:2: input_ids[1] is 128, needs less than vocab_size 128',
    ],
    'label beyond the vocabulary': [
      `${good}{"input_ids": [3, 4], "labels": [3, 128]}`,
      'd/r.jsonl:2: labels[1] is 128',
    ],
    'padding inside a row': [
      `${good}{"input_ids": [3, 4], "attention_mask": [1, 0]}`,
      'd/r.jsonl:2: attention_mask is not all ones',
    ],
    'a chat without a template': [
      `${good}{"messages": [{"role": "user", "content": "a"}]}`,
      'd/r.jsonl:2: is a conversation, and the model directory has no chat template. Set chat_template_path',
    ],
    'a prompt alone': [
      `${good}{"prompt": "a", "note": 1}`,
      'd/r.jsonl:2: has the keys ["prompt","note"], lacks "completion", which belongs to its "prompt"',
    ],
    'an instruction alone': [
      `${good}{"instruction": "a", "input": null}`,
      'd/r.jsonl:2: has the keys ["instruction"], lacks "output", which belongs to its "instruction"',
    ],
    'no tokens': [`${good}{"input_ids": []}`, 'd/r.jsonl:2: has no tokens'],
    'beyond the positions, not cut': [
      `${good}{"text": "abcdefghijklmnop"}`,
      'd/r.jsonl:2: has 17 tokens, the model 16 positions. Set max_length to 16',
      { maxLength: null },
    ],
    'beyond the positions, cut too late': [
      `${good}{"text": "abcdefghijklmnop"}`,
      'd/r.jsonl:2: has 17 tokens',
      { maxLength: 20 },
    ],
    'text without a tokenizer': [
      '{"text": "a"}',
      'd/r.jsonl:1: holds text, and the model directory has no tokenizer.json',
      { tokenizer: null },
    ],
    'an empty file': ['\n\n', 'd/r.jsonl: gives no rows'],
    'nothing to learn': [
      '{"input_ids": [3, 4], "labels": [3, -100]}',
      'd/r.jsonl: has 1 rows and no token to learn from',
    ],
  };
  for (const [name, [file, message, options]] of Object.entries(cases)) {
    test(name, async () => {
      const error = await rejection(load({ 'r.jsonl': file }, options));
      expect(error).toBeInstanceOf(DataError);
      expect(error.message.slice(0, message.length)).toBe(message);
    });
  }

  test('an absent file, and a skip past the end', async () => {
    expect((await rejection(load({}, {}, [{ path: 'r.jsonl' }]))).message).toBe('d/r.jsonl: no such file.');
    const skipped = load({ 'r.jsonl': good }, {}, [{ path: 'r.jsonl', skip_rows: 1 }]);
    expect((await rejection(skipped)).message).toContain('are skip_rows and max_rows right?');
  });
});

describe('lines', () => {
  const bytes = new TextEncoder().encode('eins\r\n\nzwölf 日本 🙂\nletzte');
  const linesOf = async (pieceBytes: number, content: Uint8Array = bytes) => {
    const found: [number, string][] = [];
    for await (const { number, text } of readLines(memoryReader(new Map([['f', content]]), 'd'), 'f', pieceBytes))
      found.push([number, text]);
    return found;
  };

  test('are the same whatever the size of the pieces, also where one splits a character', async () => {
    const want = [
      [1, 'eins'],
      [2, ''],
      [3, 'zwölf 日本 🙂'],
      [4, 'letzte'],
    ];
    for (let pieceBytes = 1; pieceBytes <= bytes.length + 1; pieceBytes++)
      expect(await linesOf(pieceBytes)).toEqual(want);
  });

  test('that are not UTF-8, or end inside a character, are a DataError with the line', async () => {
    const error = await rejection(linesOf(4, Uint8Array.of(97, 10, 98, 10, 0xff, 10)));
    expect(error.message).toMatch(/^d\/f:3: is not UTF-8/);
    expect(await rejection(linesOf(64, bytes.subarray(0, 10)))).toBeInstanceOf(DataError);
  });
});

describe('a text in rows of one length', () => {
  test('keeps every token but a short rest, without special tokens', async () => {
    const { rows, tokens } = await load({ 'book.txt': 'abcdefgh' }, { maxLength: 3 });
    expect(plain(rows).map(([ids]) => ids)).toEqual([
      [97, 98, 99],
      [100, 101, 102],
    ]);
    expect(tokens).toBe(6);
    const named = await load({ book: 'abcdefgh' }, { maxLength: 4 }, [
      { path: 'book', type: 'text-chunks', max_rows: 1 },
    ]);
    expect(named.rows.length).toBe(1);
  });

  test('with a real tokenizer the rows are the text again', async () => {
    const tokenizer = await loadTokenizer(goldenDirectory('tokenizer'));
    const { text, plain: ids } = goldenJson<{ cases: { text: string; plain: number[] }[] }>('tokenizer.json').cases[0]!;
    const rows = textChunks(text, tokenizer, 7, 'book');
    expect(rows.length).toBe(Math.floor(ids.length / 7));
    expect(rows.flatMap(({ inputIds }) => [...inputIds])).toEqual(ids.slice(0, rows.length * 7));
  });

  test('is refused when it fills no row, and without a length', async () => {
    expect(thrown(() => textChunks('ab', letters, 3, 'd/b')).message).toContain(
      'd/b: has 2 tokens, needs 3 for one row',
    );
    const error = await rejection(load({ 'book.txt': 'abc' }, { maxLength: null }));
    expect(error).toBeInstanceOf(ConfigError);
    expect(error.message).toContain('max_length: is not set; d/book.txt is cut');
  });
});
