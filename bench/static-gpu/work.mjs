/** What a dispatch has to do, and what a round of its kernel's main loop does of it: operations and bytes, from plan and tile. */
import { DataError } from './from-nibble.mjs';

/** @import { Bound, Dispatches, Output, PipelineSpec, Round } from './types.d.ts' */

/** Products of an attention kernel for every pair of a query and a key, each of head dim multiplications and additions. */
const ATTENTION_PRODUCTS = { fwd: 2, dq: 3, dkv: 4 };
/** LoRA's own products are as thin as its rank, or as a few ranks side by side. */
const THIN = 64;
const BYTES = /** @type {Readonly<Record<string, number>>} */ ({ f32: 4, u32: 4, i32: 4, f16: 2, bf16: 2 });

/** @param {Pick<PipelineSpec, 'kernel' | 'when'>} spec */
const attentionPart = ({ kernel, when }) =>
  !/^attention_(fwd|bwd)/.test(kernel)
    ? null
    : kernel.startsWith('attention_fwd')
      ? 'fwd'
      : when.includes('BY_KEY') || kernel.includes('dkv')
        ? 'dkv'
        : 'dq';

/** Kernels of decoding whose time is that of the weights or the cache that they stream. @param {Pick<PipelineSpec, 'kernel'>} spec */
export const streams = ({ kernel }) => /^(matvec_(4bit_rows|16bit)|attention_decode)$/.test(kernel);

/** Weights, keys and values that a dispatch streams, in bytes. @param {Dispatches} dispatch */
export const streamedBytes = ({ bindings }) =>
  bindings.reduce((sum, { name, bytes }) => sum + (['packed', 'w', 'k', 'v'].includes(name) ? bytes : 0), 0);

/** @param {string} kernel */
const isProduct = (kernel) => /^matmul_(simt|subgroup_matrix)/.test(kernel);

/**
 * @param {PipelineSpec} spec
 * @param {Dispatches} dispatch
 * @returns {'gemm' | 'attention' | 'lora' | 'lora_reduce' | 'dequant' | 'elementwise'}
 */
export function partOf(spec, { params }) {
  if (spec.kernel === 'matmul_reduce') return 'lora_reduce';
  if (spec.kernel.startsWith('dequant_4bit')) return 'dequant';
  if (spec.kernel.startsWith('attention_decode') || spec.kernel.startsWith('attention_combine')) return 'attention';
  if (spec.kernel.startsWith('matvec_')) return 'gemm';
  if (attentionPart(spec) !== null) return 'attention';
  if (!spec.kernel.startsWith('matmul_')) return 'elementwise';
  const { M = 0, N = 0 } = params;
  return Math.min(M, N) <= THIN ? 'lora' : 'gemm';
}

/** Whether a kernel's time is that of its products, not of the memory that it touches. @param {PipelineSpec} spec */
export const multiplies = (spec) =>
  attentionPart(spec) !== null || (spec.kernel.startsWith('matmul_') && spec.kernel !== 'matmul_reduce');

/** Useful operations of a dispatch; half of all pairs of attention are masked. @param {PipelineSpec} spec @param {Dispatches} dispatch */
export function flopsOf(spec, { params, bindings }) {
  const part = attentionPart(spec);
  if (part !== null) {
    const { B = 0, S = 0, H = 0 } = params;
    const q = bindings.find(({ name }) => name === 'q');
    if (q === undefined) throw unknown(spec, 'no binding q');
    const headDim = q.shape.reduce((a, b) => a * b, 1) / (B * S * H);
    return ATTENTION_PRODUCTS[part] * B * H * S * S * headDim;
  }
  const { M = 0, N = 0, K = 0, K2 = 0 } = params;
  if (!spec.kernel.startsWith('matmul_') || spec.kernel === 'matmul_reduce') return 0;
  return 2 * M * N * (K + K2);
}

/** Bytes that a dispatch touches: every binding once, and a sum's target twice. @param {Dispatches} dispatch */
export const bytesOf = ({ bindings, params }) =>
  bindings.reduce((sum, { bytes, writable }) => sum + bytes * (writable && params.accumulate === 1 ? 2 : 1), 0);

/**
 * A round of the main loop; null for kernels that have none of products.
 * @param {PipelineSpec} spec
 * @param {Dispatches} dispatch any of the pipeline's
 * @param {Output} output
 * @returns {Round | null}
 * @throws DataError for a kernel whose tile does not go by the known names
 */
export function roundOf(spec, { bindings }, { numbers }) {
  const part = attentionPart(spec);
  if (streams(spec)) return streamRound(spec, numbers);
  const number = (/** @type {string} */ name) => {
    const value = numbers[name];
    if (value === undefined) throw unknown(spec, `no number ${name} among ${Object.keys(numbers).join(', ')}`);
    return value;
  };
  const size = (/** @type {readonly string[]} */ ...names) => {
    const bound = bindings.find(({ name }) => names.includes(name));
    if (bound === undefined) throw unknown(spec, `no binding ${names.join(' or ')}`);
    return sizeOf(bound);
  };
  if (isProduct(spec.kernel)) {
    const [BM, BN, BK] = [number('BM'), number('BN'), number('BK')];
    return { flops: 2 * BM * BN * BK, bytes: BK * (BM * size('a') + BN * size('w', 'b')) };
  }
  if (part === null || !/_(simt|subgroup_matrix)$/.test(spec.kernel)) return null;
  const [BR, BC] = [number('BR'), number('BC')];
  const headDim = numbers.D ?? 4 * number('D4');
  return {
    flops: 2 * ATTENTION_PRODUCTS[part] * BR * BC * headDim,
    bytes: 2 * BC * headDim * size(part === 'dkv' ? 'q' : 'k'),
  };
}

/** Lanes of a matvec's workgroup, and bytes of a load. */
const MATVEC = { lanes: 64, bytes: 16 };

/**
 * A round of a kernel that streams: the keys and values of a chunk, or a load of each row by each lane. The x that the rows share is read
 * from the cache of the unit itself and not counted.
 * @param {PipelineSpec} spec
 * @param {Readonly<Record<string, number>>} numbers
 * @returns {Round}
 */
function streamRound(spec, { CHUNK = 0, HEADS = 0, D4 = 0, T = 0, ROWS = 0 }) {
  const isStream = /** @type {const} */ (true);
  if (spec.kernel === 'attention_decode')
    return { flops: 16 * CHUNK * HEADS * D4, bytes: 2 * CHUNK * D4 * 16, isStream };
  const elements = spec.kernel === 'matvec_16bit' ? 8 : 32;
  const flops = 2 * T * ROWS * MATVEC.lanes * elements;
  return { flops, bytes: ROWS * MATVEC.lanes * MATVEC.bytes, isStream, isAround: true };
}

/** @param {Bound} bound */
function sizeOf({ dtype, name }) {
  const size = BYTES[dtype];
  if (size === undefined) throw new DataError(name, `is ${dtype}, of which bench/static-gpu/work.mjs knows no size`);
  return size;
}

/** @param {Pick<PipelineSpec, 'kernel'>} spec @param {string} detail */
const unknown = ({ kernel }, detail) =>
  new DataError(`shaders/${kernel}.wgsl`, `${detail}: bench/static-gpu/work.mjs has to learn its tile`);
