/** f64 forward of a whole decoder, composed of the references of its kernels: the loss whose differences are its gradients. */
import type { ModelConfig } from '../../src/formats/hf-config.ts';
import { ropeTables } from '../../src/formats/rope.ts';
import { attentionFwdRef } from './attention.ts';
import type { Vec } from './compare.ts';
import { addFwdRef, gegluFwdRef, splitFwdRef, swigluFwdRef } from './elementwise.ts';
import { embeddingFwdRef } from './embedding.ts';
import { biasFwdRef, linearFwdRef } from './linear.ts';
import { rmsnormFwdRef } from './rmsnorm.ts';
import { ropeFwdRef } from './rope.ts';
import { IGNORED, xentFwdRef } from './xent.ts';

/** Weights and biases by checkpoint name. A tied head reads the embedding. */
export type Weights = ReadonlyMap<string, Vec>;
export type Batch = { readonly B: number; readonly S: number; readonly ids: Vec };

/**
 * Logits (B*S, V). What the modules of a layer are is read off the weights: a bias, a norm of q and k, or fused
 * projections are where the checkpoint has them. Gemma's constants are the only ones that go by the architecture.
 */
export function decoderLogitsRef(config: ModelConfig, weights: Weights, batch: Batch): Float64Array {
  const { hidden_size: C, vocab_size: V } = config;
  const T = batch.B * batch.S;
  const scale = config.architecture === 'GemmaForCausalLM' ? Math.sqrt(C) : 1;
  let h: Vec = embeddingFwdRef(batch.ids, tensor(weights, 'model.embed_tokens.weight'), T, C, scale);
  for (let i = 0; i < config.num_hidden_layers; i++) h = new LayerRef(config, weights, batch, i).forward(h);
  const head = tensor(weights, config.tie_word_embeddings ? 'model.embed_tokens.weight' : 'lm_head.weight');
  return linearFwdRef(normRef(config, weights, 'model.norm', h), head, T, V, C);
}

/** Mean cross-entropy over the labels (B*S, shifted already) that count. */
export function decoderLossRef(config: ModelConfig, weights: Weights, batch: Batch, labels: Vec): number {
  const T = batch.B * batch.S;
  const losses = xentFwdRef(decoderLogitsRef(config, weights, batch), labels, T, config.vocab_size);
  let counted = 0;
  for (let t = 0; t < T; t++) if (labels[t] !== IGNORED) counted++;
  return losses.reduce((sum, l) => sum + l, 0) / counted;
}

function tensor(weights: Weights, name: string): Vec {
  const found = weights.get(name);
  if (found === undefined) throw new Error(`no tensor ${name}`);
  return found;
}

/** RMSNorm of rows as long as the weight. */
function normRef(config: ModelConfig, weights: Weights, module: string, x: Vec): Vec {
  const w = tensor(weights, `${module}.weight`);
  const offset = config.architecture === 'GemmaForCausalLM' ? 1 : 0;
  return rmsnormFwdRef(x, w, x.length / w.length, w.length, config.rms_norm_eps, offset).y;
}

class LayerRef {
  readonly config: ModelConfig;
  readonly weights: Weights;
  readonly batch: Batch;
  readonly i: number;
  readonly T: number;

  constructor(config: ModelConfig, weights: Weights, batch: Batch, i: number) {
    [this.config, this.weights, this.batch, this.i] = [config, weights, batch, i];
    this.T = batch.B * batch.S;
  }

  forward(x: Vec): Vec {
    if (this.has('post_feedforward_layernorm')) return this.forwardPostNorm(x);
    const h = addFwdRef(x, this.attention(this.norm('input_layernorm', x)));
    return addFwdRef(h, this.mlp(this.norm('post_attention_layernorm', h)));
  }

  forwardPostNorm(x: Vec): Vec {
    const h = addFwdRef(x, this.norm('post_attention_layernorm', this.attention(x)));
    return addFwdRef(h, this.norm('post_feedforward_layernorm', this.mlp(h)));
  }

  attention(x: Vec): Vec {
    const {
      num_attention_heads: H,
      num_key_value_heads: K,
      head_dim: D,
      layer_types,
      sliding_window,
      no_rope_layers,
    } = this.config;
    const [q, k, v] = this.parts(
      'self_attn.qkv_proj',
      ['self_attn.q_proj', 'self_attn.k_proj', 'self_attn.v_proj'],
      x,
      [H * D, K * D, K * D],
    );
    const rope = { T: this.T, S: this.batch.S, D, ...ropeTables(this.config, this.batch.S) };
    const turned = (part: Vec, name: string, heads: number) => {
      const normed = this.has(name) ? this.norm(name, part) : part;
      return no_rope_layers[this.i] === 1 ? ropeFwdRef(normed, { ...rope, heads }) : normed;
    };
    const window = layer_types[this.i] === 'sliding_attention' ? sliding_window : null;
    const { B, S } = this.batch;
    const shape = { B, S, H, K, D, window, scale: D ** -0.5 };
    const { o } = attentionFwdRef(shape, turned(q, 'self_attn.q_norm', H), turned(k, 'self_attn.k_norm', K), v);
    return this.linear('self_attn.o_proj', o);
  }

  mlp(x: Vec): Vec {
    const F = this.config.intermediate_size;
    const [gate, up] = this.parts('mlp.gate_up_proj', ['mlp.gate_proj', 'mlp.up_proj'], x, [F, F]);
    const gated = this.config.hidden_act === 'silu' ? swigluFwdRef : gegluFwdRef;
    return this.linear('mlp.down_proj', gated(gate, up));
  }

  /** The outputs of several projections, or the parts of the fused one where there is such a one. */
  parts<const W extends readonly number[]>(
    fused: string,
    single: string[],
    x: Vec,
    widths: W,
  ): { [i in keyof W]: Vec } {
    if (!this.has(fused)) return single.map((name) => this.linear(name, x)) as { [i in keyof W]: Vec };
    const width = widths.reduce((sum, n) => sum + n, 0);
    const y = this.linear(fused, x);
    return widths.map((columns, i) => {
      const first = widths.slice(0, i).reduce((sum, n) => sum + n, 0);
      return splitFwdRef(y, { T: this.T, width, first, columns });
    }) as { [i in keyof W]: Vec };
  }

  linear(name: string, x: Vec): Vec {
    const w = tensor(this.weights, this.full(`${name}.weight`));
    const K = x.length / this.T;
    const y = linearFwdRef(x, w, this.T, w.length / K, K);
    const bias = this.weights.get(this.full(`${name}.bias`));
    return bias === undefined ? y : biasFwdRef(y, bias);
  }

  norm(name: string, x: Vec): Vec {
    return normRef(this.config, this.weights, this.full(name), x);
  }

  has(module: string): boolean {
    return this.weights.has(this.full(`${module}.weight`));
  }

  full(name: string): string {
    return `model.layers.${this.i}.${name}`;
  }
}
