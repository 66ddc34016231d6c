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

/** @param {Bound} bound */
function sizeOf({ dtype, name }) {
  const size = BYTES[dtype];
  if (size === undefined) throw new DataError(name, `is ${dtype}, of which bench/static-gpu/work.mjs knows no size`);
  return size;
}

/** @param {Pick<PipelineSpec, 'kernel'>} spec @param {string} detail */
const unknown = ({ kernel }, detail) =>
  new DataError(`shaders/${kernel}.wgsl`, `${detail}: bench/static-gpu/work.mjs has to learn its tile`);
