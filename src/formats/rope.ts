/** Rotary position tables, made on the host because GPU sin and cos lose all accuracy at large angles. */
import type { ModelConfig } from './hf-config.ts';
import type { Llama3Rope, YarnRope } from './rope-config.ts';

const { fround } = Math;
/** Rounded as torch rounds it before dividing: with f64 the blended entries would be up to 4 units in the last place off. */
const FULL_TURN = fround(2 * Math.PI);
type RotaryFields = Pick<ModelConfig, 'head_dim' | 'rope_parameters'>;

/**
 * Computes the radians per position of each rotated pair, (head_dim / 2), rounded to f32 after every operation as torch
 * does: at most two entries differ from torch's (whose f32 pow is not exact), by one unit in the last place.
 */
export function inverseFrequencies({ head_dim, rope_parameters: rope }: RotaryFields): Float32Array {
  const wavelengths = Float32Array.from(
    { length: head_dim / 2 },
    (_, j) => rope.rope_theta ** fround((2 * j) / head_dim),
  );
  if (rope.rope_type === 'yarn') return yarnFrequencies(wavelengths, head_dim, rope);
  const frequencies = wavelengths.map((w) => 1 / w);
  if (rope.rope_type === 'linear') return frequencies.map((f) => f / rope.factor);
  return rope.rope_type === 'llama3' ? frequencies.map((f) => scaleLlama3(f, rope)) : frequencies;
}

/** Slows long wavelengths down by `factor`, keeps short ones, and blends those in between linearly. */
function scaleLlama3(frequency: number, rope: Llama3Rope): number {
  const { factor, low_freq_factor: low, high_freq_factor: high, original_max_position_embeddings: length } = rope;
  const wavelength = fround(FULL_TURN / frequency);
  if (wavelength < length / high) return frequency;
  const slowed = fround(frequency / factor);
  if (wavelength > length / low) return slowed;
  const smooth = fround(fround(fround(length / wavelength) - low) / (high - low));
  return fround(fround(fround(fround(1 - smooth) * frequency) / factor) + fround(smooth * frequency));
}

/** Keeps pairs that turn more than beta_fast times over the original length; slows those below beta_slow by `factor`. */
function yarnFrequencies(wavelengths: Float32Array, head_dim: number, rope: YarnRope): Float32Array {
  const { factor, beta_fast, beta_slow, truncate } = rope;
  const pairOf = (turns: number) =>
    (head_dim * Math.log(rope.original_max_position_embeddings / (turns * 2 * Math.PI))) /
    (2 * Math.log(rope.rope_theta));
  const [fast, slow] = [pairOf(beta_fast), pairOf(beta_slow)];
  const from = Math.max(truncate ? Math.floor(fast) : fast, 0);
  const to = Math.min(truncate ? Math.ceil(slow) : slow, head_dim - 1);
  const width = fround(to === from ? 0.001 : to - from);
  return wavelengths.map((w, j) => {
    const ramp = Math.min(Math.max(fround(fround(j - fround(from)) / width), 0), 1);
    const kept = fround(1 - ramp);
    const slowed = fround(1 / fround(factor * w));
    return fround(slowed * fround(1 - kept)) + fround(fround(1 / w) * kept);
  });
}

/**
 * Computes cos and sin of position * frequency, each (positions, head_dim / 2) row-major, f32, times YaRN's attention_factor. The
 * second half of a head uses the same entries, since pair j is (j, j + head_dim / 2).
 * @param positions a count, for 0, 1, 2 ...; or the positions themselves
 */
export function ropeTables(
  config: RotaryFields,
  positions: number | ArrayLike<number>,
): { cos: Float32Array; sin: Float32Array } {
  const frequencies = inverseFrequencies(config);
  const { rope_parameters: rope } = config;
  const scale = rope.rope_type === 'yarn' ? fround(rope.attention_factor) : 1;
  const half = frequencies.length;
  const count = typeof positions === 'number' ? positions : positions.length;
  const cos = new Float32Array(count * half);
  const sin = new Float32Array(count * half);
  for (let row = 0; row < count; row++) {
    const position = typeof positions === 'number' ? row : positions[row]!;
    for (let j = 0; j < half; j++) {
      const angle = fround(position * frequencies[j]!);
      cos[row * half + j] = scale * fround(Math.cos(angle));
      sin[row * half + j] = scale * fround(Math.sin(angle));
    }
  }
  return { cos, sin };
}
