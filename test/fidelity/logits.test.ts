/** Logits against transformers in float32, every architecture: dense by both spellings of config.json, and bnb-4bit. */
import { afterAll, describe, expect, test } from 'vitest';
import { decoderHidden } from '../../src/model/decoder.ts';
import { headLogits } from '../../src/model/ops/cross-entropy.ts';
import { type OpenModel, openModel } from '../model/open.ts';
import { type Figure, recordFigures } from './figures.ts';
import { ARCHITECTURES, expected, expectedLogits, folder, tokens } from './golden.ts';

// Of max |logit|: what was promised, and what is asked. Correct f32 code differs by less than 1e-6; the smallest planted
// mistake, a GELU by erf for the one by tanh, by 1.0e-4 (test/golden/README.md).
const BOUND = 1e-4;
const ASKED = 1e-5;

const CASES = [
  ['dense', 'config.json'],
  ['dense', 'config-4.json'],
  ['bnb-4bit', 'config.json'],
] as const;

const figures: Figure[] = [];
const count = ARCHITECTURES.length * CASES.length;
afterAll(() => recordFigures('logits', { row: 2, title: 'Logits against transformers, float32', count, figures }));

/** (T, V) of the head over the final hidden states: what the loss never holds whole. */
async function logitsOf(open: OpenModel, ids: Uint32Array<ArrayBuffer>): Promise<Float32Array> {
  const { model } = open.declared;
  const tape = open.tape();
  const ctx = { tape, computeDtype: 'f32', ...open.shape, dropout: 'eval' } as const;
  const hidden = decoderHidden(ctx, model, open.inputs.ids);
  const [M, N] = [ids.length, model.head.weight.out];
  const y = open.parts.residents.tensor({ label: 'logits', shape: [M, N], dtype: 'f32', category: 'logits' });
  headLogits(ctx, hidden, model.head, y);
  open.write(open.inputs.ids, ids);
  await open.submit(tape.commands);
  return open.read(y);
}

/** The largest |got - want|; NaN where any is. */
function worstError(got: Float32Array, want: Float32Array): number {
  if (got.length !== want.length) throw new Error(`${got.length} logits, needs ${want.length}`);
  let worst = 0;
  for (const [i, value] of want.entries()) {
    const error = Math.abs((got[i] as number) - value);
    if (!(error <= worst)) worst = error;
    if (Number.isNaN(worst)) return worst;
  }
  return worst;
}

describe.each(ARCHITECTURES)('%s', (name) => {
  test.each(CASES)('%s by its %s', async (form, configFile) => {
    const { shape, max_abs_logit } = expected(name).logits[form];
    const [B, S] = shape;
    const config = { lora_target_modules: 'all-linear' }; // PEFT has no default for some
    const open = await openModel(folder(name, form), { config, shape: { B, S }, configFile });
    const got = await logitsOf(open, Uint32Array.from(tokens.input_ids.flat()));
    open.destroy();
    const reached = worstError(got, expectedLogits(name, form)) / max_abs_logit;
    const spelled = configFile === 'config.json' ? '' : ', config of transformers 4';
    figures.push({ what: `${name}: ${form}${spelled}`, reached, bound: BOUND, unit: 'of max |logit|' });
    expect(reached).toBeLessThanOrEqual(ASKED);
  });
});
