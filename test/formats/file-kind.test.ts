import { expect, test } from 'vitest';
import { foreignText, kindOf } from '../../src/formats/file-kind.ts';

const bytes = (head: string | readonly number[]): Uint8Array =>
  typeof head === 'string' ? new TextEncoder().encode(head) : Uint8Array.from(head);

test.each([
  ['a Parquet file', 'PAR1....'],
  ['an Arrow file', 'ARROW1..'],
  ['an Arrow file', [0xff, 0xff, 0xff, 0xff, 0x78, 0x01, 0, 0]],
  ['an Arrow file', [0xff, 0xff, 0xff, 0xff]],
  ['compressed by gzip', [0x1f, 0x8b, 8]],
  ['compressed by bzip2', 'BZh9'],
  ['compressed by xz', [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0]],
  ['compressed by zstd', [0x28, 0xb5, 0x2f, 0xfd]],
  ['a zip archive', [0x50, 0x4b, 3, 4]],
  ['UTF-16 text', [0xff, 0xfe, 0x7b, 0]],
  ['UTF-16 text', [0xfe, 0xff, 0, 0x7b]],
  ['a GGUF file', 'GGUF\u0003'],
  ['a pointer of Git LFS', 'version https://git-lfs.github.com/spec/v1'],
  ['a web page', '<!DOCTYPE html>'],
  ['a web page', '<!doctype html>'],
  ['a web page', '<html lang="en">'],
])('%s', (name, head) => {
  expect(kindOf(bytes(head))?.name).toBe(name);
});

test.each([
  '',
  '{"text": "PAR1"}',
  'PAR',
  'version 2',
  // a length that no file has, of a safetensors header
  Array(8).fill(0xff),
  Array(9).fill(0xff),
  [0x1f],
])('%j is nothing of these', (head) => {
  expect(kindOf(bytes(head as string))).toBeNull();
});

test('a text of another kind is named, with what to do', () => {
  expect(foreignText('version https://git-lfs.github.com/spec/v1\noid sha256:1')).toBe(
    'is a pointer of Git LFS. Fetch the file itself: `git lfs pull`.',
  );
  expect(foreignText('{}')).toBeNull();
});
