/** What an adapter trains beside its LoRA pairs, by PEFT's names; and what PEFT or nibble does not do, refused at once. */
import { describe, expect, test } from 'vitest';
import type { AdapterBase } from '../../src/adapters/base.ts';
import { formatLoraConfig, LORA_DEFAULTS, type LoraConfig } from '../../src/adapters/config.ts';
import { ADAPTER_FILE, type Adapter, checkOwnEmbeddings, openAdapter } from '../../src/adapters/files.ts';
import { adapterCounts, adapterLayout, adapterTensors, KEY_PREFIX } from '../../src/adapters/layout.ts';
import { ConfigError } from '../../src/errors.ts';
import type { TensorSource } from '../../src/formats/checkpoint.ts';
import { openSafetensors } from '../../src/formats/checkpoint.ts';
import { memoryReader, memoryWriter } from '../../src/formats/memory.ts';
import { writeSafetensors } from '../../src/formats/safetensors-write.ts';
import { rejection, thrown } from '../formats/files.ts';

const LAYER = 'model.layers.0.';
const linear = (name: string, out: number, width: number, bias: boolean) =>
  ({ kind: 'linear', name, out, in: width, bias }) as const;
const BASE: AdapterBase = {
  modules: [
    { kind: 'embedding', name: 'model.embed_tokens', out: 32, in: 8 },
    linear(`${LAYER}self_attn.q_proj`, 8, 8, true),
    linear(`${LAYER}self_attn.k_proj`, 4, 8, true),
    linear(`${LAYER}mlp.up_proj`, 12, 8, false),
    { kind: 'norm', name: `${LAYER}input_layernorm`, width: 8 },
    { kind: 'norm', name: 'model.norm', width: 8 },
    linear('lm_head', 32, 8, false),
  ],
  inputEmbedding: 'model.embed_tokens',
  outputEmbedding: 'lm_head',
  tied: false,
  defaultTargets: ['q_proj', 'v_proj'],
};
const TIED = { ...BASE, tied: true };
const config = (changes: Partial<LoraConfig>): LoraConfig => {
  return { ...LORA_DEFAULTS, r: 2, target_modules: ['q_proj'], ...changes };
};
const keysOf = (changes: Partial<LoraConfig>, base = BASE) =>
  adapterTensors(adapterLayout(config(changes), base)).map(({ key }) => key.replace(KEY_PREFIX, '').replace(LAYER, ''));
const tokens = (trainable_token_indices: LoraConfig['trainable_token_indices']) => ({ trainable_token_indices });
const MANY = Array.from({ length: 60 }, (_, id) => id);
const Q = ['self_attn.q_proj.lora_A.weight', 'self_attn.q_proj.lora_B.weight'];

test('a bias of lora_B is the only one of its pair, and rows of tokens are counted once where ends are tied', () => {
  expect(keysOf({ lora_bias: true })).toEqual([...Q, 'self_attn.q_proj.lora_B.bias']);
  const delta = (module: string) => `${module}.token_adapter.trainable_tokens_delta`;
  const ends = tokens({ lm_head: [4], embed_tokens: [1, 2] });
  expect(keysOf(ends)).toEqual([...Q, delta('model.embed_tokens'), delta('lm_head')]);
  expect(keysOf(tokens([1, 2]), TIED)).toEqual([...Q, delta('model.embed_tokens')]);
  expect(keysOf(tokens({ lm_head: [1, 2], 'model.embed_tokens': [1, 2] }), TIED)).toEqual([
    ...Q,
    delta('model.embed_tokens'),
  ]);
  const { trainable, added } = adapterCounts(adapterLayout(config({ ...ends, lora_bias: true }), BASE));
  expect([trainable, added]).toEqual([2 * (8 + 8) + 8 + 3 * 8, 2 * (8 + 8) + 8 + 3 * 8]);
});

describe('keys of the file', () => {
  const cases: [string, Partial<LoraConfig>, string[]][] = [
    ['DoRA', { use_dora: true }, [...Q, 'self_attn.q_proj.lora_magnitude_vector']],
    ['bias all', { bias: 'all' }, [...Q, 'self_attn.q_proj.base_layer.bias', 'self_attn.k_proj.bias']],
    ['bias lora_only', { bias: 'lora_only' }, [...Q, 'self_attn.q_proj.base_layer.bias']],
    [
      'a linear layer trained whole, with its bias',
      { modules_to_save: ['k_proj'], bias: 'lora_only' },
      [...Q, 'self_attn.k_proj.weight', 'self_attn.k_proj.bias', 'self_attn.q_proj.base_layer.bias'],
    ],
    // PEFT compares endings without regard to dots
    ['every norm', { modules_to_save: ['norm'] }, [...Q, 'input_layernorm.weight', 'model.norm.weight']],
    ['a container', { modules_to_save: ['mlp'] }, [...Q, 'mlp.up_proj.weight']],
    [
      'an embedding',
      { target_modules: ['embed_tokens'] },
      ['model.embed_tokens.lora_embedding_A', 'model.embed_tokens.lora_embedding_B'],
    ],
  ];
  test.each(cases)('%s', (_, changes, keys) => {
    expect(keysOf(changes)).toEqual(keys);
  });

  test('a tied embedding is saved under both names, whichever of them was asked for', () => {
    for (const name of ['embed_tokens', 'lm_head']) {
      const keys = keysOf({ modules_to_save: [name], ensure_weight_tying: true }, TIED);
      expect(keys).toEqual([...Q, 'model.embed_tokens.weight', 'lm_head.weight']);
    }
  });

  test('shapes of an embedding: A has a column per token, B a row per hidden channel', () => {
    const tensors = adapterTensors(adapterLayout(config({ target_modules: ['embed_tokens'] }), BASE));
    expect(tensors.map(({ shape }) => shape)).toEqual([
      [2, 32],
      [8, 2],
    ]);
  });
});

test('PEFT counts a copy beside its original, a bias once, a tied copy once', () => {
  const counts = (changes: Partial<LoraConfig>, base = BASE) => adapterCounts(adapterLayout(config(changes), base));
  const pair = 2 * 8 + 8 * 2;
  expect(counts({})).toEqual({ trainable: pair, added: pair });
  expect(counts({ use_dora: true })).toEqual({ trainable: pair + 8, added: pair + 8 });
  expect(counts({ bias: 'all' })).toEqual({ trainable: pair + 12, added: pair });
  expect(counts({ modules_to_save: ['lm_head'] })).toEqual({ trainable: pair + 256, added: pair + 256 });
  const tied = { modules_to_save: ['lm_head'], ensure_weight_tying: true };
  expect(counts(tied, TIED)).toEqual({ trainable: pair + 256, added: pair + 256 });
});

describe('refused by name', () => {
  const cases: [string, Partial<LoraConfig>, AdapterBase, string][] = [
    [
      'one end of a tied embedding',
      { modules_to_save: ['lm_head'] },
      TIED,
      'modules_to_save: trains lm_head, which shares its weight with model.embed_tokens',
    ],
    [
      'tying without an embedding',
      { ensure_weight_tying: true },
      TIED,
      'ensure_weight_tying: is true, but modules_to_save has neither model.embed_tokens nor lm_head',
    ],
    [
      'tying what is not tied',
      { ensure_weight_tying: true },
      BASE,
      'ensure_weight_tying: is true, but this model ties no weights',
    ],
    [
      'a module that is not there',
      { modules_to_save: ['wte'] },
      BASE,
      'modules_to_save: "wte" matches no module. Modules here end in embed_tokens, q_proj, k_proj,',
    ],
    [
      'part of an adapted name',
      { modules_to_save: ['proj'] },
      BASE,
      'modules_to_save: "proj" is part of the name model.layers.0.self_attn.q_proj, which is adapted',
    ],
    [
      'a bias trained twice',
      { modules_to_save: ['k_proj'], bias: 'all' },
      BASE,
      'trains model.layers.0.self_attn.k_proj whole, and bias "all" its bias as well',
    ],
    [
      'DoRA on an embedding',
      { target_modules: ['embed_tokens'], use_dora: true },
      BASE,
      'target_modules: adapts model.embed_tokens with use_dora, which nibble does not support',
    ],
    [
      'a bias of lora_B with DoRA',
      { lora_bias: true, use_dora: true },
      BASE,
      'lora_bias: is true, which PEFT does not have with use_dora. Leave one of the two out.',
    ],
    [
      'a bias of lora_B with another start',
      { lora_bias: true, init_lora_weights: 'gaussian' },
      BASE,
      'lora_bias: is true, which PEFT has with init_lora_weights true or false alone; it is "gaussian"',
    ],
    [
      "a bias of an embedding's pair",
      { lora_bias: true, target_modules: ['embed_tokens'] },
      BASE,
      'lora_bias: is true, and target_modules adapts model.embed_tokens',
    ],
    [
      'a token that the vocabulary does not have',
      tokens([3, 32]),
      BASE,
      'trainable_token_indices: has token 32, and model.embed_tokens has 32 tokens, from 0 to 31. Give ids that it has.',
    ],
    ['a token below 0', tokens([-1]), BASE, 'trainable_token_indices: has token -1, and model.embed_tokens has 32'],
    [
      'a token twice',
      tokens([3, 4, 3]),
      BASE,
      'trainable_token_indices: has token 3 more than once for model.embed_tokens',
    ],
    ['no token', tokens([]), BASE, 'trainable_token_indices: has no token for model.embed_tokens'],
    ['no module', tokens({}), BASE, 'trainable_token_indices: names no module'],
    [
      'tokens of a layer',
      tokens({ q_proj: [1] }),
      BASE,
      'trainable_token_indices: names "q_proj"; tokens can be trained of embed_tokens and lm_head.',
    ],
    [
      'tokens of what is trained whole',
      { ...tokens([1]), modules_to_save: ['embed_tokens'] },
      BASE,
      'trainable_token_indices: trains tokens of model.embed_tokens, which modules_to_save trains whole',
    ],
    [
      'tokens of what is trained whole by a part of its name',
      { ...tokens([1]), modules_to_save: ['tokens'] },
      BASE,
      'trainable_token_indices: trains tokens of model.embed_tokens, which modules_to_save trains whole',
    ],
    [
      'tokens of what is trained whole by the other tied end',
      { ...tokens([1]), modules_to_save: ['lm_head'], ensure_weight_tying: true },
      TIED,
      'trainable_token_indices: trains tokens of model.embed_tokens, which modules_to_save trains whole',
    ],
    [
      'one embedding by two names',
      tokens({ embed_tokens: [1], 'model.embed_tokens': [2] }),
      BASE,
      'trainable_token_indices: names model.embed_tokens twice, as embed_tokens and in full. Give one list for it.',
    ],
    [
      'a tied embedding by two names',
      tokens({ embed_tokens: [1], 'model.embed_tokens': [2] }),
      TIED,
      'trainable_token_indices: names model.embed_tokens twice',
    ],
    [
      'tokens of what is adapted',
      { ...tokens({ lm_head: [1] }), target_modules: ['lm_head'] },
      BASE,
      'trainable_token_indices: trains tokens of lm_head, which target_modules adapts',
    ],
    [
      'tokens of one tied end',
      tokens({ lm_head: [1] }),
      TIED,
      'trains tokens of lm_head alone, whose weight is that of model.embed_tokens, too: that would untie the two. Name embed_tokens',
    ],
    [
      'other tokens of the other tied end',
      tokens({ embed_tokens: [1], lm_head: [2] }),
      TIED,
      'has other tokens for lm_head than for model.embed_tokens, whose weights are one',
    ],
    [
      'another token at the end of a long list of the other tied end',
      // beyond what messages show of a list
      tokens({ embed_tokens: [...MANY, 90], lm_head: [...MANY, 91] }),
      { ...TIED, modules: TIED.modules.map((one) => ('out' in one && one.out === 32 ? { ...one, out: 100 } : one)) },
      'has other tokens for lm_head than for model.embed_tokens, whose weights are one',
    ],
  ];
  test.each(cases)('%s', (_, changes, base, message) => {
    const error = thrown(() => adapterLayout(config(changes), base));
    expect(error).toBeInstanceOf(ConfigError);
    expect(error.message).toContain(message);
  });

  test('an adapter that exists is refused only for what nibble cannot do', () => {
    const lax = (changes: Partial<LoraConfig>, base: AdapterBase) =>
      adapterLayout(config(changes), base, { strict: false }).trained;
    expect(lax({ ensure_weight_tying: true }, TIED)).toEqual([]);
    expect(lax({ ensure_weight_tying: true }, BASE)).toEqual([]);
    expect(lax({ modules_to_save: ['wte'] }, BASE)).toEqual([]);
    expect(thrown(() => lax({ modules_to_save: ['lm_head'] }, TIED)).message).toContain('would untie the two');
    expect(thrown(() => lax({ modules_to_save: ['proj'] }, BASE)).message).toContain('is part of the name');
  });

  test('all problems at once', () => {
    const both = { modules_to_save: ['wte', 'lm_head'], target_modules: ['embed_tokens'], use_dora: true };
    expect(thrown(() => adapterLayout(config(both), BASE)).message.split('\n').length).toBe(2);
  });
});

/** Makes a file of zeros under these names, and of ones under the names in `ones`. */
async function stored(shapes: Readonly<Record<string, readonly number[]>>, filled = ''): Promise<Uint8Array> {
  const files = new Map<string, Uint8Array>();
  const tensors = Object.entries(shapes).map(([name, shape]) => {
    const values = new Float32Array(shape.reduce((n, size) => n * size, 1)).fill(name === filled ? 1 : 0);
    return { name, dtype: 'F32' as const, shape, data: () => [new Uint8Array(values.buffer)] };
  });
  await writeSafetensors(memoryWriter(files), 'x', tensors);
  return files.get('x') as Uint8Array;
}

const directory = (settings: LoraConfig, tensors: Uint8Array) =>
  memoryReader(
    new Map<string, Uint8Array | string>([
      ['adapter_config.json', formatLoraConfig(settings)],
      [ADAPTER_FILE, tensors],
    ]),
    'a',
  );

test('an adapter lists every missing, foreign and misshapen tensor of all kinds at once', async () => {
  const settings = config({ use_dora: true, bias: 'lora_only', modules_to_save: ['model.norm', 'lm_head'] });
  const found = {
    [`${KEY_PREFIX}${LAYER}self_attn.q_proj.lora_A.weight`]: [2, 8],
    [`${KEY_PREFIX}${LAYER}self_attn.q_proj.lora_B.weight`]: [8, 2],
    [`${KEY_PREFIX}lm_head.weight`]: [33, 8],
    [`${KEY_PREFIX}${LAYER}self_attn.k_proj.bias`]: [4],
  };
  const error = await rejection(openAdapter(directory(settings, await stored(found)), BASE));
  expect(error.message.split('\n').slice(1)).toEqual([
    `  ${KEY_PREFIX}${LAYER}self_attn.q_proj.lora_magnitude_vector is missing, needs [8]`,
    `  ${KEY_PREFIX}model.norm.weight is missing, needs [8]`,
    `  ${KEY_PREFIX}${LAYER}self_attn.q_proj.base_layer.bias is missing, needs [8]`,
    `  ${KEY_PREFIX}lm_head.weight is [33,8], needs [32,8]`,
    `  ${KEY_PREFIX}${LAYER}self_attn.k_proj.bias belongs to no adapted layer of this model`,
  ]);
});

describe('an embedding that an adapter brings along has to equal that of the base', () => {
  const heads = { [`${KEY_PREFIX}lm_head.lora_A.weight`]: [2, 8], [`${KEY_PREFIX}lm_head.lora_B.weight`]: [32, 2] };
  const queries = {
    [`${KEY_PREFIX}${LAYER}self_attn.q_proj.lora_A.weight`]: [2, 8],
    [`${KEY_PREFIX}${LAYER}self_attn.q_proj.lora_B.weight`]: [8, 2],
  };
  const weights = async (...names: string[]): Promise<TensorSource> => {
    const tensors = await stored(Object.fromEntries(names.map((name) => [name, [32, 8]])));
    return openSafetensors(memoryReader(new Map([['model.safetensors', tensors]])), 'model.safetensors');
  };
  const cases: [string, AdapterBase, string, string[], Record<string, number[]>, string][] = [
    ['of an adapted head', BASE, 'lm_head', ['lm_head.weight'], heads, 'lm_head.base_layer.weight'],
    // as save_embedding_layers=True writes them, and a resized vocabulary
    ['of a head', BASE, 'q_proj', ['lm_head.weight'], queries, 'lm_head.weight'],
    ['of an embedding', BASE, 'q_proj', ['model.embed_tokens.weight'], queries, 'model.embed_tokens.weight'],
    ['of a tied head', TIED, 'q_proj', ['model.embed_tokens.weight'], queries, 'lm_head.weight'],
  ];
  test.each(cases)('%s', async (_, base, target, names, shapes, key) => {
    const own = `${KEY_PREFIX}${key}`;
    const open = async (tensors: Uint8Array): Promise<Adapter> =>
      openAdapter(directory(config({ target_modules: [target] }), tensors), base);
    const model = await weights(...names);
    await checkOwnEmbeddings(await open(await stored(shapes)), model);
    await checkOwnEmbeddings(await open(await stored({ ...shapes, [own]: [32, 8] })), model);
    const other = await open(await stored({ ...shapes, [own]: [32, 8] }, own));
    expect((await rejection(checkOwnEmbeddings(other, model))).message).toContain(
      `a/${ADAPTER_FILE}: ${own}[0] is 1, the base has 0: the adapter was trained on another embedding.`,
    );
    const larger = await rejection(open(await stored({ ...shapes, [own]: [33, 8] })));
    expect(larger.message).toContain(`${own} is [33,8], needs [32,8]`);
  });

  test('a trained embedding may differ from that of the base', async () => {
    const settings = config({ modules_to_save: ['lm_head'] });
    const own = `${KEY_PREFIX}lm_head.weight`;
    const adapter = await openAdapter(directory(settings, await stored({ ...queries, [own]: [32, 8] }, own)), BASE);
    await checkOwnEmbeddings(adapter, await weights('lm_head.weight'));
  });
});
