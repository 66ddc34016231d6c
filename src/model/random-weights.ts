/**
 * Random bfloat16 weights of the right shapes, for measuring speed and memory of models whose weights are not at hand. A
 * directory asks for them with a random_weights.json beside its config.json.
 */

import { show } from '../config/show.ts';
import { DataError } from '../errors.ts';
import { openCheckpoint, type TensorSource } from '../formats/checkpoint.ts';
import { DTYPE_BYTES, elementCount } from '../formats/dtype.ts';
import type { ModelConfig } from '../formats/hf-config.ts';
import { readObject } from '../formats/json.ts';
import { type FileReader, place } from '../formats/reader.ts';
import { withPrefix } from './base-prefix.ts';
import { parametersOf } from './modules.ts';

export const RANDOM_WEIGHTS_FILE = 'random_weights.json';

/** Normal values, drawn once: each tensor starts at its own place among them and wraps around. */
const POOL_ELEMENTS = 2 ** 20 + 7;
/** Elements between the starts of two tensors; no divisor of the pool. */
const START_STRIDE = 65_537;
const { BF16: BF16_BYTES } = DTYPE_BYTES;

/**
 * Opens the weights of a model directory: its checkpoint, or random ones where it asks for those. @throws DataError
 * @param notes where what a person should know is added
 */
export async function openWeights(
  reader: FileReader,
  config: ModelConfig,
  notes: string[] = [],
): Promise<TensorSource> {
  if (!(await reader.exists(RANDOM_WEIGHTS_FILE))) return withPrefix(await openCheckpoint(reader), notes);
  const { seed, std } = await readObject(reader, RANDOM_WEIGHTS_FILE);
  const fail = (key: string, got: unknown, wanted: string): never => {
    throw new DataError(place(reader, RANDOM_WEIGHTS_FILE), `${key} is ${show(got ?? null)}, wanted ${wanted}.`);
  };
  if (!Number.isSafeInteger(seed)) return fail('seed', seed, 'a whole number');
  if (typeof std !== 'number' || !(std > 0)) return fail('std', std, 'a number above 0');
  return randomSource(reader.root, config, { seed: seed as number, std });
}

type Random = { readonly seed: number; readonly std: number };

function randomSource(root: string, config: ModelConfig, { seed, std }: Random): TensorSource {
  const pool = bfloat16(normals(POOL_ELEMENTS, seed, std));
  const ones = bfloat16(Float32Array.of(1));
  const parameters = new Map(parametersOf(config).map((p) => [p.name, p]));
  const names = [...parameters.keys()].sort();
  const parameterOf = (name: string) => {
    const parameter = parameters.get(name);
    if (parameter === undefined) throw new DataError(root, `has no tensor ${show(name)} among its random weights.`);
    return parameter;
  };
  return {
    root,
    names: () => names,
    has: (name) => parameters.has(name),
    info: (name) => {
      const { shape } = parameterOf(name);
      const bytes = BF16_BYTES * elementCount(shape);
      return { name, dtype: 'BF16', shape, bytes, offset: 0, file: RANDOM_WEIGHTS_FILE };
    },
    read: async (name, byteOffset, into) => {
      // a norm of ones and matrices of one spread keep activations finite through any number of layers
      const source = parameterOf(name).module.kind === 'norm' ? ones : pool;
      fillFrom(source, (names.indexOf(name) * START_STRIDE * BF16_BYTES + byteOffset) % source.length, into);
    },
  };
}

/** Fills `into` with `source` from `at` on, wrapping around. */
function fillFrom(source: Uint8Array, at: number, into: Uint8Array): void {
  let filled = 0;
  let from = at;
  while (filled < into.length) {
    const count = Math.min(source.length - from, into.length - filled);
    into.set(source.subarray(from, from + count), filled);
    filled += count;
    from = 0;
  }
}

/** Takes the upper halves of f32 values: bfloat16, rounded towards zero. */
function bfloat16(values: Float32Array): Uint8Array {
  const halves = Uint16Array.from(new Uint32Array(values.buffer), (word) => word >>> 16);
  return new Uint8Array(halves.buffer);
}

/** Draws Box and Muller's normals from a 32-bit linear congruential generator, good enough for speed and memory. */
function normals(n: number, seed: number, std: number): Float32Array {
  let state = seed >>> 0;
  const uniform = (): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return (state + 0.5) / 2 ** 32;
  };
  return Float32Array.from({ length: n }, () => {
    return std * Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
  });
}
