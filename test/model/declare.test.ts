/** Bytes of a declared model: what the 4-bit format says, tensor by tensor, and what workspace there may be beside it. */
import { describe, expect, test } from 'vitest';
import type { TrainConfig } from '../../src/config/settings.ts';
import { estimateModel } from '../../src/estimate/model.ts';
import { type ModelConfig, parseModelConfig } from '../../src/formats/hf-config.ts';
import { type DeviceProfile, KNOWN_PROFILES } from '../../src/gpu/device-profile.ts';
import { Machine } from '../../src/gpu/machine.ts';
import type { Tensor } from '../../src/gpu/tensor.ts';
import { XENT_PARTS } from '../../src/kernels/xent.ts';
import { declareModel, type StoredAs } from '../../src/model/declare.ts';
import { allLinears } from '../../src/model/modules.ts';
import { HEAD_SCRATCH_BYTES } from '../../src/model/ops/cross-entropy.ts';
import { loadShaders } from '../../src/node/device.ts';
import { buildEngine } from '../../src/train/build.ts';
import { modelLayout } from '../../src/train/model-layout.ts';
import { trainConfig } from './open.ts';

const shaders = loadShaders();
const profile = KNOWN_PROFILES.nvidia as DeviceProfile;

function modelConfig(overrides: object): ModelConfig {
  return parseModelConfig({
    architectures: ['LlamaForCausalLM'],
    model_type: 'llama',
    vocab_size: 100,
    hidden_size: 64,
    intermediate_size: 128,
    num_hidden_layers: 1,
    num_attention_heads: 4,
    num_key_value_heads: 2,
    dtype: 'bfloat16',
    ...overrides,
  });
}

const LLAMA_2_7B = {
  vocab_size: 32_000,
  hidden_size: 4096,
  intermediate_size: 11_008,
  num_hidden_layers: 32,
  num_attention_heads: 32,
  num_key_value_heads: 32,
  max_position_embeddings: 4096,
};
const LLAMA_3_8B = {
  vocab_size: 128_256,
  hidden_size: 4096,
  intermediate_size: 14_336,
  num_hidden_layers: 32,
  num_attention_heads: 32,
  num_key_value_heads: 8,
  max_position_embeddings: 8192,
};
// widths that leave odd counts: half bytes, short blocks, short nested blocks
const ODD = { hidden_size: 18, intermediate_size: 37, num_attention_heads: 3, num_key_value_heads: 1, head_dim: 4 };

/** Bytes of n weights in NF4 with double quantization: nibbles, codes, nested scales, and their offset. */
const formula = (n: number) => Math.ceil(n / 2) + Math.ceil(n / 64) + 4 * Math.ceil(Math.ceil(n / 64) / 256) + 4;
const TABLES_BYTES = 4 * (16 + 256);

const SHAPES: [string, object][] = [
  ['Llama 2 7B', LLAMA_2_7B],
  ['Llama 3 8B', LLAMA_3_8B],
  ['two nested blocks', { hidden_size: 128, intermediate_size: 192 }],
  ['odd widths', ODD],
  ['one block', { hidden_size: 4, intermediate_size: 5, num_attention_heads: 1, num_key_value_heads: 1 }],
];

describe.each(SHAPES)('%s in NF4 with double quantization', (_, overrides) => {
  const config = modelConfig(overrides);
  const fourBit: StoredAs = { kind: '4bit', quantType: 'nf4', blockSize: 64, doubleQuant: true };
  const linears = allLinears(config);
  const names = new Set(linears.map((l) => l.name));
  const storedAs = (module: string): StoredAs => (names.has(module) ? fourBit : { kind: 'dense', dtype: 'bf16' });

  test('ledger bytes are the formula of the format, tables once, alignment apart', () => {
    const { ledger, residents } = new Machine({ device: null, profile, shaders });
    declareModel(residents, { config, full: false, storedAs, lora: null, maxPositions: 8 }, 2 ** 31);
    let found = 0;
    for (const { name, out, in: width } of linears) {
      const own = ledger.entries.filter((e) => e.label === `${name}.weight` || e.label.startsWith(`${name}.weight.`));
      expect(own.map((e) => e.category)).toEqual(['base_weights', 'quant_state', 'quant_state']);
      expect(
        own.reduce((sum, e) => sum + e.bytes, 0),
        name,
      ).toBe(formula(out * width));
      // padding to whole vectors, in its own row
      expect(own.every((e) => e.alignmentBytes < 16)).toBe(true);
      found++;
    }
    expect(found).toBe(7 * config.num_hidden_layers);
    const { byCategory } = ledger.peak;
    const embeddings = 2 * 2 * config.vocab_size * config.hidden_size;
    const norms = 4 * (2 * config.num_hidden_layers + 1) * config.hidden_size;
    const want = linears.reduce((sum, l) => sum + formula(l.out * l.in), TABLES_BYTES + embeddings + norms);
    expect(byCategory.base_weights + byCategory.quant_state).toBe(want);
    expect(ledger.entries.filter((e) => e.label === 'nf4.tables').length).toBe(1);
    expect(byCategory.alignment).toBe(ledger.entries.reduce((sum, e) => sum + e.alignmentBytes, 0));
  });
});

const QLORA: Partial<TrainConfig> = {
  method: 'qlora',
  load_in_4bit: true,
  bnb_4bit_use_double_quant: true,
  lora_r: 16,
  lora_target_modules: 'all-linear',
  per_device_train_batch_size: 2,
  max_length: 256,
};

test('Llama 2 7B: 4.127 bits a parameter of the quantized linears', async () => {
  const config = trainConfig('model', QLORA);
  const { quantizedLinears, byCategory } = await estimateModel(modelConfig(LLAMA_2_7B), config, profile, shaders);
  if (quantizedLinears === null) throw new Error('nothing was quantized');
  const sum = (key: 'elements' | 'packedBytes' | 'absmaxBytes' | 'nestedBytes' | 'offsetBytes') =>
    quantizedLinears.tensors.reduce((total, t) => total + t[key], 0);
  const bytes = sum('packedBytes') + sum('absmaxBytes') + sum('nestedBytes') + sum('offsetBytes');
  expect(quantizedLinears.tensors.length).toBe(7 * 32);
  expect(sum('elements')).toBe(6_476_005_376);
  expect((8 * bytes) / sum('elements')).toBeCloseTo(4.127, 3);
  expect(bytes + quantizedLinears.codeTablesBytes).toBe(quantizedLinears.formulaBytes);
  expect(byCategory.quant_state).toBe(bytes - sum('packedBytes') + TABLES_BYTES);
});

/** What may lie in workspace beside one dequantized weight: the largest bytes of each, for T rows of the batch. */
function namedScratch(config: ModelConfig, train: TrainConfig, T: number): ReadonlyMap<RegExp, number> {
  const R = train.lora_r;
  const chunk = Math.min(T, Math.max(64, Math.floor((64 * 2 ** 20) / (4 * config.vocab_size) / 64) * 64));
  return new Map([
    [/\.dxa$/, 4 * T * R],
    [/\.delta$/, 4 * T * config.num_attention_heads],
    [/^xent\.peak$/, 4 * chunk * XENT_PARTS],
    [/^xent\.total$/, 4 * chunk * XENT_PARTS],
    [/^xent\.lse$/, 4 * chunk],
    // a product is split into slices until there are 65,536 invocations of 16 sums each, never into as many again
    [/^matmul_(nt|nn|tn)\.part$/, 4 * 2 * 65_536 * 16],
    // a sum of squares for 256 gradients, with padding between tensors; then a sum for 256 of those
    [/^norm\[0\]$/, 4 * Math.ceil((1.1 * trainableElements(config, R)) / 256)],
    [/^norm\[1\]$/, 4 * Math.ceil((1.1 * trainableElements(config, R)) / 256 / 256) + 4],
  ]);
}

function trainableElements(config: ModelConfig, R: number): number {
  return allLinears(config).reduce((sum, l) => sum + R * (l.out + l.in), 0);
}

describe.each([
  ['Llama 2 7B', LLAMA_2_7B],
  ['Llama 3 8B', LLAMA_3_8B],
  ['small', {}],
])('workspace of QLoRA on %s', (_, overrides) => {
  test('one dequantized weight plus named scratch', async () => {
    const model = modelConfig(overrides);
    const config = trainConfig('model', QLORA);
    const layout = await modelLayout({ config, model, source: null, adapter: null, maxPositions: 256 });
    const shapes = { train: [{ B: 2, S: 256 }], evaluation: [{ B: 2, S: 256 }] };
    const { machine } = buildEngine({ device: null, profile, shaders }, layout, config, shapes);
    const { ledger } = machine;
    const weightBytes = Math.max(...allLinears(model).map((l) => 4 * l.out * l.in));
    // a head stored as bf16 is widened in shards of their own budget
    const headBytes = Math.min(HEAD_SCRATCH_BYTES, 4 * model.vocab_size * model.hidden_size);
    const scratch = namedScratch(model, config, 512);

    const planned = new Set<Tensor>();
    for (const recorded of machine.plans) {
      for (const command of recorded.commands) {
        if (command.kind !== 'dispatch') continue;
        for (const { tensor } of command.bindings) if (!tensor.storage.resident) planned.add(tensor);
      }
    }
    const work = [...planned].filter((t) => t.storage.category === 'workspace');
    expect(work.length).toBeGreaterThan(10);
    const seen = new Set<RegExp>();
    for (const { label, storage } of work) {
      if (label.endsWith('.scratch')) {
        expect(storage.bytes, label).toBeLessThanOrEqual(label === 'lm_head.weight.scratch' ? headBytes : weightBytes);
        continue;
      }
      const [name, bytes] = [...scratch].find(([pattern]) => pattern.test(label)) ?? [];
      if (name === undefined || bytes === undefined) throw new Error(`${label} is workspace that nobody named`);
      seen.add(name);
      expect(storage.bytes, label).toBeLessThanOrEqual(bytes);
    }
    // the second level of the norm is for more than 65,536 gradients
    expect(seen.size).toBe(trainableElements(model, config.lora_r) > 65_536 ? scratch.size : scratch.size - 1);

    const arena = ledger.entries.filter((e) => e.label.startsWith('arena.workspace'));
    const others = ledger.entries.filter((e) => e.category === 'workspace' && !arena.includes(e));
    // parameters of the plans and the rotary tables, both resident
    for (const { label } of others) expect(label).toMatch(/\.params$|^rope\.(cos|sin)$/);
    const residentBytes = others.reduce((sum, e) => sum + e.bytes, 0);
    expect(residentBytes).toBeLessThan(2 ** 20);
    const limit = Math.max(weightBytes, headBytes) + [...scratch.values()].reduce((sum, b) => sum + b, 0);
    expect(arena[0]?.bytes).toBe(Math.max(weightBytes, ...work.map((t) => t.storage.bytes)));
    expect(arena.reduce((sum, e) => sum + e.bytes, 0)).toBeLessThanOrEqual(limit);
  });
});
