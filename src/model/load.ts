/** Fills a declared model from a checkpoint, tensor by tensor in slabs: neither the file nor a weight is ever held whole. */
import { DataError, KernelCallError } from '../errors.ts';
import { readBnb4bit } from '../formats/bnb4bit.ts';
import { readFloats, type TensorSource } from '../formats/checkpoint.ts';
import { ropeTables } from '../formats/rope.ts';
import type { Device } from '../gpu/device.ts';
import type { Residents } from '../gpu/residents.ts';
import type { Dtype, Tensor } from '../gpu/tensor.ts';
import { upload } from '../gpu/transfer.ts';
import type { QuantKernels } from '../wasm/kernels.ts';
import { DYNAMIC_CODE, FP4_CODE, NF4_CODE } from '../wasm/tables.ts';
import type { Quantizer, QuantState, QuantType, SourceDtype } from '../wasm/types.ts';
import { requireShape } from './check-weights.ts';
import type { DeclaredModel } from './declare.ts';
import { prequantizedState } from './prequantized.ts';
import { nonFiniteAt } from './quantize/finite.ts';
import { convert, STORED, slabReader } from './slabs.ts';
import type { DenseWeight, FourBitWeight, Weight } from './weight.ts';

export type LoadContext = {
  readonly device: Device;
  readonly residents: Residents;
  readonly quantizer: Quantizer;
  readonly kernels: QuantKernels;
  /** The dtype that base weights have before they are quantized; null keeps the checkpoint's. */
  readonly sourceDtype: SourceDtype | null;
};

export type LoadTimes = { quantizeSeconds: number };

/** Bytes read from the checkpoint at once; even, and a multiple of every dtype. */
const SLAB_BYTES = 4 * 2 ** 20;

/** Yields the name of each tensor once it is loaded. @throws DataError naming the tensor: missing, of another shape, of a type that is no float, or not finite */
export async function* loadModel(
  ctx: LoadContext,
  declared: DeclaredModel,
  source: TensorSource,
): AsyncGenerator<string, LoadTimes> {
  const times = { quantizeSeconds: 0 };
  for (const [type, tensor] of declared.tables) write(ctx, tensor, codeTables(type));
  const { cos, sin } = ropeTables(declared.model.config, declared.model.rope.cos.shape[0] ?? 0);
  write(ctx, declared.model.rope.cos, cos as Float32Array<ArrayBuffer>);
  write(ctx, declared.model.rope.sin, sin as Float32Array<ArrayBuffer>);
  for (const [name, tensor] of declared.vectors) {
    requireShape(source, name, tensor.shape);
    write(ctx, tensor, (await readFloats(source, name)) as Float32Array<ArrayBuffer>);
    yield name;
  }
  for (const [name, weight] of declared.weights) {
    times.quantizeSeconds += await loadWeight(ctx, source, name, weight);
    yield name;
  }
  return times;
}

/** 4-bit code, then the dynamic map. */
function codeTables(type: QuantType): Float32Array<ArrayBuffer> {
  return new Float32Array([...(type === 'nf4' ? NF4_CODE : FP4_CODE), ...DYNAMIC_CODE]);
}

async function loadWeight(ctx: LoadContext, source: TensorSource, name: string, weight: Weight): Promise<number> {
  if (weight.kind === '4bit') return loadFourBit(ctx, source, name, weight);
  await loadDense(ctx, source, name, weight);
  return 0;
}

async function loadDense(ctx: LoadContext, source: TensorSource, name: string, weight: DenseWeight): Promise<void> {
  const stored = requireShape(source, name, [weight.out, weight.in]);
  const { dtype } = weight.tensor;
  const size = stored === 'F32' ? 4 : 2;
  const n = weight.out * weight.in;
  const slab = Math.min(n, SLAB_BYTES / 4);
  // One buffer for all slabs: a fresh one each would pile up until the next garbage collection.
  const buffer = new Uint8Array(slab * size);
  for (let first = 0; first < n; first += slab) {
    const count = Math.min(slab, n - first);
    const raw = buffer.subarray(0, count * size);
    await source.read(name, first * size, raw);
    const converted = convert(ctx.kernels, raw, stored, torchOf(dtype));
    if (dtype === 'f16' && stored !== 'F16') requireHalves(name, converted, first, n);
    writeBytes(ctx, weight.tensor, first * (dtype === 'f32' ? 4 : 2), converted);
  }
}

/** @throws DataError where rounding to float16 gave an infinity, which every product would spread */
function requireHalves(name: string, halves: Uint8Array, first: number, elements: number): void {
  const at = nonFiniteAt(halves, 'float16');
  if (at < 0) return;
  throw new DataError(
    name,
    `element ${first + at} of ${elements} is beyond the range of float16 (65504), or not finite: set dtype: auto, which keeps the checkpoint's own type, or bfloat16`,
  );
}

function torchOf(dtype: Dtype): SourceDtype {
  const found = Object.values(STORED).find(({ gpu }) => gpu === dtype);
  if (found === undefined) throw new KernelCallError('load', `a weight cannot be ${dtype}`);
  return found.torch;
}

/** @returns seconds spent quantizing, reading included */
async function loadFourBit(
  ctx: LoadContext,
  source: TensorSource,
  name: string,
  weight: FourBitWeight,
): Promise<number> {
  if (await loadPrequantized(ctx, source, name, weight)) return 0;
  const started = performance.now();
  const stored = requireShape(source, name, [weight.out, weight.in]);
  const dtype = ctx.sourceDtype ?? STORED[stored].torch;
  const state = await ctx.quantizer.quantize4bit({
    name,
    elements: weight.out * weight.in,
    dtype,
    spec: { quantType: weight.quantType, blockSize: weight.blockSize, doubleQuant: weight.scales.kind === 'double' },
    read: slabReader(ctx.kernels, source, name, stored, dtype),
    onPacked: (byteOffset, packed) => writeBytes(ctx, weight.packed, byteOffset, packed),
  });
  writeScales(ctx, weight, state);
  return (performance.now() - started) / 1000;
}

/** Takes over a weight that bitsandbytes quantized. @returns false when the checkpoint holds it unquantized */
async function loadPrequantized(
  ctx: LoadContext,
  source: TensorSource,
  name: string,
  weight: FourBitWeight,
): Promise<boolean> {
  const stored = await readBnb4bit(source, name);
  if (stored === null) return false;
  const state = await prequantizedState(source, name, stored);
  const buffer = new Uint8Array(Math.min(state.packedBytes, SLAB_BYTES));
  for (let first = 0; first < state.packedBytes; first += SLAB_BYTES) {
    const slab = buffer.subarray(0, Math.min(SLAB_BYTES, state.packedBytes - first));
    await source.read(name, first, slab);
    writeBytes(ctx, weight.packed, first, slab);
  }
  writeScales(ctx, weight, state);
  return true;
}

function writeScales(ctx: LoadContext, { name, scales }: FourBitWeight, state: QuantState): void {
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

function write(ctx: LoadContext, tensor: Tensor, data: Float32Array<ArrayBuffer>): void {
  if (data.byteLength !== tensor.bytes)
    throw new KernelCallError(tensor.label, `has ${tensor.bytes} bytes, got ${data.byteLength}`);
  upload(ctx.device, ctx.residents.allocationOf(tensor.storage), tensor.byteOffset, data);
}

/** The GPU takes whole words; the buffer is padded for that. */
function writeBytes(ctx: LoadContext, tensor: Tensor, byteOffset: number, bytes: Uint8Array<ArrayBuffer>): void {
  const whole = bytes.byteLength % 4 === 0 ? bytes : new Uint8Array(Math.ceil(bytes.byteLength / 4) * 4);
  if (whole !== bytes) whole.set(bytes);
  upload(ctx.device, ctx.residents.allocationOf(tensor.storage), tensor.byteOffset + byteOffset, whole);
}
