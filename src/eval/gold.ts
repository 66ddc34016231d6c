/** Which choices of a row are right. */
import type { Target } from './doc-fields.ts';

/** Numbers of the right choices; none for a target that no choice is. */
export function goldNumbers(
  { hasSeveralTargets }: { readonly hasSeveralTargets: boolean },
  choices: readonly string[],
  target: Target,
): number[] {
  const all = (typeof target === 'object' ? target : [target]) as readonly (string | number)[];
  const few = hasSeveralTargets ? all : all.slice(0, 1);
  return few
    .map((gold) => (typeof gold === 'number' ? gold : choices.indexOf(gold)))
    .filter((number) => number >= 0 && number < choices.length);
}
