import { describe, expect, test } from 'vitest';
import { ConfigError, DataError } from '../../../src/errors.ts';
import { openCheckpoint } from '../../../src/formats/checkpoint.ts';
import { readModelConfig } from '../../../src/formats/hf-config.ts';
import { memoryReader, memoryWriter } from '../../../src/formats/memory.ts';
import type { FileReader } from '../../../src/formats/reader.ts';
import { writeSafetensors } from '../../../src/formats/safetensors-write.ts';
import { parametersOf } from '../../../src/model/modules.ts';
import { type QuantizeSettings, quantizedLayout } from '../../../src/model/quantize/layout.ts';
import { skipTest } from '../../../src/model/skips.ts';
import { nodeReader } from '../../../src/node/files.ts';
import { goldenJson, rejection, thrown } from '../../formats/files.ts';
import { GOLDEN, PLAIN_NF4, quantizeInto } from './job.ts';

const model = (name: string) => nodeReader(`${GOLDEN}${name}`);

async function layout(reader: FileReader, changes: Partial<QuantizeSettings> = {}) {
  const [config, source] = [await readModelConfig(reader), await openCheckpoint(reader)];
  return quantizedLayout(config, source, { ...PLAIN_NF4, ...changes });
}

describe('llm_int8_skip_modules keeps out what transformers keeps out', () => {
  const { names, kept } = goldenJson<{ names: string[]; kept: Record<string, string[] | null> }>(
    '../quantize/skips.json',
  );
  test('the golden patterns are all there', () => expect(Object.keys(kept).length).toBe(28));

  test.each(Object.entries(kept))('%s', (pattern, want) => {
    // an extra name, so that every pattern keeps something
    const all = [...names, 'x'];
    if (want === null) expect(thrown(() => skipTest([pattern], all)).message).toContain('is no regular expression');
    else expect(names.filter(skipTest([pattern, 'x'], want.length > 0 ? all : [...all, pattern]))).toEqual(want);
  });

  test('several entries add up, and each that matches nothing is named', () => {
    const isKept = skipTest(['lm_head', 'gate'], names);
    expect(names.filter(isKept)).toEqual(['lm_head', 'model.layers.1.mlp.gate', 'model.layers.11.mlp.gate']);
    const error = thrown(() => skipTest(['mlp', 'lm_head', 'k_proj', ''], names));
    expect(error).toBeInstanceOf(ConfigError);
    expect((error as ConfigError).problems.map(({ message }) => message.split(' ').slice(0, 4).join(' '))).toEqual([
      '"mlp" names no module;',
      '"k_proj" names no module;',
      '"" is empty, and',
    ]);
  });
});

describe('what is quantized', () => {
  const UNTIED = 'llama/untied-gqa-f32';
  const TIED = 'llama/tied-mha-bf16';
  const quantized = async (name: string, skipModules: string[] | null) =>
    (await layout(model(name), { skipModules })).tensors.filter(({ kind }) => kind === '4bit').map((t) => t.name);

  test('by default every linear layer but the head', async () => {
    const names = await quantized(UNTIED, null);
    expect(names.length).toBe(14);
    expect(names.every((name) => /layers\.[01]\.(self_attn|mlp)\.\w+_proj\.weight$/.test(name))).toBe(true);
    expect((await quantized(TIED, null)).length).toBe(14);
  });

  test('a list replaces that default: a head that is not in it is quantized', async () => {
    const names = await quantized(UNTIED, ['v_proj']);
    expect(names.length).toBe(13);
    expect(names).toContain('lm_head.weight');
    expect((await quantized(UNTIED, ['v_proj', 'lm_head'])).length).toBe(12);
  });

  test('a tied head is the embedding and cannot be', async () => {
    const error = await rejection(layout(model(TIED), { skipModules: ['v_proj'] }));
    expect(error).toBeInstanceOf(ConfigError);
    expect(error.message).toContain('llm_int8_skip_modules: leaves out lm_head, which is the embedding of this model');
    expect((await quantized(TIED, ['v_proj', 'lm_head'])).length).toBe(12);
  });

  test('nothing left to quantize is a mistake', async () => {
    const error = await rejection(layout(model(UNTIED), { skipModules: ['proj', 'lm_head'] }));
    expect(error.message).toContain('keeps every linear layer, so nothing would be quantized');
  });

  test('sizes are known before', async () => {
    const files = new Map<string, Uint8Array | string>();
    for (const changes of [{}, { doubleQuant: true }, { dtype: 'float16' as const }]) {
      files.clear();
      const { layout: sizes, reader } = await quantizeInto(files, model(UNTIED), changes);
      const source = await openCheckpoint(reader);
      const bytes = (fits: (name: string) => boolean) =>
        source
          .names()
          .filter(fits)
          .reduce((sum, name) => sum + source.info(name).bytes, 0);
      const tables = bytes((name) => /quant_map$|quant_state/.test(name));
      // the offset stands in the record, and counts as four bytes
      const offsets = changes.doubleQuant ? 14 * 4 : 0;
      expect(sizes.bytes).toBe(bytes(() => true) - tables + offsets);
      expect(sizes.spoolBytes).toBe(bytes((name) => /_proj\.weight(\.absmax|\.nested_absmax)?$/.test(name)) + offsets);
    }
  });
});

describe('refusals', () => {
  test('a model that is quantized already, by the tensor or by its config.json', async () => {
    const error = await rejection(layout(model('peft-steps/qlora/base')));
    expect(error).toBeInstanceOf(DataError);
    expect(error.message).toMatch(
      /qlora\/base: is quantized already \(it holds model\.layers\.0\.mlp\.down_proj\.weight in 4 bits\)/,
    );
    const plain = model('formats/llama-untied-f32');
    const config = JSON.parse(await plain.readText('config.json')) as object;
    const weights = new Uint8Array(await plain.size('model.safetensors'));
    await plain.read('model.safetensors', 0, weights);
    const marked = { ...config, quantization_config: { quant_method: 'bitsandbytes', load_in_4bit: true } };
    const files = new Map<string, Uint8Array | string>([
      ['config.json', JSON.stringify(marked)],
      ['model.safetensors', weights],
    ]);
    expect((await rejection(layout(memoryReader(files, 'm')))).message).toContain(
      'm: is quantized already (config.json has a quantization_config). Give the 16-bit model',
    );
  });

  test('a storage type that some weight does not fit', async () => {
    const files = await oddModel();
    await expect(layout(memoryReader(files, 'm'))).resolves.toBeDefined();
    const error = await rejection(layout(memoryReader(files, 'm'), { storage: 'float32' }));
    expect(error).toBeInstanceOf(ConfigError);
    expect(error.message).toContain(
      `bnb_4bit_quant_storage: float32 cannot hold the 18 bytes of model.layers.0.self_attn.k_proj.weight in whole values`,
    );
  });
});

/** A model whose k_proj and v_proj are (6, 6): 18 packed bytes, which four does not divide. */
async function oddModel() {
  const json = {
    architectures: ['LlamaForCausalLM'],
    vocab_size: 8,
    hidden_size: 6,
    intermediate_size: 12,
    num_hidden_layers: 1,
    num_attention_heads: 4,
    num_key_value_heads: 1,
    head_dim: 6,
    tie_word_embeddings: true,
  };
  const files = new Map<string, Uint8Array | string>([['config.json', JSON.stringify(json)]]);
  const config = await readModelConfig(memoryReader(files));
  const tensors = parametersOf(config).map(({ name, shape }) => ({
    name,
    shape,
    dtype: 'F32' as const,
    data: () => [new Uint8Array(4 * shape.reduce((n, size) => n * size, 1))],
  }));
  await writeSafetensors(memoryWriter(files), 'model.safetensors', tensors);
  return files;
}
