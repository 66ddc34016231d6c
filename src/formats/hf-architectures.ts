/**
 * The architectures nibble can read, and what their config.json fields mean. What a file leaves out has the default of
 * transformers' config class (5.23); fields that a row does not name mean nothing in its architecture.
 */
import type { Fields } from './fields.ts';
import type { JsonObject } from './json.ts';
import type { RopeType } from './rope-config.ts';

const LAYER_TYPES = ['full_attention', 'sliding_attention'] as const;
export type LayerType = (typeof LAYER_TYPES)[number];
export type Activation = 'silu' | 'gelu_pytorch_tanh';

/** Fields that say how layers differ from each other. */
export type LayerFields = {
  /** Keys that a query of a sliding_attention layer sees, itself among them; null where there is no such layer. */
  readonly sliding_window: number | null;
  /** One for each layer. */
  readonly layer_types: readonly LayerType[];
  /** 1 where a layer rotates q and k, 0 where it does not: one for each layer, named as Hugging Face names it. */
  readonly no_rope_layers: readonly (0 | 1)[];
};

export type ConfigRow = {
  readonly model_type: string;
  /** Values of fields that a file leaves out; null for those derived from other fields. */
  readonly defaults: JsonObject;
  /** The activation that each value of hidden_act means. */
  readonly activations: Readonly<Record<string, Activation>>;
  readonly layers: (fields: Fields, count: number) => LayerFields;
  /** The supported rope types, where not all of ROPE_TYPES are. */
  readonly ropeTypes?: readonly RopeType[];
  /** Fields of which one value is supported, and that value. */
  readonly only?: Readonly<Record<string, unknown>>;
};

const LLAMA: ConfigRow = {
  model_type: 'llama',
  defaults: {
    num_key_value_heads: null,
    head_dim: null,
    hidden_act: 'silu',
    max_position_embeddings: 2048,
    rms_norm_eps: 1e-6,
    rope_theta: 10_000,
    tie_word_embeddings: false,
    initializer_range: 0.02,
    bos_token_id: 1,
    eos_token_id: 2,
    pad_token_id: null,
    attention_bias: false,
    mlp_bias: false,
  },
  // two names of one function
  activations: { silu: 'silu', swish: 'silu' },
  layers: fullAttention,
};

const { attention_bias: _, mlp_bias: __, ...NO_BIASES } = LLAMA.defaults;

const QWEN2: ConfigRow = {
  ...LLAMA,
  model_type: 'qwen2',
  defaults: {
    ...NO_BIASES,
    num_key_value_heads: 32,
    max_position_embeddings: 32_768,
    bos_token_id: null,
    eos_token_id: null,
    use_sliding_window: false,
    sliding_window: 4096,
    max_window_layers: 28,
  },
  layers: slidingFromLayer,
};

export const CONFIG_ROWS = {
  LlamaForCausalLM: LLAMA,
  MistralForCausalLM: {
    ...LLAMA,
    model_type: 'mistral',
    defaults: { ...NO_BIASES, num_key_value_heads: 8, max_position_embeddings: 131_072, sliding_window: 4096 },
    layers: slidingEverywhere,
  },
  Qwen2ForCausalLM: QWEN2,
  Qwen3ForCausalLM: {
    ...QWEN2,
    model_type: 'qwen3',
    defaults: { ...QWEN2.defaults, head_dim: 128, attention_bias: false },
  },
  GemmaForCausalLM: {
    ...LLAMA,
    model_type: 'gemma',
    defaults: {
      ...NO_BIASES,
      num_key_value_heads: 16,
      head_dim: 256,
      hidden_act: 'gelu_pytorch_tanh',
      max_position_embeddings: 8192,
      tie_word_embeddings: true,
      bos_token_id: 2,
      eos_token_id: 1,
      pad_token_id: 0,
      attention_bias: false,
    },
    // the first Gemma files say gelu and mean its tanh form
    activations: { gelu_pytorch_tanh: 'gelu_pytorch_tanh', gelu: 'gelu_pytorch_tanh' },
    only: { hidden_activation: 'gelu_pytorch_tanh', use_bidirectional_attention: false },
  },
  Phi3ForCausalLM: {
    ...LLAMA,
    model_type: 'phi3',
    defaults: {
      ...NO_BIASES,
      max_position_embeddings: 4096,
      rms_norm_eps: 1e-5,
      eos_token_id: 32_000,
      pad_token_id: 32_000,
    },
    layers: slidingEverywhere,
    ropeTypes: ['default'], // what Phi-3 calls yarn is longrope
    only: { resid_pdrop: 0 },
  },
  SmolLM3ForCausalLM: {
    ...LLAMA,
    model_type: 'smollm3',
    defaults: {
      ...LLAMA.defaults,
      num_key_value_heads: 4,
      max_position_embeddings: 32_768,
      rope_theta: 2_000_000,
      tie_word_embeddings: true,
      bos_token_id: 128_000,
      eos_token_id: 128_001,
      pad_token_id: 128_004,
      use_sliding_window: false,
      sliding_window: null,
      no_rope_layer_interval: 4,
    },
    layers: someWithoutRope,
  },
  Olmo2ForCausalLM: {
    ...LLAMA,
    model_type: 'olmo2',
    defaults: {
      ...NO_BIASES,
      rms_norm_eps: 1e-5,
      bos_token_id: null,
      eos_token_id: 50_279,
      pad_token_id: 1,
      attention_bias: false,
    },
  },
} as const satisfies Record<string, ConfigRow>;

export type ArchitectureName = keyof typeof CONFIG_ROWS;
export const ARCHITECTURES = Object.keys(CONFIG_ROWS) as ArchitectureName[];

function fullAttention(_: Fields, count: number): LayerFields {
  return alike(count, null);
}

/** Every layer has the window, where there is one. */
function slidingEverywhere(fields: Fields, count: number): LayerFields {
  return alike(count, fields.countOrNull('sliding_window'));
}

function alike(count: number, sliding_window: number | null): LayerFields {
  const type = sliding_window === null ? 'full_attention' : 'sliding_attention';
  return { sliding_window, layer_types: Array(count).fill(type), no_rope_layers: Array(count).fill(1) };
}

/** `layer_types` say which layers have the window, or `max_window_layers` from where on they do. */
function slidingFromLayer(fields: Fields, count: number): LayerFields {
  const from = fields.number('max_window_layers', count);
  return { ...windows(fields, count, (i) => i >= from), no_rope_layers: Array(count).fill(1) };
}

/** `no_rope_layers` say which layers rotate q and k, or every one but each `no_rope_layer_interval`th does. */
function someWithoutRope(fields: Fields, count: number): LayerFields {
  const interval = fields.count('no_rope_layer_interval');
  const rotates = (_: unknown, i: number) => ((i + 1) % interval === 0 ? 0 : 1);
  const no_rope_layers = fields.list('no_rope_layers', count, [0, 1]) ?? Array.from({ length: count }, rotates);
  return { ...windows(fields, count, (i) => no_rope_layers[i] === 0), no_rope_layers };
}

/** @param slides which layers have the window where `layer_types` does not say */
function windows(fields: Fields, count: number, slides: (i: number) => boolean) {
  const sliding_window = fields.flag('use_sliding_window', false) ? fields.countOrNull('sliding_window') : null;
  const typeOf = (_: unknown, i: number): LayerType =>
    sliding_window !== null && slides(i) ? 'sliding_attention' : 'full_attention';
  const layer_types = fields.list('layer_types', count, LAYER_TYPES) ?? Array.from({ length: count }, typeOf);
  if (sliding_window === null && layer_types.includes('sliding_attention')) {
    fields.report(
      'layer_types',
      'names sliding_attention, but use_sliding_window is false or there is no sliding_window.',
    );
  }
  return { sliding_window, layer_types };
}
