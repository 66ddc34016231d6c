import { afterAll, describe, expect, test } from 'vitest';
import { createQuantizerPool } from '../../src/node/codec.ts';
import { type Quantized, quantize4bit } from '../../src/wasm/buffers.ts';
import { createQuantizer } from '../../src/wasm/quantizer.ts';
import { bytesPerElement, type QuantSpec, type QuantState } from '../../src/wasm/types.ts';
import { codec, encode, expectSameBytes, rawBytes, stream, wasmModule, weights } from './helpers.ts';

const NESTED: QuantSpec = { quantType: 'nf4', blockSize: 64, doubleQuant: true };
const SLAB = 4096 * 4; // the smallest: 4096 f32 or 8192 16-bit elements

const quantizers = {
  'one thread': createQuantizer(wasmModule, { slabBytes: SLAB }),
  'pool of 1': createQuantizerPool(wasmModule, { workers: 1, slabBytes: SLAB }),
  'pool of 3': createQuantizerPool(wasmModule, { workers: 3, slabBytes: SLAB }),
};
afterAll(async () => {
  await Promise.all(Object.values(quantizers).map((quantizer) => quantizer.close()));
});

function expectEqual(streamed: { packed: Uint8Array; state: QuantState }, whole: Quantized): void {
  expectSameBytes(streamed.packed, whole.packed);
  const [got, want] = [streamed.state, whole.state];
  expect(got.packedBytes).toBe(want.packedBytes);
  if (!got.nested || !want.nested) {
    if (got.nested || want.nested) throw new Error('one state is nested, the other is not');
    expectSameBytes(got.absmax, want.absmax);
    return;
  }
  expectSameBytes(got.codes, want.codes);
  expectSameBytes(got.nestedAbsmax, want.nestedAbsmax);
  expect(got.offset).toBe(want.offset);
}

describe.each(Object.entries(quantizers))('%s', (_name, quantizer) => {
  test('streaming equals one shot around every slab boundary, in every dtype and block size', async () => {
    for (const dtype of ['float32', 'float16', 'bfloat16'] as const) {
      const slab = SLAB / bytesPerElement(dtype);
      for (const elements of [1, slab - 1, slab, slab + 1, 2 * slab, 5 * slab + 4095, 9 * slab + 3]) {
        const raw = encode(weights(elements), dtype);
        for (const blockSize of [32, 4096]) {
          for (const quantType of ['nf4', 'fp4'] as const) {
            const spec = { quantType, blockSize, doubleQuant: blockSize === 32 };
            const streamed = await stream(quantizer, raw, dtype, spec);
            expectEqual(streamed, quantize4bit(codec, raw, dtype, spec));
            expect(streamed.reads).toBe(Math.ceil(elements / slab));
          }
        }
      }
    }
  });

  test('calls made at once wait their turn', async () => {
    const raws = [1, 2, 3].map((seed) => encode(weights(20_000, seed), 'float32'));
    const all = await Promise.all(raws.map((raw) => stream(quantizer, raw, 'float32', NESTED)));
    for (const [i, streamed] of all.entries()) {
      expectEqual(streamed, quantize4bit(codec, raws[i]!, 'float32', NESTED));
    }
  });

  test('a tensor is begun once the one before it has begun its last slab, and quantizing is timed', async () => {
    const raws = [1, 2, 3, 4].map((seed) => encode(weights(1000, seed), 'float32'));
    const order: string[] = [];
    const before = quantizer.busySeconds;
    const reader = (i: number) => async (_byteOffset: number, into: Uint8Array) => {
      order.push(`begin ${i}`);
      await new Promise((resolve) => setTimeout(resolve, 5));
      order.push(`end ${i}`);
      into.set(raws[i]!);
    };
    const all = await Promise.all(raws.map((raw, i) => stream(quantizer, raw, 'float32', NESTED, { read: reader(i) })));
    // every quantizer has two lanes at least
    expect(order.slice(0, 2)).toEqual(['begin 0', 'begin 1']);
    expect(order.filter((what) => what.startsWith('begin'))).toEqual(['begin 0', 'begin 1', 'begin 2', 'begin 3']);
    for (const [i, streamed] of all.entries()) expectEqual(streamed, quantize4bit(codec, raws[i]!, 'float32', NESTED));
    expect(quantizer.busySeconds).toBeGreaterThan(before);
  });

  test('reads that end out of order change nothing', async () => {
    const raw = encode(weights(50_000), 'bfloat16');
    const read = async (byteOffset: number, into: Uint8Array) => {
      await new Promise((resolve) => setTimeout(resolve, (byteOffset / SLAB) % 2 === 0 ? 5 : 0));
      into.set(raw.subarray(byteOffset, byteOffset + into.byteLength));
    };
    const streamed = await stream(quantizer, raw, 'bfloat16', NESTED, { read });
    expectEqual(streamed, quantize4bit(codec, raw, 'bfloat16', NESTED));
  });

  test('NaN in a late slab names tensor and flat index; slabs before it came; the next tensor is well', async () => {
    const values = weights(60_000);
    values[41_234] = Number.NaN;
    values[59_999] = Number.NaN;
    let handedOut = 0;
    const onPacked = (_offset: number, bytes: Uint8Array) => {
      handedOut += bytes.byteLength;
    };
    const name = 'model.layers.3.mlp.up_proj.weight';
    await expect(stream(quantizer, rawBytes(values), 'float32', NESTED, { name, onPacked })).rejects.toThrow(
      `${name}: element 41234 of 60000 (float32) is NaN;`,
    );
    expect(handedOut).toBe(Math.floor(41_234 / 4096) * 2048);
    values.fill(0.5, 41_234);
    expectEqual(
      await stream(quantizer, rawBytes(values), 'float32', NESTED),
      quantize4bit(codec, rawBytes(values), 'float32', NESTED),
    );
  });

  test('an error of the reader or of the consumer passes through, and nothing is left under way', async () => {
    const raw = encode(weights(60_000), 'float32');
    let under = 0;
    const read = async (byteOffset: number, into: Uint8Array) => {
      under++;
      await new Promise((resolve) => setTimeout(resolve, 1));
      under--;
      if (byteOffset === 2 * SLAB) throw new Error('disk gone');
      into.set(raw.subarray(byteOffset, byteOffset + into.byteLength));
    };
    await expect(stream(quantizer, raw, 'float32', NESTED, { read })).rejects.toThrow('disk gone');
    expect(under).toBe(0);
    const onPacked = () => {
      throw new Error('no room');
    };
    await expect(stream(quantizer, raw, 'float32', NESTED, { onPacked })).rejects.toThrow('no room');
    expectEqual(await stream(quantizer, raw, 'float32', NESTED), quantize4bit(codec, raw, 'float32', NESTED));
  });
});

test('a closed quantizer finishes what was asked before and refuses what comes after', async () => {
  for (const quantizer of [createQuantizer(wasmModule), createQuantizerPool(wasmModule, { workers: 1 })]) {
    const raw = encode(weights(1000), 'float32');
    const before = stream(quantizer, raw, 'float32', NESTED);
    const closed = quantizer.close();
    await expect(stream(quantizer, raw, 'float32', NESTED)).rejects.toThrow('has been closed');
    expectEqual(await before, quantize4bit(codec, raw, 'float32', NESTED));
    await closed;
    await quantizer.close();
  }
});

test('an idle pool does not keep the process alive', async () => {
  const ports = () => process.getActiveResourcesInfo().filter((resource) => resource === 'MessagePort').length;
  const before = ports();
  const pool = createQuantizerPool(wasmModule, { workers: 2, slabBytes: SLAB });
  expect(ports()).toBe(before);
  let most = 0;
  const read = async () => {
    most = Math.max(most, ports());
  };
  await stream(pool, encode(weights(50_000), 'float32'), 'float32', NESTED, { read });
  expect(most).toBeGreaterThan(before);
  expect(ports()).toBe(before);
  await pool.close();
});

test('slabs that would cut a block or exceed a lane are refused', () => {
  for (const slabBytes of [0, 4096, SLAB + 4, 4 << 20]) {
    expect(() => createQuantizer(wasmModule, { slabBytes })).toThrow(`got slabBytes ${slabBytes}`);
  }
  expect(() => createQuantizerPool(wasmModule, { workers: 0 })).toThrow('got 0 workers');
});
