/**
 * nibble-tune/core gives the command line's results inside workerd, Cloudflare's runtime, which has no Node and
 * compiles nothing.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Miniflare } from 'miniflare';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { estimateCommand } from '../../src/cli/estimate/command.ts';
import { runEstimate, runGenerateEstimate } from '../../src/cli/estimate/run.ts';
import { quantizeCommand } from '../../src/cli/quantize/command.ts';
import { runQuantize } from '../../src/cli/quantize/run.ts';
import { openCheckpoint } from '../../src/formats/checkpoint.ts';
import { writeSafetensors } from '../../src/formats/safetensors-write.ts';
import { nodeReader, nodeWriter } from '../../src/node/files.ts';
import { nibble } from '../cli/fakes.ts';
import { textFiles } from '../structure/files.ts';
import { bundle } from './bundle.ts';
import type { EstimateRequest } from './worker.ts';

const ENTRY = `
import { worker } from './worker.ts';
import module from './nibble.wasm';
import { SHADERS } from '../../dist/shaders.js';
export default worker(module, SHADERS);
`;
const WASM = new URL('../../build/nibble.wasm', import.meta.url);
/** Limit of a Worker on Cloudflare's free plan: 3 MB, compressed. */
const MOST_BYTES = 3e6;

const folder = mkdtempSync(path.join(tmpdir(), 'nibble-workerd-'));
let edge: Miniflare;
let text = '';

beforeAll(async () => {
  ({ text } = await bundle(ENTRY));
  const modules = [
    { type: 'ESModule' as const, path: 'worker.mjs', contents: text },
    { type: 'CompiledWasm' as const, path: 'nibble.wasm', contents: readFileSync(WASM) },
  ];
  // cf: false keeps miniflare from asking the network for its location
  edge = new Miniflare({ modules, compatibilityDate: '2026-04-01', cf: false, host: '127.0.0.1' });
  await edge.ready;
});

afterAll(async () => {
  await edge?.dispose();
  rmSync(folder, { recursive: true });
});

/** One layer whose gate_proj is 1 MiB of bfloat16. */
const SHAPE = {
  architectures: ['LlamaForCausalLM'],
  model_type: 'llama',
  vocab_size: 64,
  hidden_size: 512,
  intermediate_size: 1024,
  num_hidden_layers: 1,
  num_attention_heads: 8,
  num_key_value_heads: 8,
  rms_norm_eps: 1e-5,
  max_position_embeddings: 256,
  tie_word_embeddings: true,
  torch_dtype: 'bfloat16',
};
const LAYER = 'model.layers.0';
const GATE = `${LAYER}.mlp.gate_proj.weight`;
const SHAPES: Readonly<Record<string, readonly number[]>> = {
  'model.embed_tokens.weight': [64, 512],
  'model.norm.weight': [512],
  [`${LAYER}.input_layernorm.weight`]: [512],
  [`${LAYER}.post_attention_layernorm.weight`]: [512],
  ...Object.fromEntries(['q', 'k', 'v', 'o'].map((name) => [`${LAYER}.self_attn.${name}_proj.weight`, [512, 512]])),
  [GATE]: [1024, 512],
  [`${LAYER}.mlp.up_proj.weight`]: [1024, 512],
  [`${LAYER}.mlp.down_proj.weight`]: [512, 1024],
};

/** Makes bfloat16 numbers of many sizes between -2 and 2 by a linear congruential generator. */
function bfloat16s(count: number, seed: number): Uint8Array<ArrayBuffer> {
  const bits = new Uint16Array(count);
  let state = seed;
  for (let i = 0; i < count; i++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    // exponents 112 to 127: sizes from 2^-15 to 2
    bits[i] = ((state >>> 16) & 0x8000) | ((112 + ((state >>> 8) & 15)) << 7) | (state & 0x7f);
  }
  return new Uint8Array(bits.buffer);
}

async function writeModel(): Promise<void> {
  const tensors = Object.entries(SHAPES).map(([name, shape], i) => ({
    name,
    dtype: 'BF16' as const,
    shape,
    data: () => [
      bfloat16s(
        shape.reduce((a, b) => a * b, 1),
        i + 1,
      ),
    ],
  }));
  await writeSafetensors(nodeWriter(folder), 'model.safetensors', tensors);
  writeFileSync(path.join(folder, 'config.json'), JSON.stringify(SHAPE));
}

test('the bundle is small enough for a Worker', () => {
  console.log(`core, shaders and a handler: ${text.length} bytes, not minified`);
  expect(text.length).toBeLessThan(MOST_BYTES);
});

test('the shaders of the package are those of shaders/', async () => {
  const { SHADERS } = (await import(new URL('../../dist/shaders.js', import.meta.url).href)) as { SHADERS: object };
  expect(SHADERS).toEqual(Object.fromEntries(textFiles('shaders', '.wgsl')));
});

test.each(['nvidia', 'swiftshader'])('an estimate for %s is that of nibble estimate --json', async (profile) => {
  await writeModel();
  const args = ['--max_length', '64', '--lora_r', '4', '--gradient_checkpointing', 'true', '--max_gpu_memory', '8MiB'];
  const { code, stdout, stderr } = await nibble(
    ['estimate', folder, '--json', '--profile', profile, ...args],
    [(context) => estimateCommand(context, runEstimate, runGenerateEstimate)],
  );
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  const name = path.join(folder, 'config.json');
  const settings = { max_length: 64, lora_r: 4, gradient_checkpointing: true, max_gpu_memory: '8MiB' };
  const body: EstimateRequest = { config: SHAPE, name, settings, profile };
  const response = await edge.dispatchFetch('http://edge/estimate', { method: 'POST', body: JSON.stringify(body) });
  expect(response.status).toBe(200);
  expect(await response.json()).toEqual(JSON.parse(stdout));
});

test('1 MiB of weights in NF4 with double quantization: the bytes of nibble quantize', async () => {
  await writeModel();
  const out = path.join(folder, 'quantized');
  const { code, stderr } = await nibble(
    ['quantize', folder, out, '--bnb_4bit_use_double_quant'],
    [(context) => quantizeCommand(context, runQuantize)],
  );
  expect(code, stderr).toBe(0);
  const body = readFileSync(path.join(folder, 'model.safetensors'));
  const response = await edge.dispatchFetch(`http://edge/quantize?tensor=${GATE}`, { method: 'POST', body });
  expect(response.status).toBe(200);
  // the module's memory never grows
  expect(Number(response.headers.get('x-memory'))).toBeLessThan(16 * 2 ** 20);
  const found = Buffer.from(await response.arrayBuffer());
  const wanted = await storedParts(out);
  expect(wanted.map((part) => part.byteLength)).toEqual([2 ** 18, 2 ** 13, 4 * 2 ** 5, 4]);
  expect(found.equals(Buffer.concat(wanted))).toBe(true);
});

/** Reads packed nibbles, codes, nested absmax and offset of the written checkpoint. */
async function storedParts(directory: string): Promise<Uint8Array[]> {
  const source = await openCheckpoint(nodeReader(directory));
  const bytes = async (name: string): Promise<Uint8Array> => {
    const into = new Uint8Array(source.info(name).bytes);
    await source.read(name, 0, into);
    return into;
  };
  const record = JSON.parse(new TextDecoder().decode(await bytes(`${GATE}.quant_state.bitsandbytes__nf4`)));
  const offset = new Uint8Array(Float32Array.of(record.nested_offset).buffer);
  return [await bytes(GATE), await bytes(`${GATE}.absmax`), await bytes(`${GATE}.nested_absmax`), offset];
}
