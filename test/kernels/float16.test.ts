import { describe, expect } from 'vitest';
import { type Dequant4bit, dequant4bit, widen } from '../../src/kernels/dequant.ts';
import { FLAG } from '../../src/kernels/flags.ts';
import { matmulNn, matmulNt } from '../../src/kernels/matmul.ts';
import { CODE_BOOKS, DYNAMIC_CODE, NF4_CODE } from '../../src/wasm/tables.ts';
import { expectRoundedToHalf, itFloat16, packHalves, toHalves, ulpOfHalf, unpackHalves } from '../gpu/float16.ts';
import { Bench } from '../gpu/harness.ts';
import { random } from '../ref/compare.ts';
import { bf16Bits, bf16Value, dequantize4, dequantizeDynamic, f16Bits, f16Value, quantize4 } from '../ref/nf4.ts';

const { fround } = Math;
const NAN_HALVES = 0x7e007e00;

/** Multiples of 1/64 below 4: exact in f16, so that no rounding of an input hides in the tolerance. */
const exactHalves = (seed: number, n: number) =>
  Float32Array.from(random(seed).integers(n, 512), (v) => (v - 256) / 64);

const SIZES = [
  [1, 1, 1],
  [3, 5, 7],
  [4, 4, 4],
  [5, 9, 12],
  [33, 31, 20],
  [66, 37, 130],
] as const;

/** f32 sums of `depth` products below 16: error below depth * eps * 16. */
function expectSums(got: Float32Array, want: Float64Array, depth: number): void {
  expect(got.length).toBe(want.length);
  want.forEach((value, i) => {
    if (!(Math.abs((got[i] as number) - value) <= 16 * depth * 2 ** -23))
      throw new Error(`[${i}]: got ${got[i]}, want ${value}`);
  });
}

describe('matmul with f16 weights', () => {
  for (const [M, N, K] of SIZES) {
    for (const accumulate of [false, true]) {
      const initial = (n: number) => (accumulate ? exactHalves(9, n) : new Float32Array(n).fill(Number.NaN));

      itFloat16(`nt ${M}x${N}x${K} accumulate=${accumulate}`, async () => {
        const bench = new Bench({ maxWorkgroups: 7 });
        const [x, w] = [exactHalves(1, M * K), exactHalves(2, N * K)];
        const before = initial(M * N);
        const y = bench.input('y', before);
        const weight = bench.input('w', toHalves(w), [N, K], { dtype: 'f16' });
        matmulNt(bench.tape, { M, N, K, x: bench.input('x', x), w: weight, y, scale: 0.5, accumulate });
        await bench.run();
        const want = new Float64Array(M * N).map((_, i) => {
          const [m, n] = [Math.floor(i / N), i % N];
          let sum = 0;
          for (let k = 0; k < K; k++) sum += (x[m * K + k] as number) * (w[n * K + k] as number);
          return 0.5 * sum + (accumulate ? before[i]! : 0);
        });
        expectSums(await bench.read(y), want, K + 1);
      });

      itFloat16(`nn ${M}x${N}x${K} accumulate=${accumulate}`, async () => {
        const bench = new Bench({ maxWorkgroups: 7 });
        const [x, w] = [exactHalves(3, M * N), exactHalves(4, N * K)];
        const before = initial(M * K);
        const y = bench.input('y', before);
        const weight = bench.input('w', toHalves(w), [N, K], { dtype: 'f16' });
        matmulNn(bench.tape, { M, N, K, x: bench.input('x', x), w: weight, y, scale: 0.5, accumulate });
        await bench.run();
        const want = new Float64Array(M * K).map((_, i) => {
          const [m, k] = [Math.floor(i / K), i % K];
          let sum = 0;
          for (let n = 0; n < N; n++) sum += (x[m * N + n] as number) * (w[n * K + k] as number);
          return 0.5 * sum + (accumulate ? before[i]! : 0);
        });
        expectSums(await bench.read(y), want, N + 1);
      });
    }
  }

  // Mesa's compiler drops a rounding to f16 and back (seen with 25.0.7), others keep it: either is within one f16 ulp.
  for (const width of [1, 4]) {
    itFloat16(`loads x within one f16 ulp, ${width === 4 ? 'by vectors' : 'one by one'}`, async () => {
      const bench = new Bench();
      const rows = 64;
      const x = random(5).normal32(rows);
      // one 1 in each row of w: y is what was loaded
      const padded = Float32Array.from({ length: rows * width }, (_, i) => (i % width === 0 ? x[i / width]! : 0));
      const one = Float32Array.from({ length: width }, (_, i) => (i === 0 ? 1 : 0));
      const [nt, nn] = [bench.output('nt', [rows]), bench.output('nn', [rows, width])];
      const w = bench.input('w', toHalves(one), [width], { dtype: 'f16' });
      matmulNt(bench.tape, { M: rows, N: 1, K: width, x: bench.input('padded', padded), w, y: nt });
      matmulNn(bench.tape, { M: rows, N: 1, K: width, x: bench.input('x', x), w, y: nn });
      await bench.run();
      const [gotNt, gotNn] = [await bench.read(nt), await bench.read(nn)];
      for (const [i, value] of x.entries()) {
        expect(Math.abs(gotNt[i]! - value)).toBeLessThanOrEqual(ulpOfHalf(value));
        expect(Math.abs(gotNn[i * width]! - value)).toBeLessThanOrEqual(ulpOfHalf(value));
      }
    });
  }
});

/** Packs bytes into words as they lie on the GPU. */
function words(bytes: Uint8Array): Uint32Array<ArrayBuffer> {
  const padded = new Uint8Array(Math.ceil(bytes.length / 4) * 4);
  padded.set(bytes);
  return new Uint32Array(padded.buffer);
}

describe('dequant_4bit to f16', () => {
  for (const quantType of ['nf4', 'fp4'] as const) {
    for (const [n, blockSize] of [
      [1, 64],
      [63, 64],
      [64, 64],
      [1000, 64],
      [4099, 32],
    ] as const) {
      for (const [double, tier] of [
        [false, 'direct'],
        [true, 'direct'],
        [true, 'simt'],
      ] as const) {
        const scale = double ? 'double' : 'plain';
        itFloat16(`${quantType}, ${n} elements in blocks of ${blockSize}, ${scale}, ${tier}`, async () => {
          const { packed, absmax } = quantize4(random(n).normal32(n), quantType, blockSize);
          const bench = new Bench({ maxWorkgroups: 7, profile: { tier }, spare: ['w', 'packed'] });
          const tables = new Float32Array([...CODE_BOOKS[quantType], ...DYNAMIC_CODE]);
          // codes of the dynamic map well above its zero, so that no value falls below f16's normal range
          const codes = Uint8Array.from(absmax, (_, i) => 200 + (i % 50));
          const [nested, offset] = [Float32Array.from(codes, () => 1.5).slice(0, Math.ceil(codes.length / 256)), 0.75];
          const scales: Dequant4bit['scales'] = double
            ? {
                kind: 'double',
                codes: bench.input('codes', words(codes), [codes.length], { dtype: 'u8' }),
                nested: bench.input('nested', Float32Array.of(...nested, offset)),
              }
            : { kind: 'plain', absmax: bench.input('absmax', absmax) };
          const behind = 5;
          const out = new Uint32Array(Math.ceil((n + behind) / 2)).fill(NAN_HALVES);
          const w = bench.input('w', out, [n + behind], { dtype: 'f16' });
          dequant4bit(bench.tape, {
            n,
            blockSize,
            firstBlock: 0,
            packed: bench.input('packed', words(packed), [packed.length], { dtype: 'u8' }),
            scales,
            tables: bench.input('tables', tables),
            w,
          });
          await bench.run();
          const decoded = double ? dequantizeDynamic(codes, nested, 256, offset) : absmax;
          const want = dequantize4(packed, decoded, n, quantType, blockSize);
          const got = unpackHalves(await bench.readU32(w), n + behind).map(f16Value);
          expect([...got.slice(n)]).toEqual(new Array(behind).fill(Number.NaN));
          // map * nested + offset may be fused: two f32 roundings of a value below 4
          want.forEach((value, i) => {
            expectRoundedToHalf(`w[${i}]`, got[i]!, value, double ? 2 ** -22 * 4 : 0);
          });
        });
      }
    }
  }
});

describe('widen to f16', () => {
  const sources = {
    bf16: { bits: (v: number) => bf16Bits(v), value: (v: number) => bf16Value(bf16Bits(v)) },
    f16: { bits: (v: number) => f16Bits(v), value: (v: number) => f16Value(f16Bits(v)) },
    f32: { bits: null, value: fround },
  } as const;
  for (const [dtype, source] of Object.entries(sources) as [keyof typeof sources, (typeof sources)['bf16']][]) {
    for (const n of [1, 2, 127, 1001]) {
      itFloat16(`${n} elements of ${dtype}`, async () => {
        const bench = new Bench({ maxWorkgroups: 7 });
        // from f16's smallest normal to its largest number (that of bf16 below it), both signs, and the two zeros
        const values = Array.from(random(n).uniform(n, -13, 15.9), (e, i) => (i % 2 === 0 ? 1 : -1) * 2 ** e);
        if (n > 2) values.splice(0, 3, 0, -0, dtype === 'bf16' ? 65280 : 65504);
        const data = source.bits === null ? Float32Array.from(values) : packHalves(values.map((v) => source.bits(v)));
        const w = bench.input('w', new Uint32Array(Math.ceil(n / 2)).fill(NAN_HALVES), [n], { dtype: 'f16' });
        widen(bench.tape, { n, source: bench.input('source', data, [n], { dtype }), w });
        await bench.run();
        const got = unpackHalves(await bench.readU32(w), n);
        values.forEach((value, i) => {
          if (dtype === 'f16') expect(got[i]).toBe(f16Bits(value));
          else expectRoundedToHalf(`w[${i}]`, f16Value(got[i]!), source.value(value));
        });
      });
    }
  }
});

describe('weights that f16 does not hold raise the flag, wherever they stand', () => {
  const raised = async (record: (bench: Bench, w: ReturnType<Bench['input']>) => void, n: number) => {
    const bench = new Bench({ maxWorkgroups: 7, spare: ['source', 'packed'] });
    record(bench, bench.input('w', new Uint32Array(Math.ceil(n / 2)), [n], { dtype: 'f16' }));
    await bench.run();
    return (await bench.readU32(bench.flags))[0];
  };

  for (const bad of [65_505, -1e6, Number.POSITIVE_INFINITY, Number.NaN]) {
    for (const at of [0, 1, 1000]) {
      itFloat16(`widen: ${bad} at ${at} of 1001`, async () => {
        const values = Float32Array.from({ length: 1001 }, (_, i) => (i % 2 === 0 ? 65_504 : -65_504));
        const widened = (source: Float32Array<ArrayBuffer>) =>
          raised((bench, w) => widen(bench.tape, { n: 1001, source: bench.input('source', source), w }), 1001);
        expect(await widened(values)).toBe(0);
        values[at] = bad;
        expect(await widened(values)).toBe(FLAG.weight);
      });
    }
  }

  itFloat16('widen: what lies behind the last element does not count', async () => {
    const source = Float32Array.of(1, 2, 3, 1e6);
    expect(await raised((bench, w) => widen(bench.tape, { n: 3, source: bench.input('source', source), w }), 3)).toBe(
      0,
    );
  });

  for (const n of [65, 67, 69]) {
    itFloat16(`dequant_4bit: what lies behind element ${n} in its word does not count`, async () => {
      // codes 7 are 0 and codes 15 the scale itself, which float16 does not hold
      const packed = new Uint8Array(36).fill(0xff);
      for (let i = 0; i < n; i++) packed[i >> 1]! &= i % 2 === 0 ? 0x7f : 0xf7;
      const flag = await raised((bench, w) => {
        dequant4bit(bench.tape, {
          n,
          blockSize: 64,
          firstBlock: 0,
          w,
          packed: bench.input('packed', words(packed), [36], { dtype: 'u8' }),
          scales: { kind: 'plain', absmax: bench.input('absmax', Float32Array.of(1, 70_000)) },
          tables: bench.input('tables', new Float32Array([...NF4_CODE, ...DYNAMIC_CODE])),
        });
      }, n);
      expect(flag).toBe(0);
    });
  }

  for (const at of [0, 7, 70]) {
    itFloat16(`dequant_4bit: 70,000 at ${at} of 71`, async () => {
      const decoded = (values: Float32Array) => {
        const { packed, absmax } = quantize4(values, 'nf4', 64);
        return raised((bench, w) => {
          dequant4bit(bench.tape, {
            n: 71,
            blockSize: 64,
            firstBlock: 0,
            w,
            packed: bench.input('packed', words(packed), [packed.length], { dtype: 'u8' }),
            scales: { kind: 'plain', absmax: bench.input('absmax', absmax) },
            tables: bench.input('tables', new Float32Array([...NF4_CODE, ...DYNAMIC_CODE])),
          });
        }, 71);
      };
      const values = new Float32Array(71).fill(60_000);
      expect(await decoded(values)).toBe(0);
      values[at] = 70_000;
      expect(await decoded(values)).toBe(FLAG.weight);
    });
  }
});
