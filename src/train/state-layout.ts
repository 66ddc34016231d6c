/**
 * Where an optimizer's state lies: all of it on the GPU or, beyond a budget, in pages in host memory, which come to windows
 * on the GPU for their update.
 */
import { max as largest } from 'simple-statistics';
import { alignUp, BINDING_ALIGNMENT } from '../gpu/device-profile.ts';
import type { Tensor } from '../gpu/tensor.ts';
import { GROUP_ALIGNMENT, type Segment, type Trainable } from '../model/flat.ts';
import { partBytes, type StatePart, stateParts, type UpdateRule } from './update-rule.ts';

/** Elements of a segment from `start` on. */
export type Span = { readonly segment: number; readonly start: number; readonly count: number };

/** The state of some elements of a segment, a tensor for each part. */
export type HeldSpan = Span & { readonly parts: readonly Tensor[] };

/** The state of a segment: its parts, and the elements that it may be cut at multiples of. */
export type SegmentState = {
  readonly elements: number;
  readonly parts: readonly StatePart[];
  readonly quantum: number;
};

export type StateLayout = {
  /** What stays on the GPU. */
  readonly resident: readonly Span[];
  /** What comes and goes; empty where all of it stays. */
  readonly pages: readonly (readonly Span[])[];
  /** Pages that are on the GPU at once, and the bytes of each. */
  readonly windows: { readonly count: number; readonly bytes: number };
};

/** Two pages on their way: one is copied while the other is updated. */
const MOST_WINDOWS = 2;
/** Larger pages would make no fewer stops that count, and more staging. */
const MOST_WINDOW_BYTES = 32 * 2 ** 20;
/** Share of a budget that windows take together at most: the rest need not move. */
const WINDOWS_SHARE = 1 / 2;

export function segmentStates(segments: readonly Segment[], { formula }: Pick<UpdateRule, 'formula'>): SegmentState[] {
  return segments.map(({ param, group }) => ({
    elements: param.elements,
    parts: stateParts(formula, group),
    quantum: GROUP_ALIGNMENT[group.bits],
  }));
}

/** Bytes of some elements' state in a window, where each part begins at an offset that can be bound. */
export function spanBytes({ parts }: Pick<SegmentState, 'parts'>, count: number): number {
  return parts.reduce((sum, part) => sum + alignUp(partBytes(part, count)), 0);
}

/** The smallest budget that works, and the tensor whose state it is. */
export function smallestBudget(
  trainables: Iterable<Trainable>,
  segments: readonly SegmentState[],
): { readonly bytes: number; readonly name: string } {
  let largest = { bytes: 0, name: '' };
  for (const { name, param, segment } of trainables) {
    const state = segments[segment] as SegmentState;
    const bytes = spanBytes(state, alignUp(param.elements, state.quantum));
    if (bytes > largest.bytes) largest = { bytes, name };
  }
  return largest;
}

/** @param budget bytes that state may take of the GPU, at least `smallestBudget`; null has no limit */
export function layoutState(segments: readonly SegmentState[], budget: number | null): StateLayout {
  const whole = segments.map(({ elements }, segment): Span => ({ segment, start: 0, count: elements }));
  const total = segments.reduce((sum, state) => sum + spanBytes(state, state.elements), 0);
  if (budget === null || total <= budget) return { resident: whole, pages: [], windows: { count: 0, bytes: 0 } };
  const windows = windowsOf(segments, budget);
  const cutter = new Cutter(segments);
  const resident = cutter.next(budget - windows.count * windows.bytes);
  const pages: Span[][] = [];
  for (let page = cutter.next(windows.bytes); page.length > 0; page = cutter.next(windows.bytes)) pages.push(page);
  return { resident, pages, windows };
}

function windowsOf(segments: readonly SegmentState[], budget: number): StateLayout['windows'] {
  const least = largest(segments.map((state) => spanBytes(state, state.quantum)));
  const wanted = Math.min(MOST_WINDOW_BYTES, Math.floor((budget * WINDOWS_SHARE) / MOST_WINDOWS));
  if (MOST_WINDOWS * least > budget) return { count: 1, bytes: budget - (budget % BINDING_ALIGNMENT) };
  return { count: MOST_WINDOWS, bytes: Math.max(least, wanted - (wanted % BINDING_ALIGNMENT)) };
}

/** Cuts the segments, one after the other, into pieces. */
class Cutter {
  readonly #segments: readonly SegmentState[];
  #segment = 0;
  #start = 0;

  constructor(segments: readonly SegmentState[]) {
    this.#segments = segments;
  }

  /** The spans that follow and take at most `room` bytes; none at the end, or where nothing fits. */
  next(room: number): Span[] {
    const spans: Span[] = [];
    let left = room;
    for (let state = this.#segments[this.#segment]; state !== undefined; state = this.#segments[this.#segment]) {
      const count = Math.min(fitting(state, left), state.elements - this.#start);
      if (count > 0) spans.push({ segment: this.#segment, start: this.#start, count });
      left -= spanBytes(state, count);
      this.#start += count;
      if (this.#start < state.elements) break;
      this.#segment++;
      this.#start = 0;
    }
    return spans;
  }
}

/** The most elements, a multiple of the quantum, whose state takes at most `room` bytes. */
function fitting(state: SegmentState, room: number): number {
  const { parts, quantum, elements } = state;
  const perQuantum = parts.reduce((sum, part) => sum + partBytes(part, quantum), 0);
  if (perQuantum === 0) return elements;
  let count = quantum * Math.floor(room / perQuantum);
  while (count > 0 && spanBytes(state, count) > room) count -= quantum;
  return Math.max(0, count);
}
