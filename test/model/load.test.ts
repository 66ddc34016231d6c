/** Loading as a pipeline: the bytes of one weight after the other, errors in the model's order, nothing left under way. */
import { describe, expect, test } from 'vitest';
import { openCheckpoint, type TensorSource } from '../../src/formats/checkpoint.ts';
import { readModelConfig } from '../../src/formats/hf-config.ts';
import { Machine } from '../../src/gpu/machine.ts';
import { declareModel } from '../../src/model/declare.ts';
import { loadModel } from '../../src/model/load.ts';
import { nodeReader } from '../../src/node/files.ts';
import { modelLayout } from '../../src/train/model-layout.ts';
import { quantize4bit } from '../../src/wasm/buffers.ts';
import { createQuantizer } from '../../src/wasm/quantizer.ts';
import { device } from '../gpu/harness.ts';
import { codec, expectSameBytes, wasmModule } from '../wasm/helpers.ts';
import { GOLDEN, trainConfig } from './open.ts';

const DIRECTORY = `${GOLDEN}llama/tied-mha-bf16`;
const MAX_POSITIONS = 8;

/** A source that counts what is under way, whose later tensors are read faster. `bad` is made NaN, in its second element. */
async function opened(bad: readonly string[] = []) {
  const reader = nodeReader(DIRECTORY);
  const [model, checkpoint] = [await readModelConfig(reader), await openCheckpoint(reader)];
  const counts = { underWay: 0, most: 0, reads: 0 };
  const source: TensorSource = {
    ...checkpoint,
    read: async (name, byteOffset, into) => {
      counts.reads++;
      counts.most = Math.max(counts.most, ++counts.underWay);
      await new Promise((resolve) => setTimeout(resolve, Math.max(0, 6 - counts.reads)));
      await checkpoint.read(name, byteOffset, into);
      if (bad.includes(name)) into.set([0xc0, 0x7f], 2);
      counts.underWay--;
    },
  };
  const config = trainConfig(DIRECTORY, { method: 'qlora', load_in_4bit: true, bnb_4bit_use_double_quant: true });
  const layout = await modelLayout({ config, model, source, adapter: null, maxPositions: MAX_POSITIONS });
  const machine = Machine.on(device);
  const { residents } = machine;
  const declared = declareModel(residents, layout.spec, device.profile.limits.maxStorageBufferBindingSize);
  const quantizer = createQuantizer(wasmModule);
  const context = { device, residents, quantizer, codec, sourceDtype: null };
  const order = [...declared.vectors.keys(), ...declared.weights.keys()];
  return { machine, declared, source, checkpoint, context, counts, order };
}

test('names come in order, several tensors are read at once, the bytes are those of each weight by itself', async () => {
  const { machine, declared, source, checkpoint, context, counts, order } = await opened();
  const names: string[] = [];
  const loading = loadModel(context, declared, source);
  let next = await loading.next();
  for (; !next.done; next = await loading.next()) names.push(next.value);
  expect(names).toEqual(order);
  expect(counts.most).toBeGreaterThan(2);
  expect(counts.underWay).toBe(0);
  expect(next.value.quantizeBusySeconds).toBeGreaterThan(0);
  expect(next.value.quantizeSeconds).toBeGreaterThan(0);
  let quantized = 0;
  for (const [name, weight] of declared.weights) {
    const raw = new Uint8Array(checkpoint.info(name).bytes);
    await checkpoint.read(name, 0, raw);
    const tensor = weight.kind === 'dense' ? weight.tensor : weight.packed;
    const got = new Uint8Array(await machine.read(tensor));
    if (weight.kind === 'dense') {
      expectSameBytes(got.subarray(0, tensor.bytes), raw);
      continue;
    }
    quantized++;
    const spec = { quantType: weight.quantType, blockSize: weight.blockSize, doubleQuant: true };
    const { packed, state } = quantize4bit(codec, raw, 'bfloat16', spec);
    expectSameBytes(got.subarray(0, tensor.bytes), packed);
    if (!state.nested || weight.scales.kind !== 'double') throw new Error('asked for nested scales');
    const { codes } = weight.scales;
    const scales = new Uint8Array(await machine.read(codes));
    expectSameBytes(scales.subarray(0, codes.bytes), state.codes);
  }
  expect(quantized).toBeGreaterThan(10);
});

async function drain(loading: AsyncGenerator<string, unknown>, onName: (name: string) => void = () => undefined) {
  for await (const name of loading) onName(name);
}

describe('a load that ends early', () => {
  test('two weights with NaN: the first in order is named, and the names before it came', async () => {
    const bad = ['model.layers.0.mlp.up_proj.weight', 'model.layers.0.self_attn.q_proj.weight'];
    const { declared, source, context, counts, order } = await opened(bad);
    const first = order.find((name) => bad.includes(name)) as string;
    const names: string[] = [];
    const loading = drain(loadModel(context, declared, source), (name) => names.push(name));
    await expect(loading).rejects.toThrow(new RegExp(`^${first}: element 1 of \\d+ \\(bfloat16\\) is NaN`));
    expect(names).toEqual(order.slice(0, order.indexOf(first)));
    expect(counts.underWay).toBe(0);
  });

  test('an abort ends it with its reason; nothing is read after that', async () => {
    const { declared, source, context, counts, order } = await opened();
    const abort = new AbortController();
    const loading = loadModel({ ...context, signal: abort.signal }, declared, source);
    const stop = (name: string) => name === order[1] && abort.abort(new Error('stopped by SIGINT'));
    await expect(drain(loading, stop)).rejects.toThrow('stopped by SIGINT');
    const { reads } = counts;
    expect(reads).toBeLessThan(order.length);
    expect(counts.underWay).toBe(0);
    await new Promise((resolve) => setTimeout(resolve, 10));
    expect(counts.reads).toBe(reads);
  });

  test('a consumer that stops listening leaves nothing under way, and what waits for a lane unread', async () => {
    const { declared, source, context, counts } = await opened();
    const names: string[] = [];
    let reads = 0;
    for await (const name of loadModel(context, declared, source)) {
      if (names.push(name) < declared.vectors.size + 1) continue;
      ({ reads } = counts);
      break;
    }
    expect(counts.underWay).toBe(0);
    // sixteen tensors had begun, most of them waiting for one of two lanes
    expect(counts.reads - reads).toBeLessThan(6);
    const atEnd = counts.reads;
    await new Promise((resolve) => setTimeout(resolve, 10));
    expect(counts.reads).toBe(atEnd);
  });
});
