/** Llama (transformers' LlamaForCausalLM), and what is built like it: Mistral, SmolLM3, and Qwen2 with biases of its own. */
import type { ModelConfig } from '../formats/hf-config.ts';
import {
  attentionModules,
  type Biases,
  gatedMlp,
  mlpModules,
  preNorm,
  preNormModules,
  selfAttention,
} from './blocks.ts';
import type { Architecture } from './model.ts';

function built(biasesOf: (config: ModelConfig) => Biases): Architecture {
  return {
    layerModules: (config) => {
      const biases = biasesOf(config);
      return [...attentionModules(config, biases), ...mlpModules(config, biases.mlp), ...preNormModules(config)];
    },
    block: preNorm(selfAttention, gatedMlp),
  };
}

export const LLAMA = built(({ attention_bias, mlp_bias }) => {
  return { qkv: attention_bias, o: attention_bias, mlp: mlp_bias };
});

export const QWEN2 = built(() => ({ qkv: true, o: false, mlp: false }));
