import { expect, test } from 'vitest';
import { type Codec, dtypeCode, REGION } from '../../src/wasm/codec.ts';
import { FP4_CODE } from '../../src/wasm/tables.ts';
import { bytesPerElement, type SourceDtype } from '../../src/wasm/types.ts';
import { codec, debugCodec, encode, expectSameBytes, weights } from './helpers.ts';

const CODES = { fp4: 1, cpu: 2 };
// argsort of the 16 values, as bitsandbytes has it: of the two zeros, 0 comes before 8
const ORDER = [11, 10, 13, 12, 15, 14, 9, 0, 8, 1, 6, 7, 4, 5, 2, 3];
const BOUNDS = ORDER.slice(1).map((code, i) => Math.fround(Math.fround(FP4_CODE[ORDER[i]!]! + FP4_CODE[code]!) / 2));

/** Counts the midpoints below s and looks the count up in the sorted codes. */
const cpuCode = (s: number): number => ORDER[BOUNDS.filter((bound) => bound < s).length]!;

function packedBy(wasm: Codec, code: number, raw: Uint8Array<ArrayBuffer>, dtype: SourceDtype): Uint8Array {
  const base = wasm.region(0);
  const elements = raw.byteLength / bytesPerElement(dtype);
  wasm.bytes(base, raw.byteLength).set(raw);
  const [packed, absmax] = [base + REGION.packed, base + REGION.absmax];
  expect(wasm.wasm.quantize4bit(code, dtypeCode(dtype), base, elements, 64, packed, absmax)).toBe(-1);
  return wasm.bytes(packed, elements / 2).slice();
}

/** Values that make 1 of the block's largest, so that they are their own scaled values. */
function block(values: readonly number[]): Float32Array<ArrayBuffer> {
  return Float32Array.from({ length: 64 }, (_, i) => (i === 63 ? 1 : (values[i] ?? 0)));
}

const codesOf = (packed: Uint8Array): number[] => [...packed].flatMap((byte) => [byte >> 4, byte & 15]);

test('at a midpoint, an ulp beside it and at both zeros the CPU code is bitsandbytes bucketize', () => {
  const near = Float32Array.from(BOUNDS.flatMap((bound) => [bound, bound, bound]));
  const bits = new Uint32Array(near.buffer);
  for (let i = 0; i < bits.length; i += 3) {
    if (near[i] === 0) [bits[i], bits[i + 2]] = [0x80000001, 1];
    else [bits[i], bits[i + 2]] = [bits[i]! - 1, bits[i + 2]! + 1];
  }
  const values = block([...near, -0, 0]);
  for (const wasm of [codec, debugCodec]) {
    const got = codesOf(packedBy(wasm, CODES.cpu, encode(values, 'float32'), 'float32'));
    expect(got).toEqual(Array.from(values, cpuCode));
  }
});

test.each(['float32', 'float16', 'bfloat16'] as const)(
  'it differs from CUDA’s only in zeros and near thresholds, %s',
  (dtype) => {
    const raw = encode(weights(64 * 500), dtype);
    const [cuda, cpu] = [CODES.fp4, CODES.cpu].map((code) => codesOf(packedBy(codec, code, raw, dtype)));
    const other = cuda!.flatMap((code, i) => (code === cpu![i] ? [] : [[code, cpu![i]!]]));
    expect(other.length).toBeGreaterThan(0);
    const zeros = other.filter(([a, b]) => (a! & 7) === 0 && (b! & 7) === 0);
    // 0.06 % of normal bf16 weights lie within the 14 ulp between the two tables, fewer of the others
    expect(other.length - zeros.length).toBeLessThan(64 * 500 * 2e-3);
    expectSameBytes(packedBy(codec, CODES.cpu, raw, dtype), packedBy(debugCodec, CODES.cpu, raw, dtype));
  },
);
