/** Host side of shaders/matmul_{nt,nn,tn}.wgsl: products by register tiles alone, without workgroup memory. */
import type { Recorder } from '../gpu/recorder.ts';
import { type Gemm, readsVectors, spanOf } from './gemm.ts';
import { flag } from './vec4.ts';

/** Threads a product needs: one per 4 x 4 tile. */
const threads = ({ M, N }: Gemm): number => Math.ceil(M / 4) * Math.ceil(N / 4);

const vec4 = (on: boolean): string[] => (on ? ['VEC4'] : []);
const f16 = ({ b }: Gemm): string[] => (b.tensor.dtype === 'f16' ? ['F16'] : []);

/** x (M, K) . w (N, K)^T */
export function directNt(rec: Recorder, gemm: Gemm): void {
  const { M, N, K, a, b, y, scale, accumulate, bias } = gemm;
  rec.dispatch({
    name: 'matmul_nt',
    when: [...vec4(K % 4 === 0 && b.col0 % 4 === 0), ...f16(gemm), ...(bias ? ['BIAS'] : [])],
    params: {
      M,
      N,
      K,
      w0: b.col0,
      ldy: y.ld,
      col0: y.col0,
      scale,
      accumulate: flag(accumulate),
      bias0: bias?.col0 ?? 0,
    },
    buffers: {
      x: [a.tensor, spanOf(a)],
      w: [b.tensor, b.col0 + spanOf(b)],
      y: [y.tensor, M * y.ld],
      ...(bias && { bias: [bias.tensor, bias.tensor.elements] }),
    },
    threads: threads(gemm),
  });
}

/** x (M, N) . w (N, K) */
export function directNn(rec: Recorder, gemm: Gemm): void {
  const { M, N: K, K: N, a, b, y, scale, accumulate } = gemm; // from here on the layer's letters, as in the shader
  rec.dispatch({
    name: 'matmul_nn',
    when: [...vec4(K % 4 === 0), ...f16(gemm), ...(readsVectors(a) ? ['DEPTH4'] : [])],
    params: { M, N, K, ldx: a.ld, col0: a.col0, scale, accumulate: flag(accumulate) },
    buffers: { x: [a.tensor, spanOf(a)], w: [b.tensor, spanOf(b)], y: [y.tensor, M * K] },
    threads: threads(gemm),
  });
}

/** d (M, N)^T . x (M, K) */
export function directTn(rec: Recorder, gemm: Gemm): void {
  const { M: N, N: K, K: M, a, b, y, scale, accumulate } = gemm; // from here on the layer's letters, as in the shader
  rec.dispatch({
    name: 'matmul_tn',
    when: [...vec4(K % 4 === 0), ...(readsVectors(a) ? ['ROWS4'] : [])],
    params: { M, N, K, ldd: a.ld, col0: a.col0, scale, accumulate: flag(accumulate) },
    buffers: { d: [a.tensor, spanOf(a)], x: [b.tensor, spanOf(b)], y: [y.tensor, N * K] },
    threads: threads(gemm),
  });
}
