/** Records of files in every format that rows come in, and where a malformed one is. */
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { readRecords } from '../../src/data/records.ts';
import { DataError } from '../../src/errors.ts';
import { jsonFault } from '../../src/formats/json-fault.ts';
import { memoryReader } from '../../src/formats/memory.ts';
import { rejection } from '../formats/files.ts';

async function records(path: string, content: string | Uint8Array) {
  const bytes = typeof content === 'string' ? new TextEncoder().encode(content) : content;
  const found: [where: string, json: object][] = [];
  for await (const { where, json } of readRecords(memoryReader(new Map([[path, bytes]]), 'd'), path))
    found.push([where, json]);
  return found;
}
const ROWS = [{ text: 'eins, "zwei"\ndrei' }, { text: '日本 🙂', note: null }, { text: '[1]' }];

describe('formats', () => {
  test('a JSON array, however it is laid out', async () => {
    for (const space of [undefined, 1, '\t']) {
      const found = await records('r.json', JSON.stringify(ROWS, null, space));
      expect(found.map(([, json]) => json)).toEqual(ROWS);
    }
    expect((await records('r.json', ' \n[\n{"text": "a"},\n\n  {"text": "b"}\n]\n')).map(([where]) => where)).toEqual([
      'd/r.json:3',
      'd/r.json:5',
    ]);
    expect(await records('r.json', '[]')).toEqual([]);
  });

  test('JSON in a .json file line by line, and behind a byte order mark', async () => {
    expect(await records('r.json', '\ufeff{"text": "a"}\n{"text": "b"}')).toEqual([
      ['d/r.json:1', { text: 'a' }],
      ['d/r.json:2', { text: 'b' }],
    ]);
  });

  test('CSV and TSV: quotes, lines inside of them, empty fields, lists', async () => {
    const csv = 'text,note,input_ids\n"eins, ""zwei""\ndrei",,\n日本 🙂,x,"[1, 2]"\n';
    expect(await records('r.csv', csv)).toEqual([
      ['d/r.csv:3', { text: 'eins, "zwei"\ndrei', note: null, input_ids: null }],
      ['d/r.csv:4', { text: '日本 🙂', note: 'x', input_ids: [1, 2] }],
    ]);
    expect((await records('r.tsv', 'a\tb\r\n1,5\t2\r\n')).map(([, json]) => json)).toEqual([{ a: '1,5', b: '2' }]);
  });

  test('empty lines of a table are no rows, and count as lines', async () => {
    expect(await records('r.csv', 'text,n\n\na,1\n\n\nb,2\n')).toEqual([
      ['d/r.csv:3', { text: 'a', n: '1' }],
      ['d/r.csv:6', { text: 'b', n: '2' }],
    ]);
  });

  test('a table longer than what is parsed at once', async () => {
    const line = (i: number): string => `${i},"${'x'.repeat(90)}\n${i}"`;
    const found = await records('r.csv', `n,text\n${Array.from({ length: 15_000 }, (_, i) => line(i)).join('\n')}`);
    expect(found.length).toBe(15_000);
    expect(found.at(-1)).toEqual(['d/r.csv:30001', { n: '14999', text: `${'x'.repeat(90)}\n14999` }]);
  });

  test('a value longer than what is parsed at once, of several lines', async () => {
    const value = Array(3).fill('x'.repeat(600_000)).join('\n');
    expect(await records('r.csv', `n,text\n1,"${value}"\n2,b`)).toEqual([
      ['d/r.csv:4', { n: '1', text: value }],
      ['d/r.csv:5', { n: '2', text: 'b' }],
    ]);
  });

  test('gzip of each', async () => {
    const jsonl = ROWS.map((row) => JSON.stringify(row)).join('\n');
    expect((await records('r.jsonl.gz', gzipSync(jsonl))).map(([, json]) => json)).toEqual(ROWS);
    expect((await records('r.json.gz', gzipSync(JSON.stringify(ROWS)))).map(([, json]) => json)).toEqual(ROWS);
    expect(await records('r.csv.gz', gzipSync('a\nb'))).toEqual([['d/r.csv.gz:2', { a: 'b' }]]);
    const parts = Buffer.concat([gzipSync('{"text": "a"}\n'), gzipSync('{"text": "b"}\n')]);
    expect((await records('r.jsonl.gz', parts)).map(([, json]) => json)).toEqual([{ text: 'a' }, { text: 'b' }]);
  });
});

describe('what is malformed is named with file, line and column', () => {
  const cases: [name: string, path: string, content: string | Uint8Array, message: string][] = [
    ['a line', 'r.jsonl', '{"a": 1}\n{"a": tru}', 'd/r.jsonl:2:7: is not JSON: "t" cannot stand here'],
    ['an element', 'r.json', '[{"a": 1},\n {"a": 1 2}]', 'd/r.json:2:10: is not JSON: "2" cannot stand here'],
    ['an element on more lines', 'r.json', '[\n  {\n    "a": 01\n  }]', 'd/r.json:3:11: is not JSON: "1" cannot stand'],
    [
      'what is no object',
      'r.json',
      '[{"a": 1}, 7]',
      'd/r.json:1:12: is not a JSON array of objects: got "7", wanted an object',
    ],
    [
      'no comma',
      'r.json',
      '[{"a": 1}\n{"a": 2}]',
      'd/r.json:2:1: is not a JSON array of objects: got "{", wanted , or ]',
    ],
    [
      'an open array',
      'r.json',
      '[{"a": 1},\n',
      'd/r.json:1:11: is not a JSON array of objects: got the end of the file',
    ],
    [
      'more behind it',
      'r.json',
      '[{"a": 1}] x',
      'd/r.json:1:12: is not a JSON array of objects: got "x", wanted nothing',
    ],
    ['fields', 'r.csv', 'a,b\n1,2\n3\n', 'd/r.csv:3: has 1 fields, needs 2 as its first line (a, b)'],
    ['a quote', 'r.csv', 'a,b\n1,"2" x\n', 'd/r.csv:2: is no row of comma-separated values ('],
    ['a column twice', 'r.csv', 'a,a\n1,2\n', 'd/r.csv:1: names the column "a" twice'],
    ['a list', 'r.csv', 'input_ids\n"[1, 2"\n', 'd/r.csv:2: input_ids is no JSON list ('],
    [
      'gzip cut off',
      'r.jsonl.gz',
      gzipSync('{"text": "a"}\n'.repeat(99)).subarray(0, 30),
      'd/r.jsonl.gz: is gzip that is cut off',
    ],
    ['Parquet', 'r.parquet', 'PAR1 and no more', 'd/r.parquet: is a Parquet file that cannot be read ('],
    ['zstd', 'r.jsonl', Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0), 'd/r.jsonl: is compressed by zstd, needs JSONL'],
  ];
  test.each(cases)('%s', async (_, path, content, message) => {
    const error = await rejection(records(path, content));
    expect(error).toBeInstanceOf(DataError);
    expect(error.message.slice(0, message.length)).toBe(message);
  });

  test('the place of a fault is where JSON.parse would stop', () => {
    fc.assert(
      fc.property(fc.json(), fc.nat(), fc.constantFrom('', ',', '}', '"', 'x', '0', '\n', '\\'), (json, at, char) => {
        const text = json.slice(0, at % (json.length + 1)) + char + json.slice(at % (json.length + 1));
        let parses = true;
        try {
          JSON.parse(text);
        } catch {
          parses = false;
        }
        expect(jsonFault(text) === null, text).toBe(parses);
      }),
      { numRuns: 2000 },
    );
  });
});
