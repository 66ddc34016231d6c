/** Lines that the types refuse: each would compile if an option, a result or an event were `any`. */
import { type EstimateResult, estimate, type FinetuneEvent, finetune, type QuantizeEvent, quantize } from 'nibble-tune';
import { Codec, type QuantState, quantize4bit } from 'nibble-tune/core';

const model = { model_name_or_path: 'llama' };
export const calls = [
  // @ts-expect-error numbers are numbers
  estimate({ ...model, max_length: '512' }),
  // @ts-expect-error an unknown method
  estimate({ ...model, method: 'lorra' }),
  // @ts-expect-error an unknown setting
  estimate({ model_name_or_path: 'llama', lora_rnk: 8 }),
  // @ts-expect-error datasets are missing
  finetune(model),
  // @ts-expect-error a row has text or input_ids
  finetune({ ...model, datasets: [{ rows: [{ txt: 'a' }] }] }),
  // @ts-expect-error an unknown device
  finetune({ ...model, datasets: [{ path: 'rows.jsonl' }], device: 'cuda' }),
  // @ts-expect-error output_dir is missing
  quantize(model),
  // @ts-expect-error an unknown code
  quantize({ ...model, output_dir: 'out', bnb_4bit_quant_type: 'nf5' }),
  // @ts-expect-error a signal is an AbortSignal
  estimate({ ...model, signal: new AbortController() }),
  // @ts-expect-error the block size is missing
  quantize4bit(new Codec({}), new Uint8Array(64), 'float32', { quantType: 'nf4', doubleQuant: true }),
];

export function figures(
  result: EstimateResult,
  event: QuantizeEvent,
  state: QuantState,
  training: FinetuneEvent,
): unknown[] {
  const [lora] = result.estimates;
  return [
    // @ts-expect-error a method that cannot be done has no categories
    lora?.by_category,
    // @ts-expect-error a note has no label
    event.label,
    // @ts-expect-error only a step has a loss
    training.loss,
    // @ts-expect-error codes are there with double quantization only
    state.codes,
  ];
}
