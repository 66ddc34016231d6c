/** Sizes of the batches of a run, from the lengths of its rows alone: they say which shapes need a plan. */
import type { BatchSize } from '../data/batches.ts';
import type { Lengths } from '../data/order.ts';

/**
 * Rows whose order is worked out before a run, so that only shapes which occur are planned: a few tenths of a second. A run
 * that visits more is planned for every shape that can occur.
 */
const MOST_VISITS = 2 ** 20;
/** What it costs to seed the generator of an epoch, in rows. */
const EPOCH_VISITS = 2 ** 10;

export type TrainSizesOptions = {
  readonly perDeviceTrainBatchSize: number;
  /** Micro-batches of the whole run. */
  readonly microBatches: number;
  /** Whether all epochs have the order of the first one. */
  readonly isSameEveryEpoch: boolean;
  readonly orderOf: (epoch: number) => Uint32Array;
  /** For tests. */
  readonly mostVisits?: number;
};

/** Sizes of all batches that a run may have: of those that it has, each once, where they can be counted in a moment. */
export function trainSizes(lengths: Lengths, options: TrainSizesOptions): BatchSize[] {
  const { perDeviceTrainBatchSize: B, isSameEveryEpoch, orderOf, mostVisits = MOST_VISITS } = options;
  const perEpoch = Math.ceil(lengths.length / B);
  const microBatches = isSameEveryEpoch ? Math.min(options.microBatches, perEpoch) : options.microBatches;
  const visits = Math.ceil(microBatches / perEpoch) * (lengths.length + EPOCH_VISITS);
  if (visits > mostVisits) return possibleSizes(lengths, B);
  const sizes = new Map<string, BatchSize>();
  for (let i = 0; i < microBatches; i++) {
    const batch = i % perEpoch;
    const size = sizeOf(lengths, orderOf(Math.floor(i / perEpoch)), batch * B, (batch + 1) * B);
    sizes.set(`${size.B},${size.longest}`, size);
  }
  return [...sizes.values()];
}

/** Sizes of the batches that divide all rows in an order, each once. */
export function sizesInOrder(lengths: Lengths, order: Uint32Array, B: number): BatchSize[] {
  const microBatches = Math.ceil(lengths.length / B);
  const options = { perDeviceTrainBatchSize: B, microBatches, isSameEveryEpoch: true, orderOf: () => order };
  return trainSizes(lengths, { ...options, mostVisits: Number.POSITIVE_INFINITY });
}

function sizeOf(lengths: Lengths, order: Uint32Array, from: number, to: number): BatchSize {
  let longest = 0;
  const end = Math.min(to, order.length);
  for (let i = from; i < end; i++) longest = Math.max(longest, lengths[order[i]!]!);
  return { B: end - from, longest };
}

/** Whatever the order is: of B rows, the longest is at least as long as the B-th shortest of all. */
function possibleSizes(lengths: Lengths, B: number): BatchSize[] {
  const sorted = Uint32Array.from(lengths).sort();
  const short = sorted.length % B;
  const counts = [...(sorted.length >= B ? [B] : []), ...(short > 0 ? [short] : [])];
  return counts.flatMap((rows) => [...new Set(sorted.subarray(rows - 1))].map((longest) => ({ B: rows, longest })));
}
