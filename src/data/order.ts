/** In which order an epoch visits the rows, as transformers' Trainer orders them. */
import { TorchRng } from '../formats/torch-rng.ts';

export type SamplingStrategy = 'random' | 'sequential' | 'group_by_length';

export type OrderOptions = {
  readonly strategy: SamplingStrategy;
  /** The seed of the run. */
  readonly seed: number;
  /** What `random` shuffles with, and evaluation groups with, in its place; null is the same as `seed`. */
  readonly dataSeed?: number | null;
  /** Rows of an optimizer step: the size that group_by_length keeps together. */
  readonly groupSize: number;
  /** Evaluations that are done when an epoch begins; only group_by_length's order depends on them. 0 by default. */
  readonly evaluationsBefore?: (epoch: number) => number;
};

/** transformers sorts rows by length within groups of this many steps, or of fewer so that there are MIN_GROUPS. */
const MAX_STEPS_PER_GROUP = 50;
const MIN_GROUPS = 4;
/** 32-bit numbers behind the 64-bit seed that every iteration of a torch DataLoader draws for its workers. */
const DRAWS_PER_ITERATION = 2;

/**
 * Orders all rows for epoch `epoch` (from 0). @returns their indices
 *
 * `random` takes a generator of its own, seeded with the data seed plus the epoch. `group_by_length` takes torch's
 * process-wide one, which Trainer seeds with `seed` (never with data_seed) and which every pass over training or
 * evaluation data draws from. Dropout draws from it as well where it is computed on a CPU, not on a GPU: with dropout the
 * order here is that of a GPU.
 * Source: Trainer._get_train_sampler, accelerate's SeedableRandomSampler, torch's RandomSampler and DataLoader.
 */
export function epochOrder(lengths: readonly number[], epoch: number, options: OrderOptions): Uint32Array {
  const { strategy, seed, dataSeed, groupSize } = options;
  if (strategy === 'sequential') return inFileOrder(lengths.length);
  if (strategy === 'random') return new TorchRng((dataSeed ?? seed) + epoch).randperm(lengths.length);
  const rng = new TorchRng(seed);
  const iterations = epoch + 1 + (options.evaluationsBefore?.(epoch) ?? 0);
  rng.skip(iterations * DRAWS_PER_ITERATION + epoch * Math.max(0, lengths.length - 1));
  return groupByLength(rng.randperm(lengths.length), lengths, groupSize);
}

/** Orders the rows of an evaluation, the same every time: batches of another order have other means. @returns their indices */
export function evaluationOrder(lengths: readonly number[], options: OrderOptions): Uint32Array {
  const { strategy, seed, dataSeed, groupSize } = options;
  if (strategy !== 'group_by_length') return inFileOrder(lengths.length);
  return groupByLength(new TorchRng(dataSeed ?? seed).randperm(lengths.length), lengths, groupSize);
}

function inFileOrder(count: number): Uint32Array {
  return Uint32Array.from({ length: count }, (_, i) => i);
}

/**
 * Sorts the rows of `permutation` within groups, longest first, and brings the longest row of all to the front, so that
 * memory peaks early. Source: get_length_grouped_indices.
 */
export function groupByLength(permutation: Uint32Array, lengths: readonly number[], groupSize: number): Uint32Array {
  const steps = Math.min(Math.floor(lengths.length / (groupSize * MIN_GROUPS)), MAX_STEPS_PER_GROUP);
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
