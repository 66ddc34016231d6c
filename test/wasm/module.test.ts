import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { codec } from './helpers.ts';

const PAGE = 65536;
const MEMORY_SECTION = 5;
const SHARED_FLAG = 2;
const MAXIMUM_FLAG = 1;

/** Reads an unsigned LEB128. */
function leb(bytes: Uint8Array, at: number): { value: number; next: number } {
  let [value, shift, next] = [0, 0, at];
  for (;;) {
    const byte = bytes[next++]!;
    value += (byte & 127) * 2 ** shift;
    shift += 7;
    if (byte < 128) return { value, next };
  }
}

function sections(bytes: Uint8Array): Map<number, number> {
  const found = new Map<number, number>();
  for (let at = 8; at < bytes.length; ) {
    const { value, next } = leb(bytes, at + 1);
    found.set(bytes[at]!, next);
    at = next + value;
  }
  return found;
}

test.each(['nibble.wasm', 'nibble.debug.wasm'])('%s: no imports, memory bounded and not shared', async (file) => {
  const bytes = new Uint8Array(await readFile(new URL(`../../build/${file}`, import.meta.url)));
  const found = sections(bytes);
  const imports = 2;
  expect(found.has(imports)).toBe(false);
  const count = leb(bytes, found.get(MEMORY_SECTION)!);
  const flags = leb(bytes, count.next);
  const initial = leb(bytes, flags.next);
  const maximum = leb(bytes, initial.next);
  expect(count.value).toBe(1);
  expect(flags.value & SHARED_FLAG).toBe(0);
  expect(flags.value & MAXIMUM_FLAG).toBe(MAXIMUM_FLAG);
  expect(maximum.value).toBe(initial.value);
  expect(maximum.value * PAGE).toBe(codec.memory.byteLength);
  expect(maximum.value * PAGE).toBeLessThanOrEqual(16 << 20);
});
