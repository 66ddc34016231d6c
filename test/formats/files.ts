/** Helpers of the formats and data tests: where the golden files lie, and safetensors files built by hand. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { FileReader } from '../../src/formats/reader.ts';
import { nodeReader } from '../../src/node/files.ts';

const GOLDEN = fileURLToPath(new URL('../golden/formats/', import.meta.url));

export function goldenDirectory(name: string): FileReader {
  return nodeReader(`${GOLDEN}${name}`);
}

export function goldenBytes(path: string): Uint8Array {
  return new Uint8Array(readFileSync(`${GOLDEN}${path}`));
}

export function goldenJson<T>(name: string): T {
  return JSON.parse(readFileSync(`${GOLDEN}${name}`, 'utf8')) as T;
}

/** Builds a safetensors file from any header, right or wrong, and `dataBytes` bytes counting up from 0. */
export function safetensorsFile(header: unknown, dataBytes: number): Uint8Array {
  const json = new TextEncoder().encode(typeof header === 'string' ? header : JSON.stringify(header));
  const file = new Uint8Array(8 + json.byteLength + dataBytes);
  new DataView(file.buffer).setBigUint64(0, BigInt(json.byteLength), true);
  file.set(json, 8);
  for (let i = 0; i < dataBytes; i++) file[8 + json.byteLength + i] = i;
  return file;
}

/** Awaits a rejection and returns the error, so that a test can check its class and its message. */
export async function rejection(promise: Promise<unknown>): Promise<Error> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof Error) return error;
    throw error;
  }
  throw new Error('expected a rejection');
}

/** Returns the error that a call throws. */
export function thrown(call: () => unknown): Error {
  try {
    call();
  } catch (error) {
    if (error instanceof Error) return error;
    throw error;
  }
  throw new Error('expected an error');
}
