/** In which order an epoch visits the rows, as transformers' Trainer orders them. */
import { TorchRng } from '../formats/torch-rng.ts';

export type SamplingStrategy = 'random' | 'sequential' | 'group_by_length';

export type OrderOptions = {
  readonly strategy: SamplingStrategy;
  /** data_seed where it is set, else seed. */
  readonly seed: number;
  /** Rows of an optimizer step: the size that group_by_length keeps together. */
  readonly groupSize: number;
};

/** transformers groups so many steps' rows before sorting them by length, fewer when the data are few. */
const MOST_STEPS_A_GROUP = 50;
const LEAST_GROUPS = 4;

/**
 * Indices of all rows in the order of epoch `epoch` (from 0). `random` is Trainer's own permutation. So is
 * `group_by_length`, for a generator seeded like that of `random`: Trainer takes the process-wide one there, whose state
 * nothing outside torch can know.
 */
export function epochOrder(lengths: readonly number[], epoch: number, options: OrderOptions): Uint32Array {
  if (options.strategy === 'sequential') return Uint32Array.from(lengths, (_, i) => i);
  const permutation = new TorchRng(options.seed + epoch).randperm(lengths.length);
  return options.strategy === 'random' ? permutation : groupByLength(permutation, lengths, options.groupSize);
}

/** Sorts within groups, longest first, and brings the longest row of all to the front, so that memory peaks early. */
function groupByLength(permutation: Uint32Array, lengths: readonly number[], groupSize: number): Uint32Array {
  const steps = Math.min(Math.floor(lengths.length / (groupSize * LEAST_GROUPS)), MOST_STEPS_A_GROUP);
  const size = Math.max(1, steps) * groupSize;
  const order = new Uint32Array(permutation.length);
  let longest = 0;
  for (let at = 0; at < order.length; at += size) {
    const group = [...permutation.subarray(at, at + size)].sort((a, b) => lengths[b]! - lengths[a]!);
    order.set(group, at);
    if (lengths[group[0]!]! > lengths[order[longest]!]!) longest = at;
  }
  if (order.length > 0) {
    const first = order[0]!;
    order[0] = order[longest]!;
    order[longest] = first;
  }
  return order;
}
