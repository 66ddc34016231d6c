/** Exported adapters against those of llama.cpp's converter, scalings against PEFT's: test/golden/gguf. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { type GgufAdapter, ggufAdapter, requireExportable } from '../../src/adapters/export.ts';
import { ggufName } from '../../src/adapters/export-names.ts';
import { type Adapter, openAdapter } from '../../src/adapters/files.ts';
import { formatModelfile } from '../../src/adapters/modelfile.ts';
import { storedValues } from '../../src/adapters/start-values.ts';
import { widenToF32 } from '../../src/formats/dtype.ts';
import type { GgufTensorType } from '../../src/formats/gguf-write.ts';
import { type ModelConfig, readModelConfig } from '../../src/formats/hf-config.ts';
import { adapterBase } from '../../src/model/adapter-base.ts';
import { loadWasmModule } from '../../src/node/codec.ts';
import { nodeReader } from '../../src/node/files.ts';
import { narrow } from '../../src/wasm/buffers.ts';
import { Codec } from '../../src/wasm/codec.ts';
import { thrown } from '../formats/files.ts';
import { type ReadGguf, readGguf } from '../formats/gguf-read.ts';

const GOLDEN = new URL('../golden/', import.meta.url).pathname;
const codec = new Codec(await loadWasmModule());

type Converted = {
  readonly metadata: Readonly<Record<string, string | number>>;
  readonly tensors: Readonly<Record<string, { type: string; shape: number[]; sha256: string }>>;
};
const json = <T>(file: string): T => JSON.parse(readFileSync(`${GOLDEN}gguf/${file}`, 'utf8')) as T;
const converted = json<Record<string, Converted>>('converted.json');
const scalings = json<Record<string, Record<string, { scaling: number; r: number }>>>('scalings.json');

async function opened(base: string, adapter: string): Promise<{ config: ModelConfig; adapter: Adapter }> {
  const config = await readModelConfig(nodeReader(`${GOLDEN}${base}`));
  return { config, adapter: await openAdapter(nodeReader(`${GOLDEN}${adapter}`), adapterBase(config)) };
}

async function exported(base: string, folder: string, type: GgufTensorType): Promise<GgufAdapter> {
  const { config, adapter } = await opened(base, folder);
  requireExportable(adapter, config, 'adapter_config.json');
  const toF16 = (values: Float32Array<ArrayBuffer>): Uint8Array => narrow(codec, values, 'float16');
  return ggufAdapter(adapter, config, await storedValues(adapter), { name: 'a', type, toF16 });
}

test('all architectures are there, in both types', () => {
  expect(Object.keys(converted)).toHaveLength(20);
});

test.each(Object.entries(converted))("%s: every tensor equals the converter's", async (label, want) => {
  const [, name = '', type = ''] = /^(.*)-(f32|f16)$/.exec(label) ?? [];
  const folder = `architectures/${name}`;
  const { metadata, tensors } = await exported(
    `${folder}/dense`,
    `${folder}/adapter-init`,
    type.toUpperCase() as GgufTensorType,
  );
  for (const [key, value] of Object.entries(want.metadata)) expect(metadata.get(key)?.value, key).toBe(value);
  const got = tensors.map(({ name: tensor, type: kind, shape, data }) => {
    const sha256 = createHash('sha256').update(data()).digest('hex');
    return [tensor, { type: kind, shape: [...shape], sha256 }] as const;
  });
  expect(Object.fromEntries(got)).toEqual(want.tensors);
});

/** lora_b is rounded to float32 once where it takes up a scaling, alpha once: 2^-24 each. */
const ROUNDED = 2 ** -22;

test.each(Object.keys(scalings))('%s: what llama.cpp adds is scaled as PEFT scales it', async (name) => {
  const theirs: ReadGguf = readGguf(new Uint8Array(readFileSync(`${GOLDEN}gguf/${name}.gguf`)));
  const { metadata, tensors } = await exported('peft-options/biased', `peft-options/${name}`, 'F32');
  expect(new Set(tensors.map((tensor) => tensor.name))).toEqual(new Set(theirs.tensors.keys()));
  const { config } = await opened('peft-options/biased', `peft-options/${name}`);
  const layers = Object.entries(scalings[name] ?? {});
  expect(2 * layers.length).toBe(tensors.length);
  const architecture = { name: 'llama', pairsRows: true, hasOutput: true };
  expect(config.architecture).toBe('LlamaForCausalLM');
  const byName = new Map(tensors.map((tensor) => [tensor.name, tensor]));
  for (const [module, { scaling, r }] of layers) {
    const weight = ggufName(module, architecture) as string;
    const alpha = Math.fround(metadata.get('adapter.lora.alpha')?.value as number);
    for (const part of ['lora_a', 'lora_b']) {
      const [got, want] = [byName.get(`${weight}.${part}`), theirs.tensors.get(`${weight}.${part}`)];
      expect(got?.shape).toEqual(want?.shape);
      const [ours, plain] = [got, want].map((t) => {
        const data = typeof t?.data === 'function' ? t.data() : t?.data;
        return widenToF32(data as Uint8Array, 'F32');
      }) as [Float32Array, Float32Array];
      const factor = part === 'lora_a' ? 1 : scaling / (alpha / r);
      const wrong = ours.findIndex((v, i) => {
        const wanted = (plain[i] as number) * factor;
        return !(Math.abs(v - wanted) <= ROUNDED * Math.abs(wanted));
      });
      expect(wrong, `${weight}.${part}`).toBe(-1);
    }
  }
});

test('what one alpha can say is left to it, and lora_b as it is', async () => {
  const { config, adapter } = await opened('peft-options/biased', 'peft-options/default');
  const values = await storedValues(adapter);
  const targets = adapter.layout.targets.map((target) => ({ ...target, alpha: 32, rank: target.rank }));
  const rs = {
    ...adapter,
    config: { ...adapter.config, use_rslora: true },
    layout: { ...adapter.layout, targets },
  };
  const options = { name: 'a', type: 'F32' as const, toF16: (v: Float32Array) => new Uint8Array(v.buffer) };
  const { metadata, tensors } = ggufAdapter(rs, config, values, options);
  // 32 / sqrt(4) = 64 / 4
  expect(metadata.get('adapter.lora.alpha')?.value).toBe(64);
  const b = tensors.find(({ name }) => name === 'blk.0.attn_v.weight.lora_b');
  const stored = values.get('model.layers.0.self_attn.v_proj.lora_B.weight') as Float32Array;
  expect([...widenToF32(b?.data() as Uint8Array, 'F32')]).toEqual([...stored]);
});

test.each([
  ['dora', /use_dora: is true, and a GGUF adapter has no place for magnitudes\. Merge the adapter/],
  ['modules-to-save', /modules_to_save: is \[.*\], and a GGUF adapter holds no whole weights/],
  ['lora-bias', /lora_bias: is true, and a GGUF adapter holds no biases\. Merge the adapter/],
  ['tokens', /trainable_token_indices: is \[3,17,5,60\], and a GGUF adapter holds no rows of weights\. Merge/],
  ['bias-all', /bias: is "all", and a GGUF adapter holds no biases/],
])('%s is refused', async (name, message) => {
  const { config, adapter } = await opened('peft-options/biased', `peft-options/${name}`);
  expect(thrown(() => requireExportable(adapter, config, 'adapter_config.json')).message).toMatch(message);
});

test('an adapted head is refused where llama.cpp has no weight for it', async () => {
  const { config, adapter } = await opened('peft-options/biased', 'peft-options/head');
  const gemma = { ...config, architecture: 'GemmaForCausalLM' as const };
  const { message } = thrown(() => requireExportable(adapter, gemma, 'adapter_config.json'));
  expect(message).toContain('adapts lm_head, for which llama.cpp has no weight in a GemmaForCausalLM');
});

test('a Modelfile, with quotation marks around what holds blanks', () => {
  expect(formatModelfile('smollm2:135m', './a.gguf')).toBe('FROM smollm2:135m\nADAPTER ./a.gguf\n');
  expect(formatModelfile('/my models/llama', './a.gguf')).toBe('FROM "/my models/llama"\nADAPTER ./a.gguf\n');
  expect(thrown(() => formatModelfile('a\nPARAMETER stop x', './a')).message).toContain('line end');
});
