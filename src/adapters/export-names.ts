/** What llama.cpp calls the architectures and weights that nibble knows. Source: gguf/constants.py, conversion/ of llama.cpp v0.4.0. */
import type { ArchitectureName } from '../formats/hf-architectures.ts';

export type GgufArchitecture = {
  /** general.architecture. */
  readonly name: string;
  /** Whether rows of q and k are in the order of rotated pairs (0, d/2, 1, d/2 + 1, ...) instead of halves. */
  readonly pairsRows: boolean;
  /** Whether llama.cpp has an output matrix of its own for it where the head is not tied. */
  readonly hasOutput: boolean;
};

const PLAIN = { pairsRows: false, hasOutput: true } as const;

/** Null for one that llama.cpp has not. */
export const GGUF_ARCHITECTURES: Readonly<Record<ArchitectureName, GgufArchitecture | null>> = {
  LlamaForCausalLM: { ...PLAIN, name: 'llama', pairsRows: true },
  MistralForCausalLM: { ...PLAIN, name: 'llama', pairsRows: true },
  SmolLM3ForCausalLM: { ...PLAIN, name: 'smollm3', pairsRows: true },
  Qwen2ForCausalLM: { ...PLAIN, name: 'qwen2' },
  Qwen3ForCausalLM: { ...PLAIN, name: 'qwen3' },
  Phi3ForCausalLM: { ...PLAIN, name: 'phi3' },
  Olmo2ForCausalLM: { ...PLAIN, name: 'olmo2' },
  GemmaForCausalLM: { ...PLAIN, name: 'gemma', hasOutput: false },
};

/** Modules of a layer, by the end of their names. */
const IN_LAYER: Readonly<Record<string, string>> = {
  'self_attn.q_proj': 'attn_q',
  'self_attn.k_proj': 'attn_k',
  'self_attn.v_proj': 'attn_v',
  'self_attn.qkv_proj': 'attn_qkv',
  'self_attn.o_proj': 'attn_output',
  'mlp.gate_proj': 'ffn_gate',
  'mlp.up_proj': 'ffn_up',
  'mlp.gate_up_proj': 'ffn_up',
  'mlp.down_proj': 'ffn_down',
};

const WHOLE: Readonly<Record<string, string>> = { 'model.embed_tokens': 'token_embd', lm_head: 'output' };

/** The name of a module's weight in GGUF, such as blk.0.attn_q.weight; null where it has none. */
export function ggufName(module: string, { hasOutput }: GgufArchitecture): string | null {
  if (module === 'lm_head' && !hasOutput) return null;
  const whole = WHOLE[module];
  if (whole !== undefined) return `${whole}.weight`;
  const [, layer, rest = ''] = /^model\.layers\.(\d+)\.(.*)$/.exec(module) ?? [];
  const part = IN_LAYER[rest];
  return part === undefined ? null : `blk.${layer}.${part}.weight`;
}
