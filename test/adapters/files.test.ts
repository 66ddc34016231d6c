import { describe, expect, test } from 'vitest';
import type { AdapterBase } from '../../src/adapters/base.ts';
import { formatLoraConfig, LORA_DEFAULTS, parseLoraConfig, readLoraConfig } from '../../src/adapters/config.ts';
import { ADAPTER_FILE, openAdapter, saveAdapter, trainableParametersLine } from '../../src/adapters/files.ts';
import { adapterLayout, adapterTensors } from '../../src/adapters/layout.ts';
import { ConfigError, DataError } from '../../src/errors.ts';
import { readFloats } from '../../src/formats/checkpoint.ts';
import { memoryReader, memoryWriter } from '../../src/formats/memory.ts';
import { goldenBytes, goldenDirectory, goldenJson, rejection, thrown } from '../formats/files.ts';

const golden = goldenJson<{
  trainable: number;
  all: number;
  tensors: Record<string, { shape: number[]; first: number[] }>;
}>('adapter.json');
const LAYER = 'model.layers.0.';
const linear = (name: string, out: number, width: number) =>
  ({ kind: 'linear', name, out, in: width, bias: false }) as const;
const BASE: AdapterBase = {
  modules: [
    { kind: 'embedding', name: 'model.embed_tokens', out: 32, in: 16 },
    linear(`${LAYER}self_attn.q_proj`, 16, 16),
    linear(`${LAYER}self_attn.k_proj`, 8, 16),
    linear(`${LAYER}mlp.down_proj`, 16, 24),
    { kind: 'norm', name: 'model.norm', width: 16 },
    linear('lm_head', 32, 16),
  ],
  inputEmbedding: 'model.embed_tokens',
  outputEmbedding: 'lm_head',
  tied: false,
  defaultTargets: ['q_proj', 'v_proj'],
};
const configText = new TextDecoder().decode(goldenBytes('adapter/adapter_config.json'));
const goldenConfig = JSON.parse(configText) as Record<string, unknown>;

test('an adapter saved by PEFT: ranks by pattern, names, shapes and values', async () => {
  const { config, layout, source } = await openAdapter(goldenDirectory('adapter'), BASE);
  expect(config).toMatchObject({
    r: 4,
    lora_alpha: 8,
    lora_dropout: 0,
    task_type: 'CAUSAL_LM',
    rank_pattern: { down_proj: 2 },
  });
  expect(layout.targets.map(({ rank, scaling }) => [rank, scaling])).toEqual([
    [4, 2],
    [2, 4],
  ]);
  expect(
    adapterTensors(layout)
      .map(({ key }) => key)
      .sort(),
  ).toEqual(Object.keys(golden.tensors));
  for (const [name, { shape, first }] of Object.entries(golden.tensors)) {
    expect(source.info(name).shape).toEqual(shape);
    expect([...(await readFloats(source, name)).subarray(0, 3)]).toEqual(first);
  }
});

test('read and saved again, the tensors are the same file and the config says the same', async () => {
  const { config, layout, source } = await openAdapter(goldenDirectory('adapter'), BASE);
  const files = new Map<string, Uint8Array>();
  await saveAdapter(memoryWriter(files), {
    config,
    layout,
    base: BASE,
    source: null,
    values: (name) => readFloats(source, `base_model.model.${name}`),
  });
  expect([...files.keys()]).toEqual([ADAPTER_FILE, 'adapter_config.json', 'README.md']);
  expect(files.get(ADAPTER_FILE)).toEqual(goldenBytes(`adapter/${ADAPTER_FILE}`));
  const text = new TextDecoder().decode(files.get('adapter_config.json'));
  // every key PEFT 0.21 wrote, known to nibble or not, with its value, in the same order and indentation
  expect(text.trimEnd()).toBe(configText.trimEnd().replace('"lora_dropout": 0.0', '"lora_dropout": 0'));
  expect(new TextDecoder().decode(files.get('README.md'))).toContain('Rank 4, alpha 8, dropout 0, on');
});

test('keys that nibble has no use for are written as they were read, numbers as they were spelled', async () => {
  const kept = [
    '  "auto_mapping": {\n    "base_model_class": "LlamaForCausalLM",\n    "parent_library": "transformers.models.llama"\n  }',
    '  "invented": {\n    "deep": [\n      {\n        "one": 1.0,\n        "small": 1e-05\n      },\n      "2.0",\n      -0.50\n    ]\n  }',
    '  "invented_id": 12345678901234567890',
    '  "loftq_config": {\n    "loftq_bits": 4\n  }',
    '  "megatron_core": "elsewhere"',
  ];
  const text = configText.replace(/^ {2}"(auto_mapping|loftq_config|megatron_core)": .*\n/gm, '');
  const files = new Map([['adapter_config.json', text.replace('{', `{\n${kept.join(',\n')},`)]]);
  const written = formatLoraConfig(await readLoraConfig(memoryReader(files)));
  for (const entry of kept) expect(written).toContain(entry);
  expect(JSON.parse(written)).toEqual(JSON.parse(files.get('adapter_config.json') as string));
});

test('all-linear is saved as a list', async () => {
  const config = { ...LORA_DEFAULTS, target_modules: 'all-linear', layers_pattern: 'layers' };
  const files = new Map<string, Uint8Array>();
  const layout = adapterLayout({ ...config, layers_pattern: null }, BASE);
  const shapes = new Map(adapterTensors(layout).map(({ name, shape }) => [name, shape]));
  const values = (name: string) => new Float32Array(shapes.get(name)!.reduce((a, b) => a * b));
  await saveAdapter(memoryWriter(files), { config, layout, base: BASE, source: null, values });
  const saved = await readLoraConfig(memoryReader(files));
  expect(saved.target_modules).toEqual(['q_proj', 'k_proj', 'down_proj']);
  expect(saved.layers_pattern).toBeNull();
});

test('what adapter_config.json leaves out takes the defaults of PEFT, and only the long-standing keys are written', () => {
  const config = parseLoraConfig({ peft_type: 'LORA' });
  expect(config).toEqual(LORA_DEFAULTS);
  const written = JSON.parse(formatLoraConfig(config)) as Record<string, unknown>;
  const keys = Object.keys(written);
  expect(keys).toEqual([...keys].sort());
  expect(keys.length).toBe(26);
  for (const [key, value] of Object.entries(written)) {
    if (!['r', 'lora_alpha', 'target_modules', 'rank_pattern', 'task_type'].includes(key))
      expect(value, key).toEqual(goldenConfig[key]);
  }
});

describe('settings nibble cannot follow are refused by name', () => {
  const cases: Record<string, [object, string]> = {
    'another method': [{ peft_type: 'IA3' }, 'peft_type: is "IA3"; supported is "LORA"'],
    bias: [{ bias: 'some' }, 'bias: is "some"; supported are "none", "all" and "lora_only"'],
    'a bias of lora_B that is no flag': [{ lora_bias: 1 }, 'lora_bias: is 1, needs true or false'],
    'tokens that are no ids': [
      { trainable_token_indices: [-1] },
      'trainable_token_indices: is [-1], needs a list of token ids from 0, a list of them for each module, or null.',
    ],
    'tokens of a module that are no list': [
      { trainable_token_indices: { embed_tokens: 3 } },
      'trainable_token_indices: is {"embed_tokens":3}, needs a list',
    ],
    PiSSA: [{ init_lora_weights: 'pissa' }, 'init_lora_weights: is "pissa", which changes the weights of the base too'],
    'PiSSA by iterations': [
      { init_lora_weights: 'pissa_niter_4' },
      'init_lora_weights: is "pissa_niter_4", which changes',
    ],
    OLoRA: [{ init_lora_weights: 'olora' }, 'init_lora_weights: is "olora", which changes the weights of the base too'],
    LoftQ: [
      { init_lora_weights: 'loftq' },
      'init_lora_weights: is "loftq", which belongs to a base that LoftQ quantized',
    ],
    MiCA: [{ init_lora_weights: 'mica' }, 'init_lora_weights: is "mica", which trains lora_A alone'],
    'an unknown start': [
      { init_lora_weights: 'evo' },
      'init_lora_weights: is "evo"; supported are true, false, "gaussian", "eva", "orthogonal".',
    ],
    'rank of 0': [{ r: 0 }, 'r: is 0, needs a whole number of at least 1'],
    'dropout of 1': [{ lora_dropout: 1 }, 'lora_dropout: is 1, needs a number of at least 0 and below 1'],
    'rank pattern': [{ rank_pattern: { q: 1.5 } }, 'rank_pattern.q: is 1.5'],
    'targets of another type': [
      { target_modules: [1] },
      'target_modules: is [1], needs a string, a list of strings, or null',
    ],
    layers: [{ layers_to_transform: ['0'] }, 'layers_to_transform: is ["0"]'],
  };
  for (const [name, [change, message]] of Object.entries(cases)) {
    test(name, () => {
      const error = thrown(() => parseLoraConfig({ ...goldenConfig, ...change }, 'a/adapter_config.json'));
      expect(error).toBeInstanceOf(ConfigError);
      expect(error.message).toContain(`a/adapter_config.json: ${message}`);
    });
  }
});

test.each(['gaussian', 'eva', 'orthogonal'])(
  'how an adapter was started is history where the base is as it was: %s',
  (init) => {
    const written = formatLoraConfig(parseLoraConfig({ ...goldenConfig, init_lora_weights: init }));
    expect(JSON.parse(written)).toEqual({ ...goldenConfig, init_lora_weights: init });
  },
);

describe('an adapter of another model', () => {
  const adapter = (change: object = {}) =>
    memoryReader(
      new Map<string, Uint8Array | string>([
        ['adapter_config.json', JSON.stringify({ ...goldenConfig, ...change })],
        [ADAPTER_FILE, goldenBytes(`adapter/${ADAPTER_FILE}`)],
      ]),
      'a',
    );

  test('every tensor that does not fit is listed at once', async () => {
    const error = await rejection(
      openAdapter(adapter({ rank_pattern: {}, target_modules: ['k_proj', 'down_proj'] }), BASE),
    );
    expect(error).toBeInstanceOf(DataError);
    const name = (module: string, half: string) => `base_model.model.${LAYER}${module}.lora_${half}.weight`;
    expect(error.message.split('\n').slice(1)).toEqual([
      `  ${name('self_attn.k_proj', 'A')} is missing, needs [4,16]`,
      `  ${name('self_attn.k_proj', 'B')} is missing, needs [8,4]`,
      `  ${name('mlp.down_proj', 'A')} is [2,24], needs [4,24]`,
      `  ${name('mlp.down_proj', 'B')} is [16,2], needs [16,4]`,
      `  ${name('self_attn.q_proj', 'A')} belongs to no adapted layer of this model`,
      `  ${name('self_attn.q_proj', 'B')} belongs to no adapted layer of this model`,
    ]);
    expect(error.message).toContain('6 tensors do not fit');
  });

  test('where no name matches, every tensor is listed too, and what there is to adapt', async () => {
    const error = await rejection(openAdapter(adapter({ target_modules: ['qkv_proj', 'gate_up_proj'] }), BASE));
    expect(error).toBeInstanceOf(DataError);
    expect(error.message.split('\n')).toEqual([
      `a/${ADAPTER_FILE}: 4 tensors do not fit the model: target_modules ["qkv_proj","gate_up_proj"] of adapter_config.json, ` +
        'after exclude_modules, modules_to_save and layers_to_transform, matches no layer. Linear layers here end in q_proj, ' +
        'k_proj, down_proj, lm_head, the embedding in embed_tokens. Was the adapter trained on another base?',
      ...Object.keys(golden.tensors).map((name) => `  ${name} belongs to no adapted layer of this model`),
    ]);
  });

  test('entries without effect are passed over, as long as something matches', async () => {
    const stray = {
      target_modules: ['q_proj', 'down_proj', 'wq'],
      modules_to_save: ['wte'],
      ensure_weight_tying: true,
    };
    for (const tied of [true, false])
      expect((await openAdapter(adapter(stray), { ...BASE, tied })).layout.targets.length).toBe(2);
  });
});

describe('an adapter that is not there as safetensors', () => {
  const opened = (files: Readonly<Record<string, string>>) =>
    rejection(
      openAdapter(memoryReader(new Map(Object.entries({ 'adapter_config.json': configText, ...files })), 'a'), BASE),
    );

  test.each(['adapter_model.bin', 'adapter_model.pt', 'w.pth', 'adapter.ckpt'])('a pickle: %s', async (file) => {
    const { message } = await opened({ [file]: 'x', 'training_args.bin': 'x' });
    expect(message).toContain(`a/${file}: is a pickle, which runs code when it is loaded and is refused.`);
    expect(message).toContain('Save the adapter as adapter_model.safetensors');
  });

  test('nothing, or what Trainer leaves', async () => {
    for (const files of [{}, { 'training_args.bin': 'x', 'optimizer.pt': 'x', 'rng_state_0.pth': 'x' }])
      expect((await opened(files)).message).toContain(`${ADAPTER_FILE}: no such file`);
    expect((await rejection(openAdapter(memoryReader(new Map()), BASE))).message).toContain('no such file');
  });
});

test('trainableParametersLine is the line of PEFT', () => {
  expect(trainableParametersLine(9248, 141152)).toBe(
    'trainable params: 9,248 || all params: 141,152 || trainable%: 6.5518',
  );
  expect(trainableParametersLine(golden.trainable, golden.all)).toBe(
    'trainable params: 208 || all params: 3,200 || trainable%: 6.5000',
  );
  expect(trainableParametersLine(159_907_840, 6_898_323_456)).toContain(
    '159,907,840 || all params: 6,898,323,456 || trainable%: 2.3181',
  );
  // 0.03125 and 0.09375 lie halfway; Python's format goes to the even digit
  expect(trainableParametersLine(1, 3200)).toContain('trainable%: 0.0312');
  expect(trainableParametersLine(3, 3200)).toContain('trainable%: 0.0938');
});
