/** Long lines, and what stands on the border of two pieces. */
import { describe, expect, test } from 'vitest';
import { MOST_ROW_BYTES, readLines } from '../../src/data/lines.ts';
import { memoryReader } from '../../src/formats/memory.ts';

async function linesOf(content: Uint8Array | string, pieceBytes?: number): Promise<string[]> {
  const found: string[] = [];
  for await (const { text, number } of readLines(memoryReader(new Map([['f', content]])), 'f', pieceBytes)) {
    expect(number).toBe(found.length + 1);
    found.push(text);
  }
  return found;
}

const MIB = 2 ** 20;
const filled = (bytes: number, ends: readonly number[] = []): Uint8Array => {
  const file = new Uint8Array(bytes).fill(0x61);
  for (const end of ends) file[end] = 0x0a;
  return file;
};

test('a line may have 16 MiB', async () => {
  const lines = await linesOf(filled(2 * MOST_ROW_BYTES + 2, [MOST_ROW_BYTES, 2 * MOST_ROW_BYTES + 1]));
  expect(lines.map((line) => line.length)).toEqual([MOST_ROW_BYTES, MOST_ROW_BYTES]);
});

describe('a longer line is one error with its number and size', () => {
  test.each([
    ['at the end', filled(150 * MIB), 1, '150.0 MiB'],
    ['before others', filled(40 * MIB, [30 * MIB]), 1, '30.0 MiB'],
    ['behind others', filled(60 * MIB, [5, MIB, 18 * MIB]), 3, '17.0 MiB'],
    ['by a byte', filled(MOST_ROW_BYTES + 1), 1, '16.0 MiB'],
  ] as const)('%s', async (_, content, line, size) => {
    await expect(linesOf(content)).rejects.toThrow(`memory/f:${line}: has ${size}, needs 16 MiB or less in a line`);
  });
});

test.each([1, 2, 3, 4, 7, 1024])('pieces of %i bytes', async (pieceBytes) => {
  // a byte order mark at the start is none of the text, elsewhere it is
  const text = '\ufeffé\r\n\n\u{1f600}x\n\ufeffy\r\nlast\r';
  expect(await linesOf(text, pieceBytes)).toEqual(['é', '', '\u{1f600}x', '\ufeffy', 'last']);
  expect(await linesOf('\n\n', pieceBytes)).toEqual(['', '']);
  expect(await linesOf('', pieceBytes)).toEqual([]);
});

test('bytes that are no UTF-8 are an error that names a line before them', async () => {
  const content = new Uint8Array([0x61, 0x0a, 0x62, 0x0a, 0xff, 0x0a]);
  await expect(linesOf(content, 2)).rejects.toThrow('memory/f:3: is not UTF-8 text here');
});
