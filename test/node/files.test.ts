import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { DataError } from '../../src/errors.ts';
import { memoryReader, memoryWriter } from '../../src/formats/memory.ts';
import { type FileReader, type FileWriter, place, writeText } from '../../src/formats/reader.ts';
import { makeDirectories, nodeReader, nodeWriter } from '../../src/node/files.ts';
import { rejection } from '../formats/files.ts';

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'nibble-formats-'));
});
afterAll(() => rm(root, { recursive: true }));

// files on the disk and in memory behave alike
const files = new Map<string, Uint8Array | string>();
const doors: Record<string, () => [FileReader, FileWriter]> = {
  disk: () => [nodeReader(root), nodeWriter(root)],
  memory: () => [memoryReader(files), memoryWriter(files)],
};
describe.each(Object.entries(doors))('%s', (_, open) => {
  let reader: FileReader;
  let writer: FileWriter;
  beforeEach(async () => {
    [reader, writer] = open();
    await writer.write('a.bin', [Uint8Array.of(1, 2, 3), Uint8Array.of(), Uint8Array.of(4, 5)]);
    await writeText(writer, 'note.txt', 'größer');
  });

  test('what was written is there, whole and in part', async () => {
    expect(await reader.size('a.bin')).toBe(5);
    const part = new Uint8Array(3);
    await reader.read('a.bin', 1, part);
    expect([...part]).toEqual([2, 3, 4]);
    expect(await reader.readText('note.txt')).toBe('größer');
    expect(await reader.exists('a.bin')).toBe(true);
    expect(await reader.exists('b.bin')).toBe(false);
    expect(await reader.list()).toEqual(['a.bin', 'note.txt']);
  });

  test('a producer that fills one buffer again and again loses nothing', async () => {
    await writer.write(
      'a.bin',
      (function* () {
        const buffer = new Uint8Array(1);
        for (buffer[0] = 1; buffer[0]! < 4; buffer[0]!++) yield buffer;
      })(),
    );
    const all = new Uint8Array(3);
    await reader.read('a.bin', 0, all);
    expect([...all]).toEqual([1, 2, 3]);
  });

  test('an absent file, a short one and text that is not UTF-8 are DataErrors', async () => {
    // called one after the other, since a promise that is rejected while another is awaited counts as unhandled
    const calls = [() => reader.size('no'), () => reader.readText('no'), () => reader.read('no', 0, new Uint8Array(1))];
    for (const call of calls) {
      const error = await rejection(call());
      expect(error).toBeInstanceOf(DataError);
      expect(error.message).toBe(`${reader.root}/no: no such file.`);
    }
    const short = await rejection(reader.read('a.bin', 3, new Uint8Array(3)));
    expect(short.message).toContain('ends early: 2 bytes at offset 3, needs 3');
    await writer.write('note.txt', [Uint8Array.of(0xc3, 0x28)]);
    expect((await rejection(reader.readText('note.txt'))).message).toContain('is not UTF-8 text');
  });

  test('a write that fails half way leaves the old content', async () => {
    const failing = writer.write(
      'a.bin',
      (function* () {
        yield Uint8Array.of(9);
        throw new Error('the disk is full');
      })(),
    );
    await expect(failing).rejects.toThrow('the disk is full');
    expect(await reader.list()).toEqual(['a.bin', 'note.txt']);
    const first = new Uint8Array(1);
    await reader.read('a.bin', 0, first);
    expect(first[0]).toBe(1);
    expect(await reader.size('a.bin')).toBe(5);
  });
});

test('while a file is being written, readers see the old one and then the new one', async () => {
  const path = join(root, 'steady');
  await writeFile(path, 'old');
  const seen: string[] = [];
  await nodeWriter(root).write(
    'steady',
    (async function* () {
      yield new TextEncoder().encode('ne');
      seen.push(await readFile(path, 'utf8'));
      yield new TextEncoder().encode('w');
    })(),
  );
  seen.push(await readFile(path, 'utf8'));
  expect(seen).toEqual(['old', 'new']);
  expect((await readdir(root)).filter((name) => name.endsWith('.tmp'))).toEqual([]);
});

test('an absolute path is read where it is, and named without the root', async () => {
  const elsewhere = join(root, 'elsewhere');
  await writeFile(elsewhere, 'x');
  const reader = nodeReader(join(root, 'deep'));
  expect(await reader.readText(elsewhere)).toBe('x');
  expect([place(reader, elsewhere), place(reader, 'C:\\a'), place({ root: 'd' }, 'a/b')]).toEqual([
    elsewhere,
    'C:\\a',
    'd/a/b',
  ]);
});

test('directories above a new file are made', async () => {
  await writeText(nodeWriter(root), 'deep/er/file', 'x');
  expect(await nodeReader(join(root, 'deep')).readText('er/file')).toBe('x');
});

test('directories that are made are named, the outermost first', async () => {
  await mkdir(join(root, 'old'));
  expect(await makeDirectories(join(root, 'old/a/b'))).toEqual([join(root, 'old/a'), join(root, 'old/a/b')]);
  expect(await makeDirectories(join(root, 'old/a/b'))).toEqual([]);
  await expect(makeDirectories(join(root, 'old/c', 'n'.repeat(300)))).rejects.toThrow('ENAMETOOLONG');
  expect(await readdir(join(root, 'old'))).toEqual(['a']);
});

// Node's mkdir with `recursive` never returns from /proc
test.runIf(process.platform === 'linux')('a place where no directory can be made is refused at once', async () => {
  const error = await rejection(writeText(nodeWriter('/proc/nibble/run'), 'file', 'x'));
  expect(error).toBeInstanceOf(DataError);
  expect(error.message).toMatch(/^\/proc\/nibble\/run\/file: cannot be written \(.+, E\w+\)/);
});

test('a file in the middle of a path is named as what it is', async () => {
  await writeText(nodeWriter(root), 'plain', 'x');
  const says = 'a part of its path is a file, not a folder';
  expect((await rejection(writeText(nodeWriter(root), 'plain/below', 'x'))).message).toContain(says);
  expect((await rejection(nodeReader(root).readText('plain/below'))).message).toContain(says);
});
