/** Choice of the vector variant of a kernel: loads of four need sizes that four divides. */

export type Width = { readonly when: readonly string[]; readonly n: number };

/** For a flat elementwise kernel over `elements`: its condition, and how many invocations (its Params.n) it takes. */
export function flatWidth(elements: number): Width {
  return elements % 4 === 0 ? { when: ['VEC4'], n: elements / 4 } : { when: [], n: elements };
}

/** For a kernel that goes along rows of `columns`. */
export function rowCondition(columns: number): readonly string[] {
  return columns % 4 === 0 ? ['VEC4'] : [];
}

export const flag = (on: boolean): number => (on ? 1 : 0);
