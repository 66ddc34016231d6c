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

/** Lengths of rows in tokens, in the order of the file. */
export type Lengths = ArrayLike<number>;

/**
 * Returns the order of the rows by epoch (from 0), as their indices. The last one asked for is kept, so that the steps of an
 * epoch cost nothing; epochs one after another take what each of them draws, not what all before it drew.
 *
 * `random` takes a generator of its own, seeded with the data seed plus the epoch. `group_by_length` takes torch's
 * process-wide one, which Trainer seeds with `seed` (never with data_seed) and which every pass over training or
 * evaluation data draws from. Dropout draws from it as well where it is computed on a CPU, not on a GPU: with dropout the
 * order here is that of a GPU.
 * Source: Trainer._get_train_sampler, accelerate's SeedableRandomSampler, torch's RandomSampler and DataLoader.
 */
export function epochOrders(lengths: Lengths, options: OrderOptions): (epoch: number) => Uint32Array {
  const orderOf = { random: shuffled, sequential: unchanged, group_by_length: grouped }[options.strategy];
  const orders = orderOf(lengths, options);
  let known: { epoch: number; order: Uint32Array } | undefined;
  return (epoch) => {
    if (known?.epoch !== epoch) known = { epoch, order: orders(epoch) };
    return known.order;
  };
}

type Orders = (lengths: Lengths, options: OrderOptions) => (epoch: number) => Uint32Array;

const unchanged: Orders = ({ length }) => {
  const order = inFileOrder(length);
  return () => order;
};

const shuffled: Orders = ({ length }, { seed, dataSeed }) => {
  return (epoch) => new TorchRng((dataSeed ?? seed) + epoch).randperm(length);
};

const grouped: Orders = (lengths, { seed, groupSize, evaluationsBefore = () => 0 }) => {
  let rng = new TorchRng(seed);
  let drawn = 0;
  return (epoch) => {
    const permutation = Math.max(0, lengths.length - 1);
    const before = (epoch + 1 + evaluationsBefore(epoch)) * DRAWS_PER_ITERATION + epoch * permutation;
    if (before < drawn) {
      rng = new TorchRng(seed);
      drawn = 0;
    }
    rng.skip(before - drawn);
    drawn = before + permutation;
    return groupByLength(rng.randperm(lengths.length), lengths, groupSize);
  };
};

/** Orders the rows of an evaluation, the same every time: batches of another order have other means. @returns their indices */
export function evaluationOrder(lengths: Lengths, options: OrderOptions): Uint32Array {
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
export function groupByLength(permutation: Uint32Array, lengths: Lengths, groupSize: number): Uint32Array {
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
