/** Gemma, first version (transformers' GemmaForCausalLM): norm weights around 0, a gated unit with GELU, scaled embeddings. */
import { attentionModules, gatedMlp, mlpModules, preNorm, preNormModules, selfAttention } from './blocks.ts';
import type { Architecture } from './model.ts';

const NORM_OFFSET = 1;

export const GEMMA: Architecture = {
  layerModules: (config) => {
    const { attention_bias: bias } = config;
    return [
      ...attentionModules(config, { qkv: bias, o: bias, mlp: false }),
      ...mlpModules(config, false),
      ...preNormModules(config),
    ];
  },
  block: preNorm(selfAttention, gatedMlp, NORM_OFFSET),
  normOffset: NORM_OFFSET,
  embeddingScale: ({ hidden_size }) => Math.sqrt(hidden_size),
};
