/**
 * Writes the GGUF container, version 3, little-endian: what llama.cpp and Ollama read. A header, metadata, a directory of tensors, then
 * their data, each aligned. Source: the package gguf 0.19 and ggml/src/gguf.cpp.
 */
import { KernelCallError } from '../errors.ts';
import { elementCount } from './dtype.ts';

/** One value of the metadata, of a type that adapters need. */
export type GgufValue =
  | { readonly type: 'uint32'; readonly value: number }
  | { readonly type: 'float32'; readonly value: number }
  | { readonly type: 'string'; readonly value: string };

/** Keys in the order in which they are written. */
export type GgufMetadata = ReadonlyMap<string, GgufValue>;

/** Element types by ggml's number, with bytes per element. */
const TENSOR_TYPES = { F32: { id: 0, bytes: 4 }, F16: { id: 1, bytes: 2 } } as const;
export type GgufTensorType = keyof typeof TENSOR_TYPES;

export type GgufTensor = {
  readonly name: string;
  readonly type: GgufTensorType;
  /** Row-major, the innermost size last; the file has them the other way round. */
  readonly shape: readonly number[];
  /** Called once, when its turn comes; has to yield exactly type * shape bytes. */
  readonly data: () => Uint8Array;
};

/** Numbers of the types of metadata values. */
const VALUE_TYPES = { uint32: 4, float32: 6, string: 8 } as const;
const MAGIC = 'GGUF';
const VERSION = 3;
/** Where each tensor and the first byte of data begin; a file that says nothing else has this. */
const ALIGNMENT = 32;
/** ggml keeps names of tensors in 64 bytes, with a zero at the end. */
const LONGEST_NAME = 63;

/** Bytes of the whole file. */
export function ggufBytes(metadata: GgufMetadata, tensors: readonly GgufTensor[]): number {
  const head = aligned(headOf(metadata, tensors).byteLength);
  return tensors.reduce((sum, tensor) => sum + aligned(bytesOf(tensor)), head);
}

/** Yields the file from its first byte to its last. @throws KernelCallError for data of another size than its shape */
export function* ggufChunks(metadata: GgufMetadata, tensors: readonly GgufTensor[]): Generator<Uint8Array> {
  yield* padded(headOf(metadata, tensors));
  for (const tensor of tensors) {
    const data = tensor.data();
    if (data.byteLength !== bytesOf(tensor))
      throw new KernelCallError('ggufChunks', `${tensor.name} has ${data.byteLength} bytes, needs ${bytesOf(tensor)}`);
    yield* padded(data);
  }
}

function* padded(bytes: Uint8Array): Generator<Uint8Array> {
  yield bytes;
  yield new Uint8Array(aligned(bytes.byteLength) - bytes.byteLength);
}

const aligned = (bytes: number): number => Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
const bytesOf = ({ type, shape }: GgufTensor): number => elementCount(shape) * TENSOR_TYPES[type].bytes;

function headOf(metadata: GgufMetadata, tensors: readonly GgufTensor[]): Uint8Array {
  const head = new Bytes();
  for (const letter of MAGIC) head.byte(letter.charCodeAt(0));
  head.u32(VERSION);
  head.u64(tensors.length);
  head.u64(metadata.size);
  for (const [key, entry] of metadata) {
    head.text(key);
    head.u32(VALUE_TYPES[entry.type]);
    if (entry.type === 'string') head.text(entry.value);
    else if (entry.type === 'uint32') head.u32(entry.value);
    else head.f32(entry.value);
  }
  const names = new Set<string>();
  let offset = 0;
  for (const tensor of tensors) {
    const { name, type, shape } = tensor;
    if (names.has(name) || name.length > LONGEST_NAME)
      throw new KernelCallError('ggufChunks', `${name} comes twice, or is longer than ${LONGEST_NAME} characters`);
    names.add(name);
    head.text(name);
    head.u32(shape.length);
    for (const size of [...shape].reverse()) head.u64(size);
    head.u32(TENSOR_TYPES[type].id);
    head.u64(offset);
    offset += aligned(bytesOf(tensor));
  }
  return head.whole();
}

/** Little-endian bytes, one value after the other. */
class Bytes {
  readonly #parts: Uint8Array[] = [];

  byte(value: number): void {
    this.#parts.push(Uint8Array.of(value));
  }

  u32(value: number): void {
    this.#put(4, (view) => view.setUint32(0, value, true));
  }

  u64(value: number): void {
    this.#put(8, (view) => view.setBigUint64(0, BigInt(value), true));
  }

  f32(value: number): void {
    this.#put(4, (view) => view.setFloat32(0, value, true));
  }

  /** UTF-8, after its length. */
  text(value: string): void {
    const bytes = new TextEncoder().encode(value);
    this.u64(bytes.byteLength);
    this.#parts.push(bytes);
  }

  whole(): Uint8Array {
    const out = new Uint8Array(this.#parts.reduce((sum, { byteLength }) => sum + byteLength, 0));
    let at = 0;
    for (const part of this.#parts) {
      out.set(part, at);
      at += part.byteLength;
    }
    return out;
  }

  #put(bytes: number, set: (view: DataView) => void): void {
    const part = new Uint8Array(bytes);
    set(new DataView(part.buffer));
    this.#parts.push(part);
  }
}
