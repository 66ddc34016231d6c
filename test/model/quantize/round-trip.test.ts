/** Quantizing into a file equals quantizing on the way to the GPU: the same logits, steps and adapter, to the bit. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import type { TrainConfig } from '../../../src/config/settings.ts';
import { readBnb4bit } from '../../../src/formats/bnb4bit.ts';
import { openCheckpoint } from '../../../src/formats/checkpoint.ts';
import { prequantizedState } from '../../../src/model/prequantized.ts';
import type { QuantizeSettings } from '../../../src/model/quantize/layout.ts';
import { nodeReader } from '../../../src/node/files.ts';
import { dequantize4bit } from '../../../src/wasm/buffers.ts';
import { ADAPTER, bytesOf, copyModel, learnableRows, runTraining } from '../../train/run.ts';
import { codec, expectSameBytes } from '../../wasm/helpers.ts';
import { type OpenModel, openModel } from '../open.ts';
import { type Files, GOLDEN, quantizeInto } from './job.ts';

const root = mkdtempSync(path.join(tmpdir(), 'nibble-round-trip-'));
afterAll(() => rmSync(root, { recursive: true }));

const model = (name: string) => path.join(GOLDEN, 'llama', name);
const SHAPE = { B: 2, S: 24 };

let made = 0;
async function onDisk(files: Files): Promise<string> {
  const at = path.join(root, String(made++));
  mkdirSync(at);
  for (const [name, content] of files) writeFileSync(path.join(at, name), content);
  return at;
}

async function quantizedOnDisk(name: string, changes: Partial<QuantizeSettings>): Promise<string> {
  const files: Files = new Map();
  await quantizeInto(files, nodeReader(model(name)), changes);
  return onDisk(files);
}

async function logitsOf(open: OpenModel): Promise<Float32Array<ArrayBuffer>> {
  const V = open.declared.model.head.weight.out;
  const values = await open.logits(Uint32Array.from({ length: SHAPE.B * SHAPE.S }, (_, i) => (i * 7) % V));
  open.destroy();
  expect(values.every((v) => Number.isFinite(v))).toBe(true);
  return values;
}

const qlora = (settings: Partial<QuantizeSettings>): Partial<TrainConfig> => ({
  method: 'qlora',
  load_in_4bit: true,
  bnb_4bit_quant_type: settings.quantType ?? 'nf4',
  bnb_4bit_blocksize: (settings.blockSize ?? 64) as 64,
  bnb_4bit_use_double_quant: settings.doubleQuant ?? false,
});

describe('logits of a checkpoint equal those of quantizing on the way, to the bit', () => {
  const cases: [string, Partial<QuantizeSettings>][] = [
    ['untied-gqa-f32', {}],
    ['untied-gqa-f32', { quantType: 'fp4', doubleQuant: true, storage: 'bfloat16' }],
    ['tied-mha-bf16', { doubleQuant: true, storage: 'float32' }],
    ['tied-mha-bf16', { quantType: 'fp4', blockSize: 32, storage: 'float16' }],
    ['llama3-rope-f16', { blockSize: 4096, doubleQuant: true }],
    ['llama3-rope-f16', { quantType: 'fp4', blockSize: 256 }],
  ];
  test.each(cases)('%s %j', async (name, settings) => {
    const onTheWay = await logitsOf(await openModel(model(name), { shape: SHAPE, config: qlora(settings) }));
    // other settings than the checkpoint's, which has its own
    const config = qlora({ quantType: settings.quantType === 'fp4' ? 'nf4' : 'fp4', blockSize: 128 });
    const open = await openModel(await quantizedOnDisk(name, settings), { shape: SHAPE, config });
    const stored = await logitsOf(open);
    expectSameBytes(stored, onTheWay);
    const plain = await logitsOf(await openModel(model(name), { shape: SHAPE }));
    expect(Buffer.compare(Buffer.from(stored.buffer), Buffer.from(plain.buffer))).not.toBe(0);
  });
});

/** Copies the model with every quantized weight replaced by what it decodes to, f32. */
async function decoded(name: string, quantized: string): Promise<Files> {
  const source = await openCheckpoint(nodeReader(quantized));
  const weights = new Map<string, Float32Array<ArrayBuffer>>();
  for (const weight of source.names()) {
    const stored = await readBnb4bit(source, weight);
    if (stored === null) continue;
    const packed = new Uint8Array(stored.packed.bytes);
    await source.read(weight, 0, packed);
    const state = await prequantizedState(source, weight, stored);
    const [out, width] = stored.shape as [number, number];
    weights.set(
      weight,
      new Float32Array(dequantize4bit(codec, { packed, state }, out * width, stored, 'float32').buffer),
    );
  }
  expect(weights.size).toBeGreaterThan(0);
  return copyModel(model(name), (weight, values) => weights.get(weight) ?? values);
}

test('skipped modules stay plain, a head that is not among them is read in 4 bits', async () => {
  const skipModules = ['v_proj', 'model.layers.0.mlp'];
  const directory = await quantizedOnDisk('untied-gqa-f32', { skipModules });
  const open = await openModel(directory, { shape: SHAPE, config: qlora({}) });
  const dense = [...open.declared.weights].filter(([, weight]) => weight.kind === 'dense').map(([name]) => name);
  expect(dense.sort()).toEqual([
    'model.embed_tokens.weight',
    ...['down_proj', 'gate_proj', 'up_proj'].map((m) => `model.layers.0.mlp.${m}.weight`),
    'model.layers.0.self_attn.v_proj.weight',
    'model.layers.1.self_attn.v_proj.weight',
  ]);
  expect(open.declared.weights.get('lm_head.weight')?.kind).toBe('4bit');
  const plain = await onDisk(await decoded('untied-gqa-f32', directory));
  expectSameBytes(await logitsOf(open), await logitsOf(await openModel(plain, { shape: SHAPE })));
});

test('QLoRA from an fp4 checkpoint = from fp4 on the way = LoRA on what it decodes to: losses, norms, adapter, to the bit', async () => {
  const rows: Files = new Map([['rows.jsonl', learnableRows(1, 16, 20, 160)]]);
  const settings: Partial<QuantizeSettings> = { quantType: 'fp4' };
  const directory = await quantizedOnDisk('untied-gqa-f32', settings);
  const dense = await decoded('untied-gqa-f32', directory);
  const common = { max_steps: 5, lora_alpha: 16 };
  const [stored, onTheWay, lora] = [
    await runTraining({ '.': rows }, { ...common, ...qlora({}), model_name_or_path: directory }),
    await runTraining({ '.': rows }, { ...common, ...qlora(settings), model_name_or_path: model('untied-gqa-f32') }),
    await runTraining({ '.': rows, dense }, { ...common, model_name_or_path: 'dense' }),
  ];
  expect(new Set(stored.losses).size).toBe(5);
  for (const other of [onTheWay, lora]) {
    expect(other.losses).toEqual(stored.losses);
    expect(other.steps.map((s) => s.gradNorm)).toEqual(stored.steps.map((s) => s.gradNorm));
    expectSameBytes(bytesOf(other, ADAPTER), bytesOf(stored, ADAPTER));
  }
});
