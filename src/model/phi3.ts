/** Phi-3 (transformers' Phi3ForCausalLM): Llama with q, k, v in one projection, and gate and up in one. */
import type { ModelConfig } from '../formats/hf-config.ts';
import type { Module } from '../formats/modules.ts';
import { attend, gateAndProject, matrix, preNorm, preNormModules, projectionRows, type SubLayer } from './blocks.ts';
import type { Architecture } from './model.ts';
import { splitColumns } from './ops/elementwise.ts';
import { linear } from './ops/linear.ts';

const QKV = 'self_attn.qkv_proj';
const GATE_UP = 'mlp.gate_up_proj';

const fusedAttention: SubLayer = (ctx, model, layer, x) => {
  const { Q, KV } = projectionRows(model.config);
  const [q, k, v] = splitColumns(ctx, linear(ctx, x, layer.linear(QKV)), [Q, KV, KV]);
  return attend(ctx, model, layer, { q, k, v });
};

const fusedMlp: SubLayer = (ctx, model, layer, x) => {
  const { intermediate_size: F } = model.config;
  const [gate, up] = splitColumns(ctx, linear(ctx, x, layer.linear(GATE_UP)), [F, F]);
  return gateAndProject(ctx, model, layer, gate, up);
};

function layerModules(config: ModelConfig): Module[] {
  const { hidden_size: C, intermediate_size: F } = config;
  const { Q, KV } = projectionRows(config);
  return [
    matrix('self_attn.o_proj', C, Q),
    matrix(QKV, Q + 2 * KV, C),
    matrix(GATE_UP, 2 * F, C),
    matrix('mlp.down_proj', C, F),
    ...preNormModules(config),
  ];
}

export const PHI3: Architecture = { layerModules, block: preNorm(fusedAttention, fusedMlp) };
