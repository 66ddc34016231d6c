/** Checkpoints whose map of absmax codes is not the common one: decoded by their own, in WASM and on the GPU. */
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { estimateRun } from '../../src/estimate/estimate.ts';
import { readBnb4bit } from '../../src/formats/bnb4bit.ts';
import { openCheckpoint, type TensorSource } from '../../src/formats/checkpoint.ts';
import { writeText } from '../../src/formats/reader.ts';
import { type TensorToWrite, writeSafetensors } from '../../src/formats/safetensors-write.ts';
import { prequantizedState } from '../../src/model/prequantized.ts';
import { materialize } from '../../src/model/weight.ts';
import { nodeReader, nodeWriter } from '../../src/node/files.ts';
import { dequantize4bit } from '../../src/wasm/buffers.ts';
import { decodedAbsmax } from '../../src/wasm/nested.ts';
import { DYNAMIC_CODE, NF4_CODE } from '../../src/wasm/tables.ts';
import { device } from '../gpu/harness.ts';
import { expectSameBits } from '../ref/compare.ts';
import { dequantize4 } from '../ref/nf4.ts';
import { learnableRows, runTraining } from '../train/run.ts';
import { codec } from '../wasm/helpers.ts';
import { openModel } from './open.ts';

const GOLDEN = new URL('../golden/nested-map/', import.meta.url).pathname;
const BASE = path.join(GOLDEN, 'base');
const expected = JSON.parse(readFileSync(path.join(GOLDEN, 'expected.json'), 'utf8')) as {
  nested_quant_map_sha256: string;
  dequantized_f32: Record<string, { shape: [number, number]; sha256: string }>;
};
const WEIGHTS = Object.keys(expected.dequantized_f32);
const UP = 'model.layers.0.mlp.up_proj.weight';
const DOWN = 'model.layers.0.mlp.down_proj.weight';

const root = mkdtempSync(path.join(tmpdir(), 'nibble-map-'));
afterAll(() => rmSync(root, { recursive: true }));

const { fround } = Math;
const sha256 = (values: Float32Array) => createHash('sha256').update(new Uint8Array(values.buffer)).digest('hex');

/** The golden with the maps of its weights changed, on the disk. */
let made = 0;
async function withMaps(change: (weight: string, map: Float32Array) => Float32Array): Promise<string> {
  const source = await openCheckpoint(nodeReader(BASE));
  const tensors: TensorToWrite[] = [];
  for (const name of source.names()) {
    const { dtype, shape, bytes } = source.info(name);
    const own = new Uint8Array(bytes);
    await source.read(name, 0, own);
    const weight = name.replace(/\.nested_quant_map$/, '');
    const data = weight === name ? own : new Uint8Array(change(weight, new Float32Array(own.buffer)).buffer.slice(0));
    tensors.push({ name, dtype, shape, data: () => [data as Uint8Array<ArrayBuffer>] });
  }
  const writer = nodeWriter(path.join(root, String(made++)));
  await writeSafetensors(writer, 'model.safetensors', tensors);
  await writeText(writer, 'config.json', await nodeReader(BASE).readText('config.json'));
  return writer.root;
}

/** What the checkpoint says of a weight, and what WASM decodes it to. */
async function decoded(source: TensorSource, name: string) {
  const stored = await readBnb4bit(source, name);
  if (stored?.nestedQuantMap === undefined) throw new Error(`${name} is not double-quantized`);
  const packed = new Uint8Array(stored.packed.bytes);
  await source.read(name, 0, packed);
  const state = await prequantizedState(source, name, stored);
  if (!state.nested) throw new Error(`${name} is not double-quantized`);
  const n = stored.shape.reduce((product, size) => product * size, 1);
  const weights = new Float32Array(dequantize4bit(codec, { packed, state }, n, stored, 'float32').buffer);
  return { map: stored.nestedQuantMap, packed, state, n, weights, absmax: decodedAbsmax(codec, state) };
}

test('the golden map is the one of torch without FMA: 42 values an ulp or two from the common ones', async () => {
  const { map } = await decoded(await openCheckpoint(nodeReader(BASE)), UP);
  expect(sha256(map)).toBe(expected.nested_quant_map_sha256);
  const [ours, theirs] = [new Int32Array(DYNAMIC_CODE.buffer), new Int32Array(map.buffer)];
  const distances = [...theirs].map((bits, i) => Math.abs(bits - (ours[i] as number))).filter((d) => d !== 0);
  expect(distances.length).toBe(42);
  expect(Math.max(...distances)).toBe(2);
});

test.each(WEIGHTS)('%s in WASM: the bits of the definition', async (name) => {
  const { weights } = await decoded(await openCheckpoint(nodeReader(BASE)), name);
  expect(sha256(weights)).toBe(expected.dequantized_f32[name]?.sha256);
});

test('every weight of the golden was looked at', () => expect(WEIGHTS.length).toBe(7));

/** Every weight on the GPU within 1 ulp of its block's scale of WASM's: map * nested + offset may be one rounding there. */
async function expectDecodedOnGpu(directory: string): Promise<void> {
  const source = await openCheckpoint(nodeReader(directory));
  const open = await openModel(directory, { shape: { B: 1, S: 4 } });
  const tape = open.tape();
  const targets = new Map<string, ReturnType<typeof open.machine.residents.tensor>>();
  for (const [name, weight] of open.declared.weights) {
    if (weight.kind !== '4bit') continue;
    const w = materialize(tape, weight, { row0: 0, rows: weight.out }, 'f32');
    const label = `${name}.decoded`;
    const shape = [weight.out, weight.in];
    targets.set(name, open.machine.residents.tensor({ label, shape, dtype: 'f32', category: 'workspace' }));
    tape.dispatch({
      name: 'widen',
      when: ['F32'],
      params: { n: w.elements },
      threads: Math.ceil(w.elements / 8),
      buffers: { source: [w, w.elements], w: [targets.get(name) as typeof w, w.elements] },
    });
  }
  await open.submit(tape.commands);
  expect([...targets.keys()].sort()).toEqual(WEIGHTS);
  for (const [name, target] of targets) {
    const { weights, absmax } = await decoded(source, name);
    const got = await open.read(target);
    got.forEach((value, i) => {
      const ulp = 2 ** (Math.floor(Math.log2(absmax[Math.floor(i / 64)] as number)) - 23);
      const want = weights[i] as number;
      if (!(Math.abs(value - want) <= ulp)) throw new Error(`${name}[${i}]: got ${value}, want ${want} +- ${ulp}`);
    });
  }
  open.destroy();
}

/** Tables as they lie on the GPU, bit for bit: what a unit in the last place does to a weight is below the tolerance above. */
async function expectTables(directory: string, maps: readonly Float32Array[]): Promise<void> {
  const open = await openModel(directory, { shape: { B: 1, S: 4 } });
  const { tables } = open.declared;
  expect(tables.map(({ tensor }) => tensor.label)).toEqual(['nf4.tables', 'nf4.tables[1]'].slice(0, maps.length));
  for (const [i, { tensor }] of tables.entries())
    expectSameBits('tables', await open.read(tensor), Float32Array.of(...NF4_CODE, ...(maps[i] as Float32Array)));
  open.destroy();
}

const rows = new Map([['rows.jsonl', learnableRows(1, 8, 8, 64)]]);

/** @returns bytes of quant_state that a run took, which is what its plan said */
async function quantStateBytes(directory: string): Promise<number> {
  const { input, result } = await runTraining({ '.': rows }, { model_name_or_path: directory, load_in_4bit: true });
  const { byCategory } = result.ledger.peak;
  const { layout, config, batches } = input;
  const estimate = estimateRun(layout, config, batches.shapes, device.profile, device.shaders);
  expect(estimate.byCategory).toEqual(byCategory);
  expect(estimate.quantizedLinears?.codeTablesBytes).toBe(4 * 272 * result.engine.declared.tables.length);
  return byCategory.quant_state;
}

describe('on the GPU', () => {
  test('the golden: one buffer of tables, the bits of the file; every weight', async () => {
    const { map } = await decoded(await openCheckpoint(nodeReader(BASE)), UP);
    await expectTables(BASE, [map]);
    await expectDecodedOnGpu(BASE);
  });

  test('a map of another making: WASM by the definition, the GPU by it too', async () => {
    const directory = await withMaps((_, map) => map.map((v) => v / 2 + 1e-3));
    const source = await openCheckpoint(nodeReader(directory));
    const { map, packed, state, n, weights } = await decoded(source, DOWN);
    expect(state.codes.length).toBeGreaterThan(256);
    const absmax = Float32Array.from(state.codes, (code, i) => {
      const product = fround((map[code] as number) * (state.nestedAbsmax[Math.floor(i / 256)] as number));
      return fround(product + state.offset);
    });
    expectSameBits('weights', weights, dequantize4(packed, absmax, n, 'nf4', 64));
    await expectDecodedOnGpu(directory);
  });

  test('weights with maps of their own: tables for each map; plan and ledger count both', async () => {
    const directory = await withMaps((weight, map) => (weight === DOWN ? map.map((v) => v / 2 + 1e-3) : map));
    const source = await openCheckpoint(nodeReader(directory));
    const order = [UP, DOWN]; // as PyTorch walks the modules
    await expectTables(directory, [(await decoded(source, order[0]!)).map, (await decoded(source, order[1]!)).map]);
    await expectDecodedOnGpu(directory);
    expect((await quantStateBytes(directory)) - (await quantStateBytes(BASE))).toBe(4 * 272);
  });
});
