/** A choice between LoRA and QLoRA: what is asked, and what comes of it. */
import type { Card } from './cards.ts';
import type { EstimateJob } from './methods.ts';
import type { MeasuredRatio } from './time-ratios.ts';

export type ChoiceJob = EstimateJob & {
  readonly card: Card;
  /** GPUs of that kind; a run uses one. */
  readonly gpus: number;
  /** Whether every bit of quality counts. */
  readonly quality: boolean;
  /** Adapters that are to be trained and kept for one base. */
  readonly adapters: number;
  readonly ratios: readonly MeasuredRatio[];
};

export type Rule = 'comfortable' | 'narrow' | 'long_context' | 'does_not_fit' | 'quality' | 'many_adapters' | 'neither';

/** Figures of one method on the card; null where the device cannot do it. */
export type MethodFigures = {
  readonly peak_bytes: number;
  /** Weights with their scales. */
  readonly base_bytes: number;
  /** Adapter, gradients and moments. */
  readonly adapter_state_bytes: number;
  readonly adapter_bytes: number;
  readonly num_trainable_params: number;
  /** Tokens of the longest row that fits at the batch; null where none does, or where it decides nothing. */
  readonly longest_row: number | null;
};

export type ChoiceFigures = {
  readonly model: string;
  /** As in a sentence. */
  readonly card: string;
  readonly usable_bytes: number;
  readonly gpus: number;
  readonly per_device_train_batch_size: number;
  readonly max_length: number;
  readonly lora: MethodFigures | null;
  readonly qlora: MethodFigures | null;
  /** Peak of LoRA at the usual row, where rows are longer; null otherwise. */
  readonly lora_usual_row_bytes: number | null;
  readonly full_bytes: number | null;
  /** The smallest size in GB that holds LoRA, and QLoRA; null where none of the usual ones does. */
  readonly lora_card_gb: number | null;
  readonly qlora_card_gb: number | null;
  /** What would help QLoRA where it does not fit. */
  readonly help: readonly { readonly what: string; readonly peak_bytes: number }[];
  /** Usual settings that were taken because nobody set them. */
  readonly assumed: Readonly<Record<string, unknown>>;
  /** The assumption behind usable_bytes, in words. */
  readonly usable: string;
};

export type Choice = {
  readonly method: 'lora' | 'qlora' | null;
  readonly rule: Rule;
  /** The answer with its arithmetic, and what else there is to know. */
  readonly sentences: readonly string[];
  readonly figures: ChoiceFigures;
};
