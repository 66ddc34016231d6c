/** Bits of the word in which kernels say what went wrong; shaders/lib/flags.wgsl is its twin. */
export const FLAG = {
  /** An activation or gradient beyond 65504, or not finite, became a float16 operand of a product. */
  input: 1,
  /** A weight beyond 65504, or not finite, became one. */
  weight: 2,
} as const;

/** Spells out a flag word; empty when nothing went wrong. */
export function flagMessages(word: number): string[] {
  const said: string[] = [];
  const what = 'beyond the range of float16 (65504), or not finite, became an operand of a matrix product';
  if ((word & FLAG.input) !== 0) said.push(`an activation or gradient ${what}`);
  if ((word & FLAG.weight) !== 0) said.push(`a weight ${what}`);
  return said;
}
