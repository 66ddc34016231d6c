/** a * b + c of f32 values, computed in whole numbers and rounded once to f32 (half to even). Finite values only. */
export function fma(a: number, b: number, c: number): number {
  const [x, y, z] = [parts(a), parts(b), parts(c)];
  const low = Math.min(x.exponent + y.exponent, z.exponent);
  const exact = ((x.whole * y.whole) << BigInt(x.exponent + y.exponent - low)) + (z.whole << BigInt(z.exponent - low));
  if (exact === 0n) return a * b + c; // the sign of a zero is IEEE's
  const sign = exact < 0n ? -1 : 1;
  const magnitude = exact < 0n ? -exact : exact;
  // the last place of the result: 24 bits, or 2^-149 below the normal numbers
  const place = Math.max(low, magnitude.toString(2).length + low - 24, -149);
  const drop = BigInt(place - low);
  const kept = magnitude >> drop;
  const rest = magnitude - (kept << drop);
  const half = drop === 0n ? 0n : 1n << (drop - 1n);
  const up = drop > 0n && (rest > half || (rest === half && (kept & 1n) === 1n));
  return sign * Number(up ? kept + 1n : kept) * 2 ** place;
}

/** An f32 as whole * 2 ** exponent. */
function parts(value: number): { readonly whole: bigint; readonly exponent: number } {
  if (value === 0) return { whole: 0n, exponent: 0 };
  const exponent = Math.max(Math.floor(Math.log2(Math.abs(value))) - 24, -149);
  return { whole: BigInt(value * 2 ** -exponent), exponent };
}
