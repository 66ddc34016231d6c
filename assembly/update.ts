// What an adapter adds to a row of a weight: products summed in the order of the ranks, each with one rounding to f32 (a fused
// multiply-add), as torch multiplies on a CPU.

/** Low bits of an f64 that lies half-way between two f32: there, rounding twice may differ from rounding once. */
const REST: i64 = 0x1fffffff;
const HALF: i64 = 0x10000000;

/** a * b + c with one rounding. The product of two f32 is exact in f64; their sum is rounded, and its error decides a tie. */
// @ts-ignore: decorator
@inline function fma(a: f32, b: f32, c: f32): f32 {
  const product = <f64>a * <f64>b;
  const sum = product + <f64>c;
  const rounded = <f32>sum;
  const rest = sum - <f64>rounded;
  if (rest == 0 || <f64>(<f32>(sum + rest)) != sum + rest) return rounded;
  const part = sum - product;
  const lost = product - (sum - part) + (<f64>c - part);
  if (lost == 0) return rounded;
  return lost > 0 == rest > 0 ? <f32>(sum + rest) : <f32>(sum - rest);
}

/** Whether a lane of sums needs `fma`: a tie, or a result below the normal f32, whose ties lie elsewhere. */
// @ts-ignore: decorator
@inline function isSpecial(sum: v128): bool {
  const tie = i64x2.eq(v128.and(sum, i64x2.splat(REST)), i64x2.splat(HALF));
  const size = f64x2.abs(sum);
  const small = v128.and(f64x2.lt(size, f64x2.splat(1.1754943508222875e-38)), f64x2.gt(size, f64x2.splat(0)));
  return v128.any_true(v128.or(tie, small));
}

/** dst[k] = scaling * sum_j b[j] * a[j * stride + k] in f32, for `count` columns; b holds `rank` values. */
export function updateRow(a: usize, b: usize, rank: i32, stride: i32, count: i32, scaling: f32, dst: usize): void {
  const step = <usize>stride << 2;
  const end = b + (<usize>rank << 2);
  let k = 0;
  for (; k + 4 <= count; k += 4) {
    let sum = f32x4.splat(0);
    let at = a + (<usize>k << 2);
    for (let j = b; j < end; j += 4, at += step) {
      const factor = load<f32>(j);
      const wide = f64x2.splat(<f64>factor);
      const values = v128.load(at);
      const high = v128.shuffle<i64>(values, values, 1, 1);
      const sumHigh = v128.shuffle<i64>(sum, sum, 1, 1);
      const first = f64x2.add(f64x2.mul(f64x2.promote_low_f32x4(values), wide), f64x2.promote_low_f32x4(sum));
      const second = f64x2.add(f64x2.mul(f64x2.promote_low_f32x4(high), wide), f64x2.promote_low_f32x4(sumHigh));
      if (isSpecial(first) || isSpecial(second)) {
        let exact = sum;
        exact = f32x4.replace_lane(exact, 0, fma(factor, f32x4.extract_lane(values, 0), f32x4.extract_lane(sum, 0)));
        exact = f32x4.replace_lane(exact, 1, fma(factor, f32x4.extract_lane(values, 1), f32x4.extract_lane(sum, 1)));
        exact = f32x4.replace_lane(exact, 2, fma(factor, f32x4.extract_lane(values, 2), f32x4.extract_lane(sum, 2)));
        exact = f32x4.replace_lane(exact, 3, fma(factor, f32x4.extract_lane(values, 3), f32x4.extract_lane(sum, 3)));
        sum = exact;
      } else sum = v128.shuffle<i64>(f32x4.demote_f64x2_zero(first), f32x4.demote_f64x2_zero(second), 0, 2);
    }
    v128.store(dst + (<usize>k << 2), f32x4.mul(sum, f32x4.splat(scaling)));
  }
  for (; k < count; k++) {
    let sum: f32 = 0;
    let at = a + (<usize>k << 2);
    for (let j = b; j < end; j += 4, at += step) sum = fma(load<f32>(j), load<f32>(at), sum);
    store<f32>(dst + (<usize>k << 2), sum * scaling);
  }
}
