import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { DataError } from '../../../src/errors.ts';
import { memoryStore, Spool, type SpoolStore } from '../../../src/model/quantize/spool.ts';
import { openFileStore } from '../../../src/node/spool.ts';
import { rejection } from '../../formats/files.ts';
import { expectSameBytes } from '../../wasm/helpers.ts';

const root = mkdtempSync(path.join(tmpdir(), 'nibble-spool-'));
afterAll(() => rmSync(root, { recursive: true }));

const pattern = (length: number, seed: number) =>
  Uint8Array.from({ length }, (_, i) => (i * 31 + seed + (i >> 8) + (i >> 16)) & 255);

async function collect(chunks: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const chunk of chunks) parts.push(chunk.slice());
  return Buffer.concat(parts);
}

const stores: [string, () => Promise<SpoolStore>][] = [
  ['in memory', async () => memoryStore()],
  ['in a file', () => openFileStore(path.join(root, 'spool'))],
];

describe.each(stores)('%s', (_, open) => {
  test('ranges come out as they went in, written in any order, of any number of chunks', async () => {
    const store = await open();
    const spool = new Spool(store);
    // past two chunks of 4 MiB, one that ends with a chunk, one byte, none
    const contents = [pattern(9 * 2 ** 20 + 3, 1), pattern(4 * 2 ** 20, 2), pattern(1, 3), pattern(0, 4)];
    const first = spool.reserve(contents[0]!.byteLength);
    const rest = [];
    for (const bytes of contents.slice(1)) rest.push(await spool.append(bytes));
    const half = 5 * 2 ** 20 + 1;
    await spool.write(first, half, contents[0]!.subarray(half));
    await spool.write(first, 0, contents[0]!.subarray(0, half));
    for (const [i, stretch] of [first, ...rest].entries())
      expectSameBytes(await collect(spool.chunks(stretch)), contents[i]!);
  });
});

test('a file that cannot be made, or that is there, is refused by name', async () => {
  const gone = await rejection(openFileStore(path.join(root, 'none', 'spool')));
  expect(gone).toBeInstanceOf(DataError);
  expect(gone.message).toContain('none/spool: cannot be written (ENOENT). Give a folder that can be written.');
  const store = await openFileStore(path.join(root, 'twice'));
  expect((await rejection(openFileStore(path.join(root, 'twice')))).message).toContain('cannot be written (EEXIST)');
  const short = await rejection(store.read(0, new Uint8Array(1)));
  expect(short.message).toContain('twice: ends at byte 0');
  await store.close();
});
