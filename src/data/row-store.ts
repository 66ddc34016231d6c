/** Rows in a compact form, in memory up to a budget and on a disk beyond it, with the lengths of all of them at hand. */
import { IGNORED, type Row } from './row.ts';
import type { RowSource } from './row-source.ts';

/** Bytes that can be written and read at any position. */
export interface ByteStore {
  write(position: number, bytes: Uint8Array): Promise<void>;
  read(position: number, into: Uint8Array): Promise<void>;
}

export type RowStoreOptions = {
  /** Makes the place for what is beyond the budget; absent, or null, keeps all in memory. */
  readonly openStore?: (() => Promise<ByteStore>) | null | undefined;
  /** Bytes of rows that stay in memory. */
  readonly memoryBytes?: number | undefined;
};

const MEMORY_BYTES = 256 * 2 ** 20;
const WORD = 4;
/** Words of a segment, the unit in which rows move to the disk. */
const SEGMENT_WORDS = 2 ** 20;

/** What a row begins with: its tokens, how its labels are kept, its documents. */
const HEAD_WORDS = 3;
const [LABELS_ARE_IDS, LABELS_BY_RUNS, LABELS_IN_FULL] = [0, 1, 2];

type Segment = { readonly start: number; words: Int32Array | null };

/** Rows that are appended one by one, and then read in any order. */
export class RowStore implements RowSource {
  readonly #openStore: (() => Promise<ByteStore>) | null;
  readonly #memoryBytes: number;
  readonly #offsets = new Growing((size) => new Float64Array(size));
  readonly #lengths = new Growing((size) => new Uint32Array(size));
  readonly #segments: Segment[] = [];
  /** Segments of the front that lie on the disk. */
  #onDisk = 0;
  #store: ByteStore | null = null;
  /** Words of all rows, and those of the last segment. */
  #end = 0;
  #filled = 0;

  constructor({ openStore = null, memoryBytes = MEMORY_BYTES }: RowStoreOptions = {}) {
    this.#openStore = openStore;
    this.#memoryBytes = memoryBytes;
  }

  get count(): number {
    return this.#lengths.size;
  }

  length(index: number): number {
    return this.#lengths.at(index);
  }

  /** Takes the next row. @throws DataError where the disk takes no more */
  async append(row: Row): Promise<void> {
    const words = encoded(row);
    const last = this.#segments.at(-1);
    if (last === undefined || last.words!.length - this.#filled < words.length) await this.#addSegment(words.length);
    const segment = this.#segments.at(-1)!;
    segment.words!.set(words, this.#filled);
    this.#offsets.push(segment.start + this.#filled);
    this.#lengths.push(row.inputIds.length);
    this.#filled += words.length;
    this.#end = segment.start + this.#filled;
  }

  async #addSegment(least: number): Promise<void> {
    const inMemory = this.#segments.slice(this.#onDisk).reduce((sum, { words }) => sum + words!.byteLength, 0);
    if (this.#openStore !== null && inMemory + SEGMENT_WORDS * WORD > this.#memoryBytes) await this.#moveToDisk();
    this.#segments.push({ start: this.#end, words: new Int32Array(Math.max(SEGMENT_WORDS, least)) });
    this.#filled = 0;
  }

  async #moveToDisk(): Promise<void> {
    this.#store ??= await this.#openStore!();
    for (; this.#onDisk < this.#segments.length; this.#onDisk++) {
      const segment = this.#segments[this.#onDisk]!;
      const end = this.#segments[this.#onDisk + 1]?.start ?? this.#end;
      await this.#store.write(segment.start * WORD, bytesOf(segment.words!.subarray(0, end - segment.start)));
      segment.words = null;
    }
  }

  row(index: number): Row | Promise<Row> {
    const at = this.#offsets.at(index);
    const segment = this.#segmentOf(at);
    if (segment.words !== null) return decoded(segment.words, at - segment.start);
    return this.#read(at, index + 1 < this.count ? this.#offsets.at(index + 1) : this.#end, segment);
  }

  async #read(at: number, next: number, segment: Segment): Promise<Row> {
    // the next row may begin a segment, with room left before it
    const end = Math.min(next, this.#segments[this.#segments.indexOf(segment) + 1]?.start ?? next);
    const words = new Int32Array(end - at);
    await this.#store!.read(at * WORD, bytesOf(words));
    return decoded(words, 0);
  }

  #segmentOf(at: number): Segment {
    let [low, high] = [0, this.#segments.length - 1];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.#segments[middle]!.start <= at) low = middle;
      else high = middle - 1;
    }
    return this.#segments[low]!;
  }
}

const bytesOf = (words: Int32Array): Uint8Array => new Uint8Array(words.buffer, words.byteOffset, words.byteLength);

function encoded({ inputIds, labels, documents = [] }: Row): Int32Array {
  const runs = labels === null ? [] : runsOf(inputIds, labels);
  const how = labels === null ? LABELS_ARE_IDS : runs === null ? LABELS_IN_FULL : LABELS_BY_RUNS;
  const kept = how === LABELS_IN_FULL ? labels! : how === LABELS_BY_RUNS ? [runs!.length, ...runs!] : [];
  const words = new Int32Array(HEAD_WORDS + inputIds.length + kept.length + documents.length);
  words.set([inputIds.length, how!, documents.length]);
  words.set(inputIds, HEAD_WORDS);
  words.set(kept, HEAD_WORDS + inputIds.length);
  words.set(documents, HEAD_WORDS + inputIds.length + kept.length);
  return words;
}

/** Lengths of stretches that are ignored and learned in turn, ignored first; null where a label is another id, or for more words. */
function runsOf(ids: Uint32Array, labels: Int32Array): number[] | null {
  const runs: number[] = [];
  let learned = false;
  let start = 0;
  for (let i = 0; i < labels.length; i++) {
    if (labels[i] !== IGNORED && labels[i] !== ids[i]) return null;
    if ((labels[i] !== IGNORED) === learned) continue;
    runs.push(i - start);
    start = i;
    learned = !learned;
  }
  runs.push(labels.length - start);
  return runs.length + 1 < labels.length ? runs : null;
}

function decoded(words: Int32Array, at: number): Row {
  const [tokens, how, documents] = words.subarray(at, at + HEAD_WORDS) as unknown as [number, number, number];
  let from = at + HEAD_WORDS;
  const inputIds = Uint32Array.from(words.subarray(from, from + tokens));
  from += tokens;
  let labels: Int32Array | null = null;
  if (how === LABELS_IN_FULL) {
    labels = words.slice(from, from + tokens);
    from += tokens;
  } else if (how === LABELS_BY_RUNS) {
    const runs = words[from]!;
    labels = labelsOfRuns(inputIds, words.subarray(from + 1, from + 1 + runs));
    from += 1 + runs;
  }
  return documents === 0
    ? { inputIds, labels }
    : { inputIds, labels, documents: [...words.subarray(from, from + documents)] };
}

function labelsOfRuns(ids: Uint32Array, runs: Int32Array): Int32Array {
  const labels = Int32Array.from(ids);
  let at = 0;
  for (const [i, run] of runs.entries()) {
    if (i % 2 === 0) labels.fill(IGNORED, at, at + run);
    at += run;
  }
  return labels;
}

/** Numbers in an array that doubles as it fills. */
class Growing {
  readonly #make: (size: number) => Float64Array | Uint32Array;
  #values: Float64Array | Uint32Array;
  size = 0;

  constructor(make: (size: number) => Float64Array | Uint32Array) {
    this.#make = make;
    this.#values = make(1024);
  }

  push(value: number): void {
    if (this.size === this.#values.length) {
      const larger = this.#make(this.size * 2);
      larger.set(this.#values);
      this.#values = larger;
    }
    this.#values[this.size++] = value;
  }

  at(index: number): number {
    if (!(index >= 0 && index < this.size)) throw new RangeError(`row ${index} of ${this.size}`);
    return this.#values[index]!;
  }
}
