/** Fills a declared model from a checkpoint, tensor by tensor in slabs: neither the file nor a weight is ever held whole. */
import { DataError, KernelCallError } from '../errors.ts';
import { readBnb4bit } from '../formats/bnb4bit.ts';
import { readFloats, type TensorSource } from '../formats/checkpoint.ts';
import { type FloatDtype, widenToF32 } from '../formats/dtype.ts';
import { ropeTables } from '../formats/rope.ts';
import type { Device } from '../gpu/device.ts';
import type { Residents } from '../gpu/residents.ts';
import type { Dtype, Tensor } from '../gpu/tensor.ts';
import { upload } from '../gpu/transfer.ts';
import { narrow } from '../wasm/buffers.ts';
import type { QuantKernels } from '../wasm/kernels.ts';
import { DYNAMIC_CODE, FP4_CODE, NF4_CODE } from '../wasm/tables.ts';
import {
  NESTED_BLOCK_SIZE,
  type Quantizer,
  type QuantState,
  type QuantType,
  type SlabReader,
  type SourceDtype,
} from '../wasm/types.ts';
import { requireShape } from './check-weights.ts';
import type { DeclaredModel } from './declare.ts';
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

const STORED: Record<FloatDtype, { readonly gpu: Dtype; readonly torch: SourceDtype }> = {
  F32: { gpu: 'f32', torch: 'float32' },
  F16: { gpu: 'f16', torch: 'float16' },
  BF16: { gpu: 'bf16', torch: 'bfloat16' },
};

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
    writeBytes(ctx, weight.tensor, first * (dtype === 'f32' ? 4 : 2), convert(ctx, raw, stored, dtype));
  }
}

/** Raw elements of one float type as another: exact where it widens, one rounding where it narrows. */
function convert(ctx: LoadContext, raw: Uint8Array<ArrayBuffer>, from: FloatDtype, to: Dtype): Uint8Array<ArrayBuffer> {
  if (STORED[from].gpu === to) return raw;
  const values = widenToF32(raw, from);
  if (to === 'f32') return new Uint8Array(values.buffer as ArrayBuffer, values.byteOffset, values.byteLength);
  if (to !== 'f16' && to !== 'bf16') throw new KernelCallError('load', `a weight cannot be ${to}`);
  return narrow(ctx.kernels, values, to === 'f16' ? 'float16' : 'bfloat16');
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
    read: slabReader(ctx, source, name, stored, dtype),
    onPacked: (byteOffset, packed) => writeBytes(ctx, weight.packed, byteOffset, packed),
  });
  writeScales(ctx, weight, state);
  return (performance.now() - started) / 1000;
}

/** Reads slabs of `name` as `dtype`, whatever they are stored as. */
function slabReader(
  ctx: LoadContext,
  source: TensorSource,
  name: string,
  stored: FloatDtype,
  dtype: SourceDtype,
): SlabReader {
  if (STORED[stored].torch === dtype) return (byteOffset, into) => source.read(name, byteOffset, into);
  const [fromSize, toSize] = [stored === 'F32' ? 4 : 2, dtype === 'float32' ? 4 : 2];
  const to = { float32: 'f32', float16: 'f16', bfloat16: 'bf16' }[dtype] as Dtype;
  return async (byteOffset, into) => {
    const raw = new Uint8Array((into.byteLength / toSize) * fromSize);
    await source.read(name, (byteOffset / toSize) * fromSize, raw);
    into.set(convert(ctx, raw, stored, to));
  };
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
  const fail = (detail: string): never => {
    throw new DataError(`${source.root}/${stored.packed.file}`, `${name}: ${detail}`);
  };
  const packed = new Uint8Array(weight.packed.bytes);
  await source.read(name, 0, packed);
  writeBytes(ctx, weight.packed, 0, packed);
  const code = stored.quantType === 'nf4' ? NF4_CODE : FP4_CODE;
  if (stored.quantMap.some((v, i) => v !== code[i]))
    fail(`its quant_map is not the ${stored.quantType} code of bitsandbytes: quantize the 16-bit model again`);
  if (stored.nested === undefined) {
    writeScales(ctx, weight, {
      nested: false,
      packedBytes: packed.length,
      absmax: (await readFloats(source, `${name}.absmax`)) as Float32Array<ArrayBuffer>,
    });
    return true;
  }
  if (stored.nested.blockSize !== NESTED_BLOCK_SIZE)
    fail(
      `nested_blocksize is ${stored.nested.blockSize}, only ${NESTED_BLOCK_SIZE} is supported: quantize the 16-bit model again`,
    );
  if (stored.nestedQuantMap?.some((v, i) => v !== DYNAMIC_CODE[i]))
    fail('its nested_quant_map is not the dynamic map of bitsandbytes: quantize the 16-bit model again');
  const codes = new Uint8Array(Math.ceil((weight.out * weight.in) / weight.blockSize));
  await source.read(`${name}.absmax`, 0, codes);
  const nestedAbsmax = (await readFloats(source, `${name}.nested_absmax`)) as Float32Array<ArrayBuffer>;
  writeScales(ctx, weight, {
    nested: true,
    packedBytes: packed.length,
    codes,
    nestedAbsmax,
    offset: stored.nested.offset,
  });
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
