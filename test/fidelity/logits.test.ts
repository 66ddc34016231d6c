/** Logits against transformers in float32, every architecture: dense by both spellings of config.json, and bnb-4bit. */
import { afterAll, describe, expect, test } from 'vitest';
import { openModel } from '../model/open.ts';
import { type Figure, recordFigures } from './figures.ts';
import { ARCHITECTURES, expected, expectedLogits, folder, tokens } from './golden.ts';

// Fractions of max |logit|: the promised bound, and the one asked here. Correct f32 code differs by less than 1e-6; the smallest planted
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
    const got = await open.logits(Uint32Array.from(tokens.input_ids.flat()));
    open.destroy();
    const reached = worstError(got, expectedLogits(name, form)) / max_abs_logit;
    const spelled = configFile === 'config.json' ? '' : ', config of transformers 4';
    figures.push({ what: `${name}: ${form}${spelled}`, reached, bound: BOUND, unit: 'of max |logit|' });
    expect(reached).toBeLessThanOrEqual(ASKED);
  });
});
