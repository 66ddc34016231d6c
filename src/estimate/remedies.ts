/** What would make a run need less memory, and how much it would need then. */
import { max as largest } from 'simple-statistics';
import { sizeInWords, type TrainConfig } from '../config/index.ts';
import type { BatchShape, Shapes } from '../train/shapes.ts';

/** Settings and batch shapes of a run that may be changed. */
export type Candidate = { readonly config: TrainConfig; readonly shapes: Shapes };
/** Peak in bytes after a change. */
export type Remedy = { readonly what: string; readonly bytes: number };
/** Peak of a candidate in bytes; null for runs that are refused, such as QLoRA of an adapter that trains a weight. */
export type PeakOf = (candidate: Candidate) => Promise<number | null>;

type Change = { readonly what: string; readonly apply: (given: Candidate) => Candidate };

/**
 * The peak after each change, the smallest first; and after all of them together, where none is enough.
 * @param isQuantized whether the base lies in 4 bits already
 * @param most bytes that the run may have
 */
export async function peaksAfter(
  given: Candidate,
  isQuantized: boolean,
  peakOf: PeakOf,
  most: number,
): Promise<Remedy[]> {
  const changes = changesOf(given, isQuantized);
  const found: Remedy[] = [];
  const measure = async ({ what, apply }: Change): Promise<void> => {
    const bytes = await peakOf(apply(given));
    if (bytes !== null) found.push({ what, bytes });
  };
  for (const change of changes) await measure(change);
  found.sort((a, b) => a.bytes - b.bytes);
  if (changes.length > 1 && !found.some(({ bytes }) => bytes <= most))
    await measure({ what: 'all of these', apply: (from) => changes.reduce((p, change) => change.apply(p), from) });
  return found;
}

/** Lists peaks after changes as lines of a message; `verdict` says of each whether that is little enough. */
export function remedyLines(found: readonly Remedy[], verdict: (bytes: number) => string): string[] {
  if (found.length === 0) return [];
  const width = largest(found.map(({ what }) => what.length));
  return [
    'What would help, and what the run would need then:',
    ...found.map(({ what, bytes }) => `  ${what.padEnd(width)}${sizeInWords(bytes).padStart(13)}, ${verdict(bytes)}`),
  ];
}

/** Verdict on a peak where the bytes are known that a run may have. */
export const fitsIn =
  (most: number) =>
  (bytes: number): string =>
    bytes <= most ? 'fits' : 'is still too much';

function changesOf({ config, shapes }: Candidate, isQuantized: boolean): Change[] {
  const { method, gradient_checkpointing, per_device_train_batch_size: batch, max_length } = config;
  const set = (what: string, values: Partial<TrainConfig>): Change => ({
    what,
    apply: (p) => ({ ...p, config: { ...p.config, ...values } }),
  });
  const reshape = (what: string, of: (shape: BatchShape) => BatchShape): Change => ({
    what,
    apply: (p) => {
      const { train, evaluation } = p.shapes;
      return { ...p, shapes: { ...p.shapes, train: train.map(of), evaluation: evaluation.map(of) } };
    },
  });
  const half = (n: number): number => Math.ceil(n / 2);
  const longest = largest(shapes.train.map(({ S }) => S));
  const double = { load_in_4bit: true, bnb_4bit_use_double_quant: true };
  return [
    ...(method === 'full' ? [set('method: lora', { method: 'lora' })] : []),
    // qlora makes a checkpoint that is quantized already no smaller
    ...(isQuantized ? [] : [set('method: qlora with bnb_4bit_use_double_quant', { method: 'qlora', ...double })]),
    ...(gradient_checkpointing === true ? [] : [set('gradient_checkpointing: true', { gradient_checkpointing: true })]),
    ...(batch > 1 ? [reshape(`per_device_train_batch_size: ${half(batch)}`, (s) => ({ ...s, B: half(s.B) }))] : []),
    ...(longest >= 4
      ? [reshape(`max_length: ${half(Math.min(longest, max_length ?? longest))}`, (s) => ({ ...s, S: half(s.S) }))]
      : []),
  ];
}
