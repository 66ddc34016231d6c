/** How a weight is stored in GPU memory, and how an op reads it in the compute dtype, a shard of rows at a time. */
import { max as largest } from 'simple-statistics';
import { KernelCallError } from '../errors.ts';
import { BINDING_ALIGNMENT, type DeviceProfile } from '../gpu/device-profile.ts';
import type { Recorder } from '../gpu/recorder.ts';
import { bytesOf, type Tensor } from '../gpu/tensor.ts';
import { dequant4bit, type Scales, widen } from '../kernels/dequant.ts';
import type { Band } from '../kernels/matmul.ts';
import { isMatvec, MATVEC_ROWS, type Matvec4bit, matvec4bit } from '../kernels/matvec-4bit.ts';
import { isMatvec16bit, matvec16bit } from '../kernels/matvec-16bit.ts';
import type { QuantType } from '../wasm/types.ts';

/** A matrix (out, in) stored as f32, f16 or bf16; trainable when its tensor requires a gradient. */
export type DenseWeight = {
  readonly kind: 'dense';
  readonly name: string;
  readonly out: number;
  readonly in: number;
  readonly tensor: Tensor;
};

/** A matrix (out, in) in bitsandbytes' 4-bit format: blocks run over the flat index. */
export type FourBitWeight = {
  readonly kind: '4bit';
  readonly name: string;
  readonly out: number;
  readonly in: number;
  readonly quantType: QuantType;
  readonly blockSize: number;
  readonly packed: Tensor;
  readonly scales: Scales;
  readonly tables: Tensor;
};

/** Rows of an embedding, or of the head, that are trained in place of the table's. */
export type TokenRows = {
  /** (n) u32: token ids, no two equal. */
  readonly indices: Tensor;
  /** (n, C) f32: their rows. */
  readonly rows: Tensor;
};

export type Weight = DenseWeight | FourBitWeight;
export type ComputeDtype = 'f32' | 'f16';
export type Shard = { readonly row0: number; readonly rows: number };

export function isTrainable(weight: Weight): boolean {
  return weight.kind === 'dense' && weight.tensor.requiresGrad;
}

/** Tells whether a matmul can read the weight as it is stored. */
function isDirect(weight: Weight, computeDtype: ComputeDtype): boolean {
  return weight.kind === 'dense' && weight.tensor.dtype === computeDtype;
}

/**
 * Splits a weight into row ranges that are small enough to bind and start aligned in every form the weight takes.
 * @param scratchBudget most bytes of scratch a shard may need, where it needs one
 */
export function shardsOf(
  rec: Recorder,
  weight: Weight,
  computeDtype: ComputeDtype,
  scratchBudget = Number.POSITIVE_INFINITY,
): Shard[] {
  const forms = weight.kind === 'dense' ? [computeDtype, weight.tensor.dtype] : [computeDtype];
  const rowBytes = largest(forms.map((dtype) => bytesOf(dtype, weight.in)));
  const binding = rec.profile.limits.maxStorageBufferBindingSize;
  const limit = isDirect(weight, computeDtype) ? binding : Math.min(binding, scratchBudget);
  if (weight.out * rowBytes <= limit) return [{ row0: 0, rows: weight.out }];
  // The smallest unit of storage is half a byte, and a 4-bit shard has to start at a block.
  const unit = lcm(2 * BINDING_ALIGNMENT, weight.kind === '4bit' ? weight.blockSize : 1);
  const granule = unit / gcd(unit, weight.in);
  const rows = Math.max(1, Math.floor(limit / rowBytes / granule)) * granule;
  if (rows * rowBytes > binding)
    throw new KernelCallError(weight.name, `${granule} rows of ${rowBytes} bytes exceed a binding of ${binding}`);
  const count = Math.ceil(weight.out / rows);
  return Array.from({ length: count }, (_, i) => ({ row0: i * rows, rows: Math.min(rows, weight.out - i * rows) }));
}

/** Gives the rows of a shard as a matmul reads them: the stored tensor itself, or a scratch of the compute dtype. */
export function materialize(rec: Recorder, weight: Weight, { row0, rows }: Shard, computeDtype: ComputeDtype): Tensor {
  if (weight.kind === 'dense' && isDirect(weight, computeDtype)) return weight.tensor.rows(row0, rows);
  const n = rows * weight.in;
  const w = rec.tensor(`${weight.name}.scratch`, [rows, weight.in], { dtype: computeDtype, category: 'workspace' });
  if (weight.kind === 'dense') {
    widen(rec, { n, source: weight.tensor.rows(row0, rows), w });
    return w;
  }
  const { blockSize, scales, tables } = weight;
  const firstBlock = (row0 * weight.in) / blockSize;
  dequant4bit(rec, { n, blockSize, firstBlock, packed: packedRows(weight, row0, rows), scales, tables, w });
  return w;
}

/**
 * Rows for which a product straight from packed codes pays on a software driver, against decoding them into a scratch first: 0.50 to
 * 0.55 of its time at 1 row, 0.63 to 0.68 at 2, 0.84 to 1.85 at 4 (lavapipe and SwiftShader, bench/performance/dequant.mjs).
 */
const SOFTWARE_ROWS = 2;

/**
 * Rows of a product that read a weight as it is stored. On a GPU a scratch costs more bytes than the weight itself, and all rows that the
 * kernels take are taken; which is modelled (docs/static-gpu.md), not measured.
 */
export function fewRows({ tier }: Pick<DeviceProfile, 'tier'>): number {
  return tier === 'direct' ? SOFTWARE_ROWS : MATVEC_ROWS;
}

/** Tells whether `projectStored` can take `T` rows through a weight, and is faster. */
export function projectsStored({ profile }: Recorder, weight: Weight, T: number): boolean {
  if (T > fewRows(profile)) return false;
  return weight.kind === '4bit' ? isMatvec(T, weight.in) : isMatvec16bit(profile, weight.tensor.dtype, T, weight.in);
}

/** Computes y (T, rows of the shard) = x (T, in) W^T without a scratch; `yBand` places its columns. */
export function projectStored(
  rec: Recorder,
  weight: Weight,
  { row0, rows }: Shard,
  computeDtype: ComputeDtype,
  product: Pick<Matvec4bit, 'T' | 'x' | 'y'> & { readonly yBand: Band },
): void {
  const call = { ...product, N: rows, K: weight.in, operands: computeDtype };
  if (weight.kind === 'dense') {
    matvec16bit(rec, { ...call, w: weight.tensor.rows(row0, rows) });
    return;
  }
  const { blockSize, scales, tables } = weight;
  const firstBlock = (row0 * weight.in) / blockSize;
  matvec4bit(rec, { ...call, blockSize, firstBlock, packed: packedRows(weight, row0, rows), scales, tables });
}

/** Slices the packed nibbles of whole rows. A single shard takes all: an odd count has half a byte more than its rows. */
function packedRows(weight: FourBitWeight, row0: number, rows: number): Tensor {
  if (row0 === 0 && rows === weight.out) return weight.packed;
  return weight.packed.slice((row0 * weight.in) / 2, Math.ceil((rows * weight.in) / 2));
}

function gcd(a: number, b: number): number {
  return b === 0 ? a : gcd(b, a % b);
}

function lcm(a: number, b: number): number {
  return (a / gcd(a, b)) * b;
}
