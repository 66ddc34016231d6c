/** An optimizer's state as a run holds it: on the GPU as far as its budget goes, and in pages in host memory. */

import { ConfigError } from '../errors.ts';
import { alignUp } from '../gpu/device-profile.ts';
import type { Machine } from '../gpu/machine.ts';
import { Tensor } from '../gpu/tensor.ts';
import { STATE_CODES } from '../kernels/adamw-8bit.ts';
import type { FlatParameters, Trainable } from '../model/flat.ts';
import { type Page, Pager } from './pager.ts';
import {
  type HeldSpan,
  layoutState,
  type SegmentState,
  type Span,
  segmentStates,
  smallestBudget,
} from './state-layout.ts';
import { partBytes, type StatePart, type UpdateRule } from './update-rule.ts';

const F32_BYTES = 4;

export class HeldState {
  readonly resident: readonly HeldSpan[];
  /** What comes and goes; null where all state stays on the GPU. */
  readonly pager: Pager | null;
  /** What 8-bit codes stand for; null where no tensor has any. */
  readonly codes: Tensor | null;
  readonly #machine: Machine;
  readonly #states: readonly SegmentState[];

  /** @param budget bytes that state may take of the GPU; null has no limit. @throws ConfigError where one tensor's needs more */
  constructor(machine: Machine, trainable: FlatParameters, rule: UpdateRule, budget: number | null) {
    const { segments, tensors } = trainable;
    this.#machine = machine;
    this.#states = segmentStates(segments, rule);
    if (budget !== null) requireBudget(budget, smallestBudget(tensors.values(), this.#states));
    const { resident, pages, windows } = layoutState(this.#states, budget);
    const used = new UsedElements(trainable);
    this.resident = resident.map((span) => this.#hold(span, used));
    this.codes = segments.some(({ group }) => group.bits === 8)
      ? machine.residents.tensor({
          label: 'state_codes',
          shape: [STATE_CODES.length],
          dtype: 'f32',
          category: 'workspace',
        })
      : null;
    this.pager = pages.length === 0 ? null : this.#page(pages, windows);
  }

  #hold(span: Span, used: UsedElements): HeldSpan {
    const { residents } = this.#machine;
    const count = used.within(span);
    const parts = this.#partsOf(span).map((part) => {
      const bytes = partBytes(part, span.count);
      const label = `${part.name}[${span.segment}]`;
      const paddingBytes = bytes - partBytes(part, count);
      const storage = residents.storage({ label, category: 'optimizer', bytes, paddingBytes });
      return new Tensor({ label, shape: [bytes / bytesPerValue(part)], dtype: part.dtype, storage });
    });
    return { ...span, parts };
  }

  #page(pages: readonly (readonly Span[])[], { count, bytes }: { count: number; bytes: number }): Pager {
    const { residents } = this.#machine;
    const windows = Array.from({ length: count }, (_, i) => {
      const label = `optimizer.window[${i}]`;
      return residents.tensor({ label, shape: [bytes], dtype: 'u8', category: 'optimizer' });
    });
    const laid = pages.map((spans, index): Page => {
      const window = windows[index % count] as Tensor;
      let at = 0;
      const held = spans.map((span): HeldSpan => {
        const parts = this.#partsOf(span).map((part) => {
          const size = partBytes(part, span.count);
          const shape = [size / bytesPerValue(part)];
          const { dtype } = part;
          const tensor = new Tensor({ label: part.name, shape, dtype, storage: window.storage, byteOffset: at });
          at += alignUp(size);
          return tensor;
        });
        return { ...span, parts };
      });
      return { index, spans: held, bytes: at };
    });
    return new Pager(this.#machine, windows, laid);
  }

  #partsOf({ segment }: Span): readonly StatePart[] {
    return this.#state(segment).parts;
  }

  #state(segment: number): SegmentState {
    return this.#states[segment] as SegmentState;
  }

  /** Writes what kernels read and no step changes; to be called before the first run. */
  writeTables(): void {
    if (this.codes !== null) this.#machine.write(this.codes, STATE_CODES);
  }

  /** Zeroes the state. No step may be unread. */
  clear(): void {
    const submission = this.#machine.submission('clear state');
    for (const { parts } of this.resident) for (const part of parts) submission.clear(part);
    submission.submit();
    this.pager?.clear();
  }

  /** The parts of a tensor's state. */
  parts({ segment }: Trainable): readonly StatePart[] {
    return this.#state(segment).parts;
  }

  /** Reads a part of a tensor's state. No step may be unread. */
  async read(trainable: Trainable, part: StatePart): Promise<Uint8Array<ArrayBuffer>> {
    const out = new Uint8Array(partBytes(part, trainable.param.elements));
    for (const { from, bytes, to, tensor, page } of this.#pieces(trainable, part)) {
      const piece =
        page === null
          ? new Uint8Array(await this.#machine.read(tensor, { from, bytes })).subarray(0, bytes)
          : page.memory.subarray(tensor.byteOffset + from, tensor.byteOffset + from + bytes);
      out.set(piece, to);
    }
    return out;
  }

  /** Writes a part of a tensor's state. No step may be unread. */
  write(trainable: Trainable, part: StatePart, values: Uint8Array<ArrayBuffer>): void {
    for (const { from, bytes, to, tensor, page } of this.#pieces(trainable, part)) {
      const piece = values.subarray(to, to + bytes);
      if (page !== null) page.memory.set(piece, tensor.byteOffset + from);
      else this.#machine.write(tensor, wholeWords(piece), from);
    }
  }

  /** Where the bytes of a part lie: byte `from` of a tensor holds byte `to` of the part. */
  *#pieces(trainable: Trainable, part: StatePart) {
    const index = this.parts(trainable).indexOf(part);
    const end = trainable.start + trainable.param.elements;
    const held = [
      ...this.resident.map((span) => ({ span, page: null })),
      ...(this.pager?.pages ?? []).flatMap(({ spans, index: of }) =>
        spans.map((span) => ({ span, page: { memory: this.pager?.memory(of) as Uint8Array<ArrayBuffer> } })),
      ),
    ];
    for (const { span, page } of held) {
      if (span.segment !== trainable.segment) continue;
      const first = Math.max(span.start, trainable.start);
      const last = Math.min(span.start + span.count, end);
      if (first >= last) continue;
      const from = partBytes(part, first - span.start);
      const to = partBytes(part, first - trainable.start);
      const bytes = partBytes(part, last - trainable.start) - to;
      yield { from, to, bytes, tensor: span.parts[index] as Tensor, page };
    }
  }
}

const bytesPerValue = (part: StatePart): number => partBytes(part, 1);

/** Writes to a GPU are of whole words; what follows a tensor's last value is padding, which is zero. */
function wholeWords(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  if (bytes.length % F32_BYTES === 0) return bytes;
  const whole = new Uint8Array(alignUp(bytes.length, F32_BYTES));
  whole.set(bytes);
  return whole;
}

function requireBudget(budget: number, least: { readonly bytes: number; readonly name: string }): void {
  if (budget >= least.bytes) return;
  const message =
    `got ${budget} bytes, and the state of ${least.name} alone takes ${least.bytes}; the smallest that works is ` +
    `${least.bytes}, and more of it makes for fewer stops`;
  throw new ConfigError([{ path: 'paged_optimizer_memory', message }]);
}

/** Elements of tensors, without the padding between them. */
class UsedElements {
  readonly #tensors: ReadonlyMap<number, readonly Trainable[]>;

  constructor({ tensors, segments }: FlatParameters) {
    const all = [...tensors.values()];
    this.#tensors = new Map(segments.map((_, i) => [i, all.filter(({ segment }) => segment === i)]));
  }

  within({ segment, start, count }: Span): number {
    let sum = 0;
    for (const { start: first, param } of this.#tensors.get(segment) ?? [])
      sum += Math.max(0, Math.min(first + param.elements, start + count) - Math.max(first, start));
    return sum;
  }
}
