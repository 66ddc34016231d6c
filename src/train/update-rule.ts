/** How parameters are updated: the optimizer's formula, its state by parts, and in what tensors differ. */
import { EMBEDDING_A, EMBEDDING_B, LORA_B } from '../adapters/layout.ts';
import { type Optimizer, optimizerOf } from '../config/optimizers.ts';
import type { TrainConfig } from '../config/settings.ts';
import { elementCount } from '../formats/dtype.ts';
import type { AdamwSettings } from '../kernels/adamw.ts';
import { STATE_BLOCK } from '../kernels/adamw-8bit.ts';
import { isDecayed } from '../model/decay.ts';
import type { GroupOf, TrainableSpec, UpdateGroup } from '../model/flat.ts';

/** A part of an optimizer's state, under the name that torch or bitsandbytes has for it. */
export type StatePart = {
  readonly name: string;
  readonly dtype: 'f32' | 'u8';
  /** Elements of a parameter that share one value. */
  readonly per: number;
};

export type UpdateRule = AdamwSettings & Pick<Optimizer, 'formula' | 'bits'>;

/** Factors of LoRA+ on the learning rate, as PEFT's create_loraplus_optimizer groups parameters. */
export type LoraPlus = { readonly ratio: number; readonly embedding: number };

export function loraPlus(config: TrainConfig): LoraPlus | null {
  const { loraplus_lr_ratio: ratio, loraplus_lr_embedding, learning_rate, method } = config;
  if (ratio === null || method === 'full') return null;
  return { ratio, embedding: learning_rate > 0 ? loraplus_lr_embedding / learning_rate : 0 };
}

function rateOf({ name, shape }: TrainableSpec, plus: LoraPlus | null): number {
  if (plus === null) return 1;
  if (name.endsWith(EMBEDDING_A) || name.endsWith(EMBEDDING_B)) return plus.embedding;
  return name.endsWith(LORA_B) || shape.length === 1 ? plus.ratio : 1;
}

export function updateRule(config: TrainConfig): UpdateRule {
  const { formula, bits } = optimizerOf(config.optim);
  return {
    formula,
    bits,
    beta1: config.adam_beta1,
    beta2: config.adam_beta2,
    eps: config.adam_epsilon,
    weightDecay: config.weight_decay,
  };
}

/** Tensors with fewer elements keep 32 bits, as in bitsandbytes (min_8bit_size). */
const LEAST_FOR_8BIT = 4096;

/** Which tensors an optimizer updates alike. */
export function updateGroups({ bits }: Pick<UpdateRule, 'bits'>, plus: LoraPlus | null): GroupOf {
  return (spec) => ({
    decay: isDecayed(spec.name),
    rate: rateOf(spec, plus),
    bits: bits === 8 && elementCount(spec.shape) >= LEAST_FOR_8BIT ? 8 : 32,
  });
}

const f32 = (name: string): StatePart => ({ name, dtype: 'f32', per: 1 });
const codes = (name: string): StatePart => ({ name, dtype: 'u8', per: 1 });
const absmax = (name: string): StatePart => ({ name, dtype: 'f32', per: STATE_BLOCK });

/** The parts that a tensor's state has, in the order of the kernels' bindings. */
export function stateParts(formula: UpdateRule['formula'], { bits }: Pick<UpdateGroup, 'bits'>): readonly StatePart[] {
  if (formula === 'sgd') return [];
  if (formula === 'lion') return [f32('exp_avg')];
  if (bits === 32) return [f32('exp_avg'), f32('exp_avg_sq')];
  return [codes('state1'), absmax('absmax1'), codes('state2'), absmax('absmax2')];
}

const DTYPE_BYTES = { f32: 4, u8: 1 } as const;

/** Bytes of a part for so many elements of the parameter. */
export function partBytes({ dtype, per }: StatePart, elements: number): number {
  return DTYPE_BYTES[dtype] * Math.ceil(elements / per);
}
