/** Logits of an engine's model, which a training run never makes. */
import { decoderLogits } from '#dist/model/decoder.js';

/**
 * (B * S, V) of the head over the final hidden states, which a loss never holds whole.
 * @param {import('#dist/train/engine.js').Engine} engine
 * @param {readonly number[]} ids
 * @param {{ B: number, S: number }} shape
 */
export async function logitsOf({ machine, declared, inputs }, ids, shape) {
  const { model } = declared;
  const tape = machine.tape({ step: inputs.step });
  /** @type {import('#dist/model/ops/context.js').OpContext} */
  const ctx = { tape, computeDtype: 'f32', ...shape, phase: 'eval' };
  const rows = ids.length;
  const size = [rows, model.head.weight.out];
  const y = machine.residents.tensor({ label: 'logits', shape: size, dtype: 'f32', category: 'logits' });
  decoderLogits(ctx, model, inputs.ids.slice(0, rows), { row0: 0, rows }, y);
  machine.write(inputs.ids, Uint32Array.from(ids));
  await machine.runOnce({ name: 'logits', commands: tape.commands });
  return new Float32Array(await machine.read(y));
}
