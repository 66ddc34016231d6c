/** Optimizers by the names that Hugging Face has for them: formula, bits of the state, and whether it pages. */

export type Optimizer = {
  readonly formula: 'adamw' | 'lion' | 'sgd';
  /** Bits of a value of the state, in tensors large enough for 8. */
  readonly bits: 8 | 32;
  /** Whether state beyond paged_optimizer_memory lies in host memory. */
  readonly paged: boolean;
};

const adamw = { formula: 'adamw', bits: 32, paged: false } as const;

/** Names that a run keeps. */
const OPTIMIZERS = {
  adamw_torch: adamw,
  paged_adamw_32bit: { ...adamw, paged: true },
  adamw_8bit: { ...adamw, bits: 8 },
  paged_adamw_8bit: { ...adamw, bits: 8, paged: true },
  lion_32bit: { ...adamw, formula: 'lion' },
  paged_lion_32bit: { ...adamw, formula: 'lion', paged: true },
  sgd: { ...adamw, formula: 'sgd' },
} as const satisfies Record<string, Optimizer>;
export type OptimizerName = keyof typeof OPTIMIZERS;

/** Further spellings, and what each is. */
const SPELLINGS = {
  adamw_torch_fused: 'adamw_torch',
  adamw: 'adamw_torch',
  adamw_hf: 'adamw_torch',
  paged_adamw: 'paged_adamw_32bit',
  adamw_bnb_8bit: 'adamw_8bit',
  lion: 'lion_32bit',
  paged_lion: 'paged_lion_32bit',
} as const satisfies Record<string, OptimizerName>;

type Spelling = OptimizerName | keyof typeof SPELLINGS;
export const OPTIMIZER_NAMES = [...Object.keys(OPTIMIZERS), ...Object.keys(SPELLINGS)] as [Spelling, ...Spelling[]];

/** The name that a run keeps for a spelling. */
export function optimizerName(spelling: string): OptimizerName {
  return (SPELLINGS as Record<string, OptimizerName>)[spelling] ?? (spelling as OptimizerName);
}

export function optimizerOf(name: OptimizerName): Optimizer {
  return OPTIMIZERS[name];
}

/** What decides of a state which others may go on from it: the same whichever way it is held. */
export function stateKind(name: string): string {
  const { formula, bits } = optimizerOf(optimizerName(name));
  return `${formula} of ${bits} bits`;
}
