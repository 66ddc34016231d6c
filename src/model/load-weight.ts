/** Loads one weight from a checkpoint into GPU memory, in slabs whose buffers all weights share. */
import { DataError, KernelCallError } from '../errors.ts';
import { readBnb4bit } from '../formats/bnb4bit.ts';
import { readFloats, type TensorSource } from '../formats/checkpoint.ts';
import { type FloatDtype, floatType, type GpuFloat, type TorchFloat, widenToF32 } from '../formats/dtype.ts';
import { nonFinite, nonFiniteAt, requireFinite } from '../formats/finite.ts';
import type { Residents } from '../gpu/residents.ts';
import type { Tensor } from '../gpu/tensor.ts';
import type { Uploads } from '../gpu/transfer.ts';
import type { Codec } from '../wasm/codec.ts';
import { decodedAbsmax } from '../wasm/nested.ts';
import { inLanes, Pool } from '../wasm/pipeline.ts';
import { type QuantError, QuantErrorSums } from '../wasm/quant-error.ts';
import type { Quantizer, QuantState, SourceDtype } from '../wasm/types.ts';
import { requireShape } from './check-weights.ts';
import { prequantizedState } from './prequantized.ts';
import { convert, slabReader } from './slabs.ts';
import type { DenseWeight, FourBitWeight, Weight } from './weight.ts';

/** Bytes read from the checkpoint at once; even, and a multiple of every dtype. */
const SLAB_BYTES = 4 * 2 ** 20;
/** Slabs of weights that are not quantized: while one is converted and uploaded, others are read. */
const SLABS_IN_FLIGHT = 3;

/** Measures the seconds during which at least one of several tasks was under way. */
export class Stopwatch {
  seconds = 0;
  #running = 0;
  #since = 0;

  async during(work: () => Promise<void>): Promise<void> {
    if (this.#running++ === 0) this.#since = performance.now();
    try {
      await work();
    } finally {
      if (--this.#running === 0) this.seconds += (performance.now() - this.#since) / 1000;
    }
  }
}

/** What the weights of one load share. */
export type WeightContext = {
  readonly source: TensorSource;
  readonly residents: Residents;
  readonly uploads: Uploads;
  readonly quantizer: Quantizer;
  readonly codec: Codec;
  /** The dtype that base weights are rounded to before they are quantized; null keeps the checkpoint's. */
  readonly sourceDtype: SourceDtype | null;
  readonly slabs: Pool<Uint8Array<ArrayBuffer>>;
  readonly quantizing: Stopwatch;
  /** Told of the error of each weight that is quantized; null where nobody asked. */
  readonly noteError: ((name: string, error: QuantError) => void) | null;
  /** Waits until uploads have room for another slab; called before each read. @throws what ends the load */
  readonly waitForRoom: () => Promise<void>;
};

/** Makes a buffer for each slab in flight: a fresh one for each slab would pile up until the next garbage collection. */
export function slabPool(): Pool<Uint8Array<ArrayBuffer>> {
  return new Pool(Array.from({ length: SLABS_IN_FLIGHT }, () => new Uint8Array(SLAB_BYTES)));
}

/** Loads a norm or a bias, whole. @throws DataError where it is not finite */
export async function loadVector(ctx: WeightContext, name: string, tensor: Tensor): Promise<void> {
  const stored = requireShape(ctx.source, name, tensor.shape);
  await ctx.waitForRoom();
  const values = (await readFloats(ctx.source, name)) as Float32Array<ArrayBuffer>;
  requireFinite(name, values, floatType(stored).torch);
  write(ctx, tensor, values);
}

/** Loads a matrix, and quantizes it where it is declared with 4 bits and stored without. */
export async function loadWeight(ctx: WeightContext, name: string, weight: Weight): Promise<void> {
  if (weight.kind === 'dense') return loadDense(ctx, name, weight);
  if (await loadPrequantized(ctx, name, weight)) return;
  await ctx.quantizing.during(() => loadFourBit(ctx, name, weight));
}

async function loadDense(ctx: WeightContext, name: string, weight: DenseWeight): Promise<void> {
  const stored = requireShape(ctx.source, name, [weight.out, weight.in]);
  const { torch, bytes } = floatType(weight.tensor.dtype as GpuFloat);
  const size = floatType(stored).bytes;
  const n = weight.out * weight.in;
  const slab = SLAB_BYTES / 4;
  await inLanes(ctx.slabs, Math.ceil(n / slab), {
    begin: async (buffer: Uint8Array<ArrayBuffer>, k) => {
      const raw = buffer.subarray(0, Math.min(slab, n - k * slab) * size);
      await ctx.waitForRoom();
      await ctx.source.read(name, k * slab * size, raw);
      return raw;
    },
    end: (raw, k) => {
      requireFiniteSlab(name, raw, stored, k * slab, n);
      const converted = convert(ctx.codec, raw, stored, torch);
      if (converted !== raw && torch !== 'float32') requireInRange(name, converted, torch, k * slab, n);
      writeBytes(ctx, weight.tensor, k * slab * bytes, converted);
    },
  });
}

/** @throws DataError naming the element that is NaN or infinite in the checkpoint */
function requireFiniteSlab(name: string, raw: Uint8Array, stored: FloatDtype, first: number, elements: number): void {
  const { torch, bytes } = floatType(stored);
  const at = nonFiniteAt(raw, torch);
  if (at < 0) return;
  const value = widenToF32(raw.subarray(at * bytes, (at + 1) * bytes), stored)[0] as number;
  throw nonFinite(name, { element: first + at, elements, stored: torch, value });
}

/** @throws DataError where rounding gave an infinity, which every product would spread */
function requireInRange(name: string, rounded: Uint8Array, to: TorchFloat, first: number, elements: number): void {
  const at = nonFiniteAt(rounded, to);
  if (at < 0) return;
  const range = to === 'float16' ? 'float16 (65504)' : to;
  const others = to === 'float16' ? "dtype: auto, which keeps the checkpoint's own type, or bfloat16" : 'dtype: auto';
  throw new DataError(name, `element ${first + at} of ${elements} is beyond the range of ${range}: set ${others}`);
}

async function loadFourBit(ctx: WeightContext, name: string, weight: FourBitWeight): Promise<void> {
  const stored = requireShape(ctx.source, name, [weight.out, weight.in]);
  const dtype = ctx.sourceDtype ?? floatType(stored).torch;
  const read = slabReader(ctx.codec, ctx.source, name, stored, dtype);
  const elements = weight.out * weight.in;
  const { quantType, blockSize, scales } = weight;
  const spec = { quantType, blockSize, doubleQuant: scales.kind === 'double' };
  const sums = ctx.noteError === null ? null : new QuantErrorSums(elements, spec);
  const state = await ctx.quantizer.quantize4bit({
    name,
    elements,
    dtype,
    spec,
    ...(sums && { onSlab: (first, raw, packed) => sums.add(first, raw, dtype, packed) }),
    read: async (byteOffset, into) => {
      await ctx.waitForRoom();
      await read(byteOffset, into);
    },
    onPacked: (byteOffset, packed) => writeBytes(ctx, weight.packed, byteOffset, packed),
  });
  writeScales(ctx, weight, state);
  if (sums !== null) ctx.noteError?.(name, sums.error(decodedAbsmax(ctx.codec, state)));
}

/** Takes over a weight that bitsandbytes quantized. @returns false when the checkpoint holds it unquantized */
async function loadPrequantized(ctx: WeightContext, name: string, weight: FourBitWeight): Promise<boolean> {
  const stored = await readBnb4bit(ctx.source, name);
  if (stored === null) return false;
  const state = await prequantizedState(ctx.source, name, stored);
  await inLanes(ctx.slabs, Math.ceil(state.packedBytes / SLAB_BYTES), {
    begin: async (buffer: Uint8Array<ArrayBuffer>, k) => {
      const slab = buffer.subarray(0, Math.min(SLAB_BYTES, state.packedBytes - k * SLAB_BYTES));
      await ctx.waitForRoom();
      await ctx.source.read(name, k * SLAB_BYTES, slab);
      return slab;
    },
    end: (slab, k) => writeBytes(ctx, weight.packed, k * SLAB_BYTES, slab),
  });
  writeScales(ctx, weight, state);
  return true;
}

function writeScales(ctx: WeightContext, { name, scales }: FourBitWeight, state: QuantState): void {
  if (scales.kind === 'plain' && !state.nested) write(ctx, scales.absmax, state.absmax);
  else if (scales.kind === 'double' && state.nested) {
    writeBytes(ctx, scales.codes, 0, state.codes);
    write(ctx, scales.nested, new Float32Array([...state.nestedAbsmax, state.offset]));
  } else
    throw new KernelCallError(
      name,
      `declared with ${scales.kind} scales, quantized with ${state.nested ? 'double' : 'plain'}`,
    );
}

/** Writes a whole f32 tensor. */
export function write(
  ctx: Pick<WeightContext, 'uploads' | 'residents'>,
  tensor: Tensor,
  data: Float32Array<ArrayBuffer>,
): void {
  if (data.byteLength !== tensor.bytes)
    throw new KernelCallError(tensor.label, `has ${tensor.bytes} bytes, got ${data.byteLength}`);
  ctx.uploads.write(ctx.residents.allocationOf(tensor.storage), tensor.byteOffset, data);
}

/** Writes bytes in whole words, as the GPU takes them: the tensor's buffer is padded for that. */
function writeBytes(ctx: WeightContext, tensor: Tensor, byteOffset: number, bytes: Uint8Array<ArrayBuffer>): void {
  const whole = bytes.byteLength % 4 === 0 ? bytes : new Uint8Array(Math.ceil(bytes.byteLength / 4) * 4);
  if (whole !== bytes) whole.set(bytes);
  ctx.uploads.write(ctx.residents.allocationOf(tensor.storage), tensor.byteOffset + byteOffset, whole);
}
