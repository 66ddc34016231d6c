/** The error of quantizing against an f64 loop over what is decoded, for every type, dtype and kind of scales. */
import { beforeAll, expect, test } from 'vitest';
import { loadWasmModule } from '../../src/node/codec.ts';
import { Codec, type WasmModule } from '../../src/wasm/codec.ts';
import { decodedAbsmax } from '../../src/wasm/nested.ts';
import { QuantErrorSums } from '../../src/wasm/quant-error.ts';
import { createQuantizer } from '../../src/wasm/quantizer.ts';
import { CODE_BOOKS } from '../../src/wasm/tables.ts';
import type { QuantSpec, SourceDtype } from '../../src/wasm/types.ts';
import { widenerOf } from '../../src/wasm/widen.ts';

let module: WasmModule;
beforeAll(async () => {
  module = await loadWasmModule();
});

/** Past two slabs of 4096 elements, and no whole number of blocks. */
const ELEMENTS = 10_001;

/** Normal values of a weight's size, by Box and Muller from a fixed sequence. */
function weightsOf(dtype: SourceDtype): Uint8Array<ArrayBuffer> {
  const noise = (i: number): number => ((i * 2_654_435_761) % 4_294_967_296) / 4_294_967_296;
  const values = Float32Array.from({ length: ELEMENTS }, (_, i) => {
    const radius = Math.sqrt(-2 * Math.log(noise(2 * i + 1) || 0.5));
    return 0.02 * radius * Math.cos(2 * Math.PI * noise(2 * i + 2));
  });
  if (dtype === 'float32') return new Uint8Array(values.buffer);
  const codec = new Codec(module);
  const [source, target] = [codec.region(0), codec.region(1)];
  codec.floats(source, ELEMENTS).set(values);
  codec.wasm.narrow(dtype === 'float16' ? 1 : 2, source, ELEMENTS, target);
  return codec.bytes(target, 2 * ELEMENTS).slice();
}

const SPECS = (['nf4', 'fp4', 'int4'] as const).flatMap((quantType) =>
  [false, true].map((doubleQuant): QuantSpec => ({ quantType, blockSize: 64, doubleQuant })),
);
const CASES = (['float32', 'float16', 'bfloat16'] as const).flatMap((dtype) =>
  SPECS.map((spec) => [dtype, spec.quantType, spec.doubleQuant, spec] as const),
);

async function measured(dtype: SourceDtype, spec: QuantSpec) {
  const bytes = weightsOf(dtype);
  const packed = new Uint8Array(Math.ceil(ELEMENTS / 2));
  const sums = new QuantErrorSums(ELEMENTS, spec);
  const quantizer = createQuantizer(module, { slabBytes: 4096 * 4 });
  const state = await quantizer.quantize4bit({
    name: 'w',
    elements: ELEMENTS,
    dtype,
    spec,
    read: async (at, into) => into.set(bytes.subarray(at, at + into.byteLength)),
    onPacked: (at, part) => packed.set(part, at),
    onSlab: (first, raw, codes) => sums.add(first, raw, dtype, codes),
  });
  await quantizer.close();
  const absmax = decodedAbsmax(new Codec(module), state);
  return { error: sums.error(absmax), weights: widenerOf(dtype)(bytes), packed, absmax };
}

test.each(CASES)('%s, %s, double %s: RMSE and cosine of an f64 loop', async (dtype, quantType, _, spec) => {
  const { error, weights, packed, absmax } = await measured(dtype, spec);
  let [squares, dot, before, after] = [0, 0, 0, 0];
  weights.forEach((w, i) => {
    const byte = packed[i >> 1]!;
    const decoded = CODE_BOOKS[quantType][i % 2 === 0 ? byte >> 4 : byte & 15]! * absmax[Math.floor(i / 64)]!;
    squares += (w - decoded) ** 2;
    dot += w * decoded;
    before += w * w;
    after += decoded * decoded;
  });
  // sums of 1e4 terms in f64, of which all but a hundredth cancels: 1e-16 * 100 * 1e4 at the very worst
  expect(Math.abs(error.rmse / Math.sqrt(squares / ELEMENTS) - 1)).toBeLessThan(1e-10);
  expect(Math.abs(error.cosine - dot / Math.sqrt(before * after))).toBeLessThan(1e-10);
});

test('of normal weights nf4 loses least, then int4 or fp4, and double quantization costs a little', async () => {
  const rmse = async (quantType: QuantSpec['quantType'], doubleQuant: boolean): Promise<number> =>
    (await measured('float32', { quantType, blockSize: 64, doubleQuant })).error.rmse;
  const [nf4, double, fp4, int4] = [
    await rmse('nf4', false),
    await rmse('nf4', true),
    await rmse('fp4', false),
    await rmse('int4', false),
  ];
  expect(nf4).toBeLessThan(Math.min(fp4, int4));
  expect(double / nf4).toBeGreaterThan(1);
  expect(double / nf4).toBeLessThan(1.02);
});

test('a tensor of zeros loses nothing', () => {
  const sums = new QuantErrorSums(64, { quantType: 'nf4', blockSize: 64, doubleQuant: false });
  sums.add(0, new Uint8Array(256), 'float32', new Uint8Array(32).fill(0x77));
  expect(sums.error(new Float32Array([1]))).toEqual({ rmse: 0, cosine: 1 });
});
