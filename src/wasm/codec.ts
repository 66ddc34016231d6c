/** An instance of the WASM module and the layout of its memory. Memory never grows, so views into it stay valid. */
import { KernelCallError } from '../errors.ts';
import { BLOCK_SIZES, type QuantSpec, type QuantType, type SourceDtype } from './types.ts';

/** A `WebAssembly.Module`. Its real type comes with TypeScript's browser library only. */
export type WasmModule = object;

type WasmApi = {
  Module: new (bytes: Uint8Array<ArrayBuffer>) => WasmModule;
  Instance: new (module: WasmModule, imports: object) => { readonly exports: unknown };
};

/** Functions over byte addresses; assembly/ documents each. */
export type WasmExports = {
  readonly memory: { readonly buffer: ArrayBuffer };
  heapBase(): number;
  nf4Code(): number;
  fp4Code(): number;
  int4Code(): number;
  dynamicCode(): number;
  givenCode(): number;
  quantize4bit(
    code: number,
    dtype: number,
    src: number,
    count: number,
    blockSize: number,
    packed: number,
    absmax: number,
  ): number;
  dequantize4bit(
    code: number,
    dtype: number,
    packed: number,
    count: number,
    blockSize: number,
    absmax: number,
    dst: number,
  ): void;
  quantizeDynamic8bit(
    src: number,
    count: number,
    blockSize: number,
    offset: number,
    codes: number,
    absmax: number,
  ): number;
  dequantizeDynamic8bit(
    codes: number,
    count: number,
    blockSize: number,
    absmax: number,
    offset: number,
    map: number,
    dst: number,
  ): void;
  sumF32(src: number, count: number, start: number): number;
  widen(dtype: number, src: number, count: number, dst: number): void;
  narrow(dtype: number, src: number, count: number, dst: number): void;
  updateRow(a: number, b: number, rank: number, stride: number, count: number, scaling: number, dst: number): void;
};

/** Source bytes a slab holds at most: f32 data and its packed form then fit a core's second-level cache. */
export const MAX_SLAB_BYTES = 2 << 20;

/** Byte offsets inside a region, which holds one slab: its source, its nibbles, its absmax. */
export const REGION = {
  source: 0,
  packed: MAX_SLAB_BYTES,
  // a 16-bit source has the most elements: half a byte of nibbles for two bytes of source
  absmax: MAX_SLAB_BYTES + MAX_SLAB_BYTES / 4,
  // in blocks of 32, four bytes of absmax for 64 bytes of source
  byteLength: MAX_SLAB_BYTES + MAX_SLAB_BYTES / 4 + MAX_SLAB_BYTES / 16,
} as const;

const REGION_ALIGNMENT = 4096;
const wasmApi = (globalThis as unknown as { WebAssembly: WasmApi }).WebAssembly;

/** Compiles the bytes of `nibble.wasm`; on an edge runtime the module comes from an import instead. */
export function compileWasm(bytes: Uint8Array<ArrayBuffer>): WasmModule {
  return new wasmApi.Module(bytes);
}

export class Codec {
  readonly wasm: WasmExports;
  readonly memory: Uint8Array<ArrayBuffer>;

  constructor(module: WasmModule) {
    this.wasm = new wasmApi.Instance(module, {}).exports as WasmExports;
    this.memory = new Uint8Array(this.wasm.memory.buffer);
    if (this.region(2) + REGION.byteLength > this.memory.byteLength) {
      throw new KernelCallError('Codec', `${this.memory.byteLength} bytes of memory cannot hold three regions`);
    }
  }

  /** Computes the byte address of a region: 0 and 1 are anybody's for a call, 2 belongs to `UpdateRows`. */
  region(index: 0 | 1 | 2): number {
    const start = Math.ceil(this.wasm.heapBase() / REGION_ALIGNMENT) * REGION_ALIGNMENT;
    return start + index * REGION.byteLength;
  }

  bytes(address: number, byteLength: number): Uint8Array<ArrayBuffer> {
    return this.memory.subarray(address, address + byteLength);
  }

  floats(address: number, count: number): Float32Array<ArrayBuffer> {
    return new Float32Array(this.memory.buffer, address, count);
  }

  /** Copies a code book that this instance quantizes with: 16 values, or 256 for the dynamic code. */
  codeBook(name: QuantType | 'dynamic'): Float32Array<ArrayBuffer> {
    if (name === 'dynamic') return this.floats(this.wasm.dynamicCode(), 256).slice();
    const { wasm } = this;
    const address = { nf4: wasm.nf4Code, fp4: wasm.fp4Code, int4: wasm.int4Code }[name]();
    return this.floats(address, 16).slice();
  }
}

/** Gives the number by which the module knows a dtype. */
export function dtypeCode(dtype: SourceDtype): 0 | 1 | 2 {
  if (dtype === 'float32') return 0;
  return dtype === 'float16' ? 1 : 2;
}

/** 2 is FP4 as bitsandbytes encodes it on a CPU, which nothing but a comparison asks for. */
const QUANT_TYPE_CODES = { nf4: 0, fp4: 1, int4: 3 } as const;

/** Gives the number by which the module knows a 4-bit type. */
export function quantTypeCode(quantType: QuantType): 0 | 1 | 3 {
  return QUANT_TYPE_CODES[quantType];
}

/** Checks the sizes of a call. @throws KernelCallError for an element count or a block size that the format lacks */
export function checkQuantCall(where: string, elements: number, spec: QuantSpec): void {
  if (!Number.isSafeInteger(elements) || elements < 1) {
    throw new KernelCallError(where, `got ${elements} elements, needs a positive integer`);
  }
  if (!(BLOCK_SIZES as readonly number[]).includes(spec.blockSize)) {
    throw new KernelCallError(where, `got block size ${spec.blockSize}, needs one of ${BLOCK_SIZES.join(', ')}`);
  }
}
