/** Writes the safetensors container, streamed tensor by tensor in the reference writer's order. */
import { KernelCallError } from '../errors.ts';
import { DTYPE_BYTES, type Dtype, elementCount } from './dtype.ts';
import type { Chunks, FileWriter } from './reader.ts';

/** A tensor to store; `data` is called once, when its turn comes, and yields exactly dtype * shape bytes. */
export type TensorToWrite = {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly data: () => Chunks;
};

const DTYPE_ORDER: readonly string[] = Object.keys(DTYPE_BYTES);

/**
 * Writes one file, atomically. `__metadata__` always says {"format": "pt"}, which PyTorch-side loaders ask for.
 * KernelCallError when a tensor yields another number of bytes than its shape, or a name comes twice.
 */
export async function writeSafetensors(
  writer: FileWriter,
  path: string,
  tensors: readonly TensorToWrite[],
  metadata: Readonly<Record<string, string>> = {},
): Promise<void> {
  const ordered = [...tensors].sort(
    (a, b) => DTYPE_ORDER.indexOf(a.dtype) - DTYPE_ORDER.indexOf(b.dtype) || compare(a.name, b.name),
  );
  await writer.write(path, fileChunks(ordered, { format: 'pt', ...metadata }));
}

/** Orders by code units, for ASCII names the order of the reference; localeCompare would depend on the machine. */
function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

async function* fileChunks(
  tensors: readonly TensorToWrite[],
  metadata: Readonly<Record<string, string>>,
): AsyncGenerator<Uint8Array> {
  yield headerBytes(tensors, metadata);
  for (const tensor of tensors) {
    const want = bytesOf(tensor);
    let got = 0;
    for await (const chunk of tensor.data()) {
      got += chunk.byteLength;
      yield chunk;
    }
    if (got !== want)
      throw new KernelCallError('writeSafetensors', `${tensor.name} yielded ${got} bytes, needs ${want}`);
  }
}

function headerBytes(tensors: readonly TensorToWrite[], metadata: Readonly<Record<string, string>>): Uint8Array {
  const entries: [string, unknown][] = [['__metadata__', metadata]];
  let at = 0;
  for (const tensor of tensors) {
    const end = at + bytesOf(tensor);
    entries.push([tensor.name, { dtype: tensor.dtype, shape: tensor.shape, data_offsets: [at, end] }]);
    at = end;
  }
  if (new Set(entries.map(([name]) => name)).size !== entries.length) {
    throw new KernelCallError('writeSafetensors', 'two tensors share a name');
  }
  // built by hand, because an object would move integer-like names to the front
  const json = `{${entries.map(([name, entry]) => `${JSON.stringify(name)}:${JSON.stringify(entry)}`).join(',')}}`;
  const text = new TextEncoder().encode(json);
  const padded = Math.ceil(text.byteLength / 8) * 8;
  const out = new Uint8Array(8 + padded).fill(0x20, 8);
  new DataView(out.buffer).setBigUint64(0, BigInt(padded), true);
  out.set(text, 8);
  return out;
}

function bytesOf(tensor: TensorToWrite): number {
  return elementCount(tensor.shape) * DTYPE_BYTES[tensor.dtype];
}
