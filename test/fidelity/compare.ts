/** How far a run is from PEFT's, in the four figures the project promises, and whether each is within its bound. */
import type { Curve, Tensors } from './golden.ts';

/** What a run produced: its curves, and its adapter before the first and after the last step. */
export type Run = { readonly curve: Curve; readonly final: Tensors };
export type Reference = Run & { readonly initial: Tensors };

/** All relative: the largest over the steps, and the 2-norm of the error of W - W0 per tensor. */
export type Figures = {
  readonly loss: number;
  readonly gradNorm: number;
  readonly medianUpdate: number;
  readonly worstUpdate: number;
};

/**
 * Rounding alone (float64 or another attention in torch) moves a run by at most 4e-7, 1e-6, 3e-6 and 6e-5 in any of the
 * golden files; the smallest of the seven planted bugs by at least 7e-5, 1e-4, 1e-3 and 4e-3 (test/golden/README.md).
 */
export const BOUNDS: Figures = { loss: 5e-6, gradNorm: 1e-4, medianUpdate: 5e-4, worstUpdate: 5e-2 };

/** What each figure is called where it is reported. */
export const WHAT: Record<keyof Figures, [what: string, unit: string]> = {
  loss: ['loss, worst step', 'relative'],
  gradNorm: ['gradient norm, worst step', 'relative'],
  medianUpdate: ['update W - W0, median tensor', 'relative 2-norm'],
  worstUpdate: ['update W - W0, worst tensor', 'relative 2-norm'],
};

export function measure(run: Run, reference: Reference): Figures {
  const updates = updateErrors(run.final, reference);
  return {
    loss: worstRelative(run.curve.loss, reference.curve.loss),
    gradNorm: worstRelative(run.curve.grad_norm, reference.curve.grad_norm),
    medianUpdate: updates[Math.floor(updates.length / 2)] as number,
    worstUpdate: updates.at(-1) as number,
  };
}

/** The figures past their bounds; empty for a run that is PEFT's. NaN is past every bound. */
export function misses(figures: Figures, bounds: Figures = BOUNDS): string[] {
  return (Object.keys(bounds) as (keyof Figures)[])
    .filter((key) => !(figures[key] <= bounds[key]))
    .map((key) => `${key} ${figures[key].toExponential(1)} > ${bounds[key]}`);
}

function worstRelative(got: readonly number[], want: readonly number[]): number {
  if (got.length !== want.length || want.length === 0) throw new Error(`${got.length} steps, needs ${want.length}`);
  const errors = got.map((value, i) => Math.abs(value - (want[i] as number)) / Math.abs(want[i] as number));
  return Math.max(...errors); // NaN where any is
}

/** |(W - W0) - (W' - W0)| / |W' - W0| of every tensor, in f64, smallest first, NaN last. */
function updateErrors(final: Tensors, { final: wanted, initial }: Reference): number[] {
  const missing = [...wanted.keys()].filter((name) => !final.has(name));
  if (missing.length > 0 || final.size !== wanted.size || wanted.size === 0)
    throw new Error(`the adapter has ${final.size} tensors, needs ${wanted.size}; without ${missing.join(', ')}`);
  const errors = [...wanted].map(([name, want]) => {
    const [got, start] = [final.get(name) as Float32Array, initial.get(name) as Float32Array];
    if (got.length !== want.length) throw new Error(`${name}: ${got.length} values, needs ${want.length}`);
    let [error, size] = [0, 0];
    for (const [i, value] of want.entries()) {
      error += ((got[i] as number) - value) ** 2;
      size += (value - (start[i] as number)) ** 2;
    }
    return Math.sqrt(error / size);
  });
  const order = (x: number) => (Number.isNaN(x) ? Number.POSITIVE_INFINITY : x);
  return errors.sort((a, b) => order(a) - order(b));
}
