/** Rotary position tables, made on the host because GPU sin and cos lose all accuracy at large angles. */
import type { ModelConfig } from './hf-config.ts';
import type { RopeParameters } from './rope-config.ts';

const { fround } = Math;
/** As torch rounds it before dividing: in f64, the blended entries would be up to 4 units in the last place away. */
const FULL_TURN = fround(2 * Math.PI);
type RotaryFields = Pick<ModelConfig, 'head_dim' | 'rope_parameters'>;

/**
 * Radians per position of each rotated pair, (head_dim / 2), rounded to f32 after every operation as torch does:
 * at most one entry differs from torch's, by one unit in the last place.
 */
export function inverseFrequencies({ head_dim, rope_parameters: rope }: RotaryFields): Float32Array {
  return Float32Array.from({ length: head_dim / 2 }, (_, j) => {
    const frequency = fround(1 / fround(rope.rope_theta ** fround((2 * j) / head_dim)));
    return rope.rope_type === 'llama3' ? scaleLlama3(frequency, rope) : frequency;
  });
}

/** Long wavelengths slow down by `factor`, short ones stay, those in between are blended linearly. */
function scaleLlama3(frequency: number, rope: RopeParameters & { rope_type: 'llama3' }): number {
  const { factor, low_freq_factor: low, high_freq_factor: high, original_max_position_embeddings: length } = rope;
  const wavelength = fround(FULL_TURN / frequency);
  if (wavelength < length / high) return frequency;
  const slowed = fround(frequency / factor);
  if (wavelength > length / low) return slowed;
  const smooth = fround(fround(fround(length / wavelength) - low) / (high - low));
  return fround(fround(fround(fround(1 - smooth) * frequency) / factor) + fround(smooth * frequency));
}

/**
 * cos and sin of position * frequency, each (positions, head_dim / 2) row-major, f32. The second half of a head uses
 * the same entries, since pair j is (j, j + head_dim / 2).
 * @param positions a count, for 0, 1, 2 ...; or the positions themselves
 */
export function ropeTables(
  config: RotaryFields,
  positions: number | ArrayLike<number>,
): { cos: Float32Array; sin: Float32Array } {
  const frequencies = inverseFrequencies(config);
  const half = frequencies.length;
  const count = typeof positions === 'number' ? positions : positions.length;
  const cos = new Float32Array(count * half);
  const sin = new Float32Array(count * half);
  for (let row = 0; row < count; row++) {
    const position = typeof positions === 'number' ? row : positions[row]!;
    for (let j = 0; j < half; j++) {
      const angle = fround(position * frequencies[j]!);
      cos[row * half + j] = Math.cos(angle);
      sin[row * half + j] = Math.sin(angle);
    }
  }
  return { cos, sin };
}
