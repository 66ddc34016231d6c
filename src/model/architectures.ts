/** The architectures nibble trains. What their config.json fields mean is in formats/hf-config. */
import type { ModelConfig } from '../formats/hf-config.ts';
import { LLAMA } from './llama.ts';
import type { Architecture } from './model.ts';

export const ARCHITECTURES: Readonly<Record<ModelConfig['architecture'], Architecture>> = {
  LlamaForCausalLM: LLAMA,
};
