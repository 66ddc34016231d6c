/** Rows packed as TRL packs them (test/golden/make/packing.py), and the places of their documents. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { makeMicroBatch } from '../../src/data/batch.ts';
import { type PackingStrategy, packRows } from '../../src/data/pack.ts';
import { lossTokens, type Row } from '../../src/data/row.ts';
import { cpuSeconds, SOON_SECONDS } from '../cpu-seconds.ts';

/** `rows`: document, first token and count of each piece, one after the other. */
type Packed = { readonly rows: readonly (readonly number[])[]; readonly seq_lengths?: readonly number[][] };
type Case = { readonly length: number; readonly documents: readonly number[] } & Record<PackingStrategy, Packed>;
const golden = JSON.parse(readFileSync(new URL('../golden/packing/packs.json', import.meta.url), 'utf8')) as {
  stride: number;
  cases: readonly Case[];
};

const row = (ids: number[], labels?: number[]): Row => ({
  inputIds: Uint32Array.from(ids),
  labels: labels ? Int32Array.from(labels) : null,
});
/** Document i holds i * stride, i * stride + 1, and so on. */
const piece = (document: number, first: number, count: number) =>
  Array.from({ length: count }, (_, t) => document * golden.stride + first + t);
const joined = (flat: readonly number[]): number[] =>
  flat.flatMap((document, i) => (i % 3 === 0 ? piece(document, flat[i + 1] as number, flat[i + 2] as number) : []));

const CASES = golden.cases.flatMap((c) =>
  (['bfd', 'bfd_split', 'wrapped'] as const).map((strategy) => [c.documents.length, c.length, strategy, c] as const),
);

test('the golden file has the cases of every strategy', () => {
  expect(CASES).toHaveLength(24);
});

test.each(CASES)("%i documents in rows of %i are TRL's rows: %s", (_, length, strategy, c) => {
  const documents = c.documents.map((count, i) => row(piece(i, 0, count)));
  const rows = packRows(documents, length, strategy);
  const { rows: want, seq_lengths } = c[strategy];
  expect(rows.map(({ inputIds }) => [...inputIds])).toEqual(want.map(joined));
  expect(rows.map((packed) => packed.documents)).toEqual(seq_lengths ?? want.map(() => undefined));
});

describe('labels', () => {
  const documents = [row([1, 2, 3]), row([4, 5], [-100, 5]), row([6], [6])];

  test('the first of a document is never predicted, wherever it stands; the others stay', () => {
    const [packed] = packRows(documents, 8, 'bfd');
    expect([...(packed?.labels ?? [])]).toEqual([-100, 2, 3, -100, 5, -100]);
    expect(lossTokens(packed as Row)).toBe(3);
    expect(documents[2]?.labels?.[0]).toBe(6);
  });

  test('a fragment of a split document starts anew', () => {
    const rows = packRows([row([1, 2, 3, 4, 5], [1, 2, 3, 4, 5])], 3, 'bfd_split');
    expect(rows.map(({ labels }) => [...(labels ?? [])])).toEqual([
      [-100, 2, 3],
      [-100, 5],
    ]);
  });

  test('a stream keeps all of them: a document is predicted from the one before', () => {
    const [packed] = packRows(documents, 8, 'wrapped');
    expect([...(packed?.labels ?? [])]).toEqual([1, 2, 3, -100, 5, 6]);
    expect(packRows([row([1, 2]), row([3])], 8, 'wrapped')[0]?.labels).toBeNull();
  });
});

describe('a micro-batch of packed rows', () => {
  const rows = packRows([row([1, 2, 3, 4]), row([5, 6]), row([7, 8, 9])], 6, 'bfd');

  test('says of every token where its document lies; padding is a document a token', () => {
    expect(rows.map(({ documents }) => documents)).toEqual([[4, 2], [3]]);
    expect(makeMicroBatch(rows, { padId: 0 })).toMatchObject({
      B: 2,
      S: 6,
      tokens: 9,
      lossTokens: 6,
      firstLabels: 0,
      labels: Int32Array.of(2, 3, 4, -100, 6, -100, 8, 9, -100, -100, -100, -100),
      documents: {
        positions: Uint32Array.of(0, 1, 2, 3, 0, 1, 0, 1, 2, 0, 0, 0),
        starts: Uint32Array.of(0, 0, 0, 0, 4, 4, 0, 0, 0, 3, 4, 5),
        ends: Uint32Array.of(4, 4, 4, 4, 6, 6, 3, 3, 3, 4, 5, 6),
      },
    });
  });

  test('says nothing where rows are one sequence each', () => {
    expect(makeMicroBatch([row([1, 2])], { padId: 0 }).documents).toBeNull();
    expect(makeMicroBatch(packRows([row([1, 2])], 4, 'wrapped'), { padId: 0 }).documents).toBeNull();
  });
});

test('200,000 pieces of a split document look at no full row', () => {
  let rows: Row[] = [];
  const document = { inputIds: new Uint32Array(800_001).fill(1), labels: null };
  expect(cpuSeconds(() => (rows = packRows([document], 4, 'bfd_split')))).toBeLessThan(SOON_SECONDS);
  expect(rows.length).toBe(200_001);
});
