/** Reads the safetensors container. A header is trusted only after every number in it was checked. */

import { show } from '../config/show.ts';
import { DataError } from '../errors.ts';
import { DTYPE_BYTES, type Dtype, elementCount, isDtype } from './dtype.ts';
import { ADVICE, kindOf } from './file-kind.ts';
import { duplicateKey, isObject, type JsonObject, parseObject } from './json.ts';
import { decodeUtf8, type FileReader, place } from './reader.ts';

/** One tensor of a file: row-major, little-endian, `bytes` long from the byte `offset` of the file. */
export type TensorInfo = {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly bytes: number;
  readonly offset: number;
};

export type SafetensorsHeader = {
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  readonly metadata: Readonly<Record<string, string>>;
};

/** The length in front of the header: one little-endian u64. */
const LENGTH_BYTES = 8;
/** The limit of the reference reader; longer headers are taken for attacks. */
export const MAX_HEADER_BYTES = 100_000_000;

/**
 * Reads and checks the header of one file; the data is not touched.
 * DataError: truncated file, a header that is too long, not JSON or with a name twice, an unknown dtype, a size that is not dtype * shape,
 * offsets beyond the file, holes and overlaps.
 */
export async function readSafetensorsHeader(reader: FileReader, path: string): Promise<SafetensorsHeader> {
  const file = place(reader, path);
  const fileBytes = await reader.size(path);
  if (fileBytes < LENGTH_BYTES) {
    throw new DataError(file, `holds ${fileBytes} bytes, needs at least ${LENGTH_BYTES}. Fetch it again.`);
  }
  const lengthField = new Uint8Array(LENGTH_BYTES);
  await reader.read(path, 0, lengthField);
  const headerBytes = new DataView(lengthField.buffer).getBigUint64(0, true);
  if (headerBytes > BigInt(Math.min(MAX_HEADER_BYTES, fileBytes))) await refuseForeign(reader, path, fileBytes);
  if (headerBytes > BigInt(MAX_HEADER_BYTES)) {
    throw new DataError(
      file,
      `offset 0 announces a header of ${headerBytes} bytes, the limit is ${MAX_HEADER_BYTES}. It is not a safetensors file, or it is damaged.`,
    );
  }
  const dataStart = LENGTH_BYTES + Number(headerBytes);
  if (dataStart > fileBytes) {
    throw new DataError(
      file,
      `offset 0 announces a header that ends at byte ${dataStart}, the file ends at ${fileBytes}. It is truncated or not a safetensors file; fetch it again.`,
    );
  }
  const header = new Uint8Array(Number(headerBytes));
  await reader.read(path, LENGTH_BYTES, header);
  const text = decodeUtf8(header, `${file} (header)`);
  const parsed = parseObject(text, `${file} (header)`);
  const twice = duplicateKey(text);
  if (twice !== null)
    throw new DataError(
      file,
      `its header has ${show(twice)} twice, and which of the two is meant nobody can tell. Fetch the file again, or save it anew.`,
    );
  return checkHeader(parsed, file, dataStart, fileBytes);
}

/** Names what is no safetensors file at all, where its first bytes say so. */
async function refuseForeign(reader: FileReader, path: string, fileBytes: number): Promise<void> {
  const head = new Uint8Array(Math.min(HEAD_BYTES, fileBytes));
  await reader.read(path, 0, head);
  const kind = kindOf(head);
  if (kind !== null)
    throw new DataError(place(reader, path), `is ${kind.name}, needs safetensors. ${ADVICE[kind.holds]}`);
}
const HEAD_BYTES = 64;

function checkHeader(header: JsonObject, file: string, dataStart: number, fileBytes: number): SafetensorsHeader {
  const tensors: TensorInfo[] = [];
  let metadata: Record<string, string> = {};
  for (const [name, entry] of Object.entries(header)) {
    if (name === '__metadata__') metadata = checkMetadata(entry, file);
    else tensors.push(checkTensor(name, entry, file, dataStart));
  }
  checkLayout(tensors, file, dataStart, fileBytes);
  return { tensors: new Map(tensors.map((tensor) => [tensor.name, tensor])), metadata };
}

function checkMetadata(value: unknown, file: string): Record<string, string> {
  if (isObject(value) && Object.values(value).every((entry) => typeof entry === 'string')) {
    return value as Record<string, string>;
  }
  throw new DataError(file, `__metadata__ is ${show(value)}, needs a map of string to string.`);
}

function checkTensor(name: string, entry: unknown, file: string, dataStart: number): TensorInfo {
  const fail = (detail: string): never => {
    throw new DataError(file, `tensor ${show(name)}: ${detail}`);
  };
  if (!isObject(entry)) return fail(`its header entry is ${show(entry)}, needs {dtype, shape, data_offsets}.`);
  const { dtype, shape, data_offsets: offsets } = entry;
  if (!isDtype(dtype))
    return fail(`dtype ${show(dtype)} is not known; known are ${Object.keys(DTYPE_BYTES).join(', ')}.`);
  if (!isSizes(shape)) return fail(`shape is ${show(shape)}, needs a list of sizes.`);
  if (!isSizes(offsets) || offsets.length !== 2) return fail(`data_offsets is ${show(offsets)}, needs [begin, end].`);
  const [begin, end] = offsets as readonly [number, number];
  if (begin > end)
    return fail(`data_offsets [${begin}, ${end}] end before they begin. The header lies; fetch the file again.`);
  const bytes = elementCount(shape) * DTYPE_BYTES[dtype];
  if (end - begin !== bytes) {
    return fail(
      `data_offsets span ${end - begin} bytes, ${dtype} ${show(shape)} needs ${bytes}. The header lies; fetch the file again.`,
    );
  }
  return { name, dtype, shape, bytes, offset: dataStart + begin };
}

function isSizes(value: unknown): value is readonly number[] {
  return Array.isArray(value) && value.every((size) => Number.isSafeInteger(size) && size >= 0);
}

/** Requires that tensors cover the data exactly once, so that a file cannot hide anything. */
function checkLayout(tensors: readonly TensorInfo[], file: string, dataStart: number, fileBytes: number): void {
  const inOrder = [...tensors].sort((a, b) => a.offset - b.offset || a.bytes - b.bytes);
  let end = dataStart;
  for (const { name, offset, bytes } of inOrder) {
    if (offset + bytes > fileBytes) {
      throw new DataError(
        file,
        `tensor ${show(name)} ends at byte ${offset + bytes}, the file ends at ${fileBytes}. It is truncated; fetch it again.`,
      );
    }
    if (offset !== end) {
      const fault = offset < end ? 'overlaps the tensor before it' : 'leaves a hole before it';
      throw new DataError(
        file,
        `tensor ${show(name)} begins at byte ${offset}, needs ${end}: it ${fault}. Fetch the file again.`,
      );
    }
    end = offset + bytes;
  }
  if (end !== fileBytes) {
    throw new DataError(
      file,
      `the last tensor ends at byte ${end}, the file at ${fileBytes}. Bytes no tensor owns are refused; fetch it again.`,
    );
  }
}
