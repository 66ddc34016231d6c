/** f64 reference of AdamW on blockwise 8-bit moments, as bitsandbytes' functional code does it on a CPU. */
import { DYNAMIC_CODE, DYNAMIC_UNSIGNED_CODE } from '../../src/wasm/tables.ts';
import type { Vec } from './compare.ts';
import { type AdamwRef, adamwRef } from './optimizer.ts';

const BLOCK = 256;

export type Encoded = { codes: Uint8Array<ArrayBuffer>; absmax: Float32Array<ArrayBuffer> };
export type State8 = { m: Encoded; v: Encoded };

export function emptyState(n: number): State8 {
  const empty = (): Encoded => ({ codes: new Uint8Array(n), absmax: new Float32Array(Math.ceil(n / BLOCK)) });
  return { m: empty(), v: empty() };
}

export function decodeRef({ codes, absmax }: Encoded, map: Vec): Float64Array {
  return Float64Array.from(codes, (code, i) => map[code]! * absmax[Math.floor(i / BLOCK)]!);
}

/** The nearest value of the map, a tie to the lower one; blocks of zeros get the code of 0. */
export function encodeRef(values: Vec, map: Vec): Encoded {
  const n = values.length;
  const out: Encoded = { codes: new Uint8Array(n), absmax: new Float32Array(Math.ceil(n / BLOCK)) };
  for (let start = 0; start < n; start += BLOCK) {
    const end = Math.min(n, start + BLOCK);
    let most = 0;
    for (let i = start; i < end; i++) most = Math.max(most, Math.abs(values[i]!));
    out.absmax[start / BLOCK] = most;
    for (let i = start; i < end; i++) {
      const x = most === 0 ? 0 : values[i]! / most;
      let code = 0;
      while (code < 255 && x > (map[code]! + map[code + 1]!) / 2) code++;
      out.codes[i] = code;
    }
  }
  return out;
}

/** Step t = 1, 2, ... on p in place; returns the state after it, and the moments before they were encoded. */
export function adamw8bitRef(p: Float64Array, g: Vec, state: State8, t: number, o: AdamwRef) {
  const m = decodeRef(state.m, DYNAMIC_CODE);
  const v = decodeRef(state.v, DYNAMIC_UNSIGNED_CODE);
  adamwRef(p, g, m, v, t, o);
  return { m, v, next: { m: encodeRef(m, DYNAMIC_CODE), v: encodeRef(v, DYNAMIC_UNSIGNED_CODE) } };
}
