/** The architectures nibble trains. formats/hf-architectures says what their config.json fields mean. */
import type { ModelConfig } from '../formats/hf-config.ts';
import { GEMMA } from './gemma.ts';
import { LLAMA, QWEN2 } from './llama.ts';
import type { Architecture } from './model.ts';
import { OLMO2 } from './olmo2.ts';
import { PHI3 } from './phi3.ts';
import { QWEN3 } from './qwen3.ts';

export const ARCHITECTURES: Readonly<Record<ModelConfig['architecture'], Architecture>> = {
  LlamaForCausalLM: LLAMA,
  MistralForCausalLM: LLAMA,
  Qwen2ForCausalLM: QWEN2,
  Qwen3ForCausalLM: QWEN3,
  GemmaForCausalLM: GEMMA,
  Phi3ForCausalLM: PHI3,
  SmolLM3ForCausalLM: LLAMA,
  Olmo2ForCausalLM: OLMO2,
};
