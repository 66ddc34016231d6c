/** A checkpoint with an adapter merged into it: a view that computes the merged values as they are read, row by row. */
import type { Adapter } from '../../adapters/files.ts';
import {
  type AdapterLayout,
  EMBEDDING_A,
  EMBEDDING_B,
  LORA_A,
  LORA_B,
  LORA_B_BIAS,
  MAGNITUDE,
  transposed,
} from '../../adapters/layout.ts';
import { rowNorm } from '../../adapters/merge.ts';
import { type StartValues, storedValues } from '../../adapters/start-values.ts';
import { TOKENS } from '../../adapters/tokens.ts';
import { DataError, KernelCallError } from '../../errors.ts';
import type { TensorSource } from '../../formats/checkpoint.ts';
import { type FloatDtype, floatType, rawBytes } from '../../formats/dtype.ts';
import { nonFiniteAt } from '../../formats/finite.ts';
import type { Codec } from '../../wasm/codec.ts';
import { type UpdatePair, UpdateRows } from '../../wasm/update.ts';
import { convert } from '../slabs.ts';
import { UpdateMeter, type UpdateSize } from './update-size.ts';

export type MergeOptions = {
  readonly codec: Codec;
  /** PEFT's safe_merge: the update is rounded to the weight's type before it is added. */
  readonly safeMerge: boolean;
  /** Whether a merged value that its type does not hold is an error that names the adapter. */
  readonly refusesOverflow?: boolean;
};

export type MergedSource = TensorSource & {
  /** How large the updates are that were read so far, by weight. */
  updates(): ReadonlyMap<string, UpdateSize>;
};

type Merge =
  /** Rows in place of the base's. */
  | { readonly kind: 'rows'; readonly width: number; readonly rows: ReadonlyMap<number, Float32Array<ArrayBuffer>> }
  /** What is added to a vector. */
  | { readonly kind: 'added'; readonly values: Float32Array<ArrayBuffer> }
  | { readonly kind: 'replaced'; readonly values: Float32Array<ArrayBuffer> }
  | {
      readonly kind: 'update';
      readonly pair: UpdatePair;
      /** Null without DoRA. */
      readonly magnitude: Float32Array | null;
      readonly roundsUpdate: boolean;
    };

/** Opens the view. All of the adapter is held in memory; of the base, a few rows. */
export async function mergedSource(
  source: TensorSource,
  adapter: Adapter,
  options: MergeOptions,
): Promise<MergedSource> {
  const { codec, safeMerge, refusesOverflow = false } = options;
  const merges = mergesOf(adapter.layout, await storedValues(adapter), safeMerge);
  return viewOf(source, merges, { codec, blamed: refusesOverflow ? adapter : null });
}

/** The base with the updates of an adapter's pairs taken off, each weight in its own type. @param values of A and B */
export function residualSource(
  source: TensorSource,
  { targets }: Pick<AdapterLayout, 'targets'>,
  values: StartValues,
  codec: Codec,
): TensorSource {
  const negative = targets.map((target) => ({ ...target, scaling: -target.scaling }));
  const layout = { targets: negative, dora: false, loraBias: false, tokens: [], trained: [] };
  return viewOf(source, mergesOf(layout, values, false), { codec, blamed: null });
}

type ViewOptions = {
  readonly codec: Codec;
  /** The adapter that a value beyond its type is an error of; null where it becomes infinite. */
  readonly blamed: Adapter | null;
};

function viewOf(
  source: TensorSource,
  merges: ReadonlyMap<string, Merge>,
  { codec, blamed }: ViewOptions,
): MergedSource {
  const meters = new Map<string, UpdateMeter>();
  const updates = new UpdateRows(codec);
  return {
    ...source,
    updates: () => new Map([...meters].map(([name, meter]) => [name, meter.size()])),
    read: async (name, byteOffset, into) => {
      const merge = merges.get(name);
      if (merge === undefined) return source.read(name, byteOffset, into);
      const dtype = source.info(name).dtype as FloatDtype;
      const { bytes } = floatType(dtype);
      const [first, count] = [byteOffset / bytes, into.byteLength / bytes];
      if (!Number.isInteger(first) || !Number.isInteger(count))
        throw new KernelCallError(name, `is read in parts of elements: ${into.byteLength} bytes from ${byteOffset}`);
      if (merge.kind === 'replaced') {
        into.set(convert(codec, rawBytes(merge.values.slice(first, first + count)), 'F32', floatType(dtype).torch));
        return;
      }
      const view = { source, name, dtype, codec, updates };
      if (merge.kind !== 'update') {
        const values = await readValues(view, first, count);
        if (merge.kind === 'added') addTo(values, merge.values.subarray(first, first + count));
        else replaceRows(values, merge, first);
        into.set(convert(codec, rawBytes(values), 'F32', floatType(dtype).torch));
        return;
      }
      const meter = meters.get(name) ?? new UpdateMeter();
      meters.set(name, meter);
      const range = wholeRows(merge, first, count);
      const weights = await readValues(view, range.first, range.count);
      for (const part of rowParts(first, count, merge.pair.in)) {
        const at = part.row * merge.pair.in - range.first;
        const row = weights.subarray(Math.max(0, at), at + merge.pair.in);
        const merged = mergeRow(view, merge, part, { row, first: Math.max(0, -at) }, meter);
        const stored = convert(codec, rawBytes(merged), 'F32', floatType(dtype).torch);
        if (blamed !== null && row.every(Number.isFinite))
          requireHeld(blamed, { name, dtype, stored, element: part.element });
        into.set(stored, (part.element - first) * bytes);
      }
    },
  };
}

type StoredPart = {
  readonly name: string;
  readonly dtype: FloatDtype;
  readonly stored: Uint8Array;
  /** Number of its first element in the weight. */
  readonly element: number;
};

/** Requires merged values that their type can hold. @throws DataError that names the adapter: the weights themselves are finite */
function requireHeld({ source }: Adapter, { name, dtype, stored, element }: StoredPart): void {
  const { torch } = floatType(dtype);
  const bad = nonFiniteAt(stored, torch);
  if (bad < 0) return;
  const wider = torch === 'float16' ? ' set dtype to bfloat16 or float32, or' : '';
  throw new DataError(
    source.root,
    `${name}: element ${element + bad} is beyond ${torch} with the adapter's update added. Was the adapter saved from a run that diverged? If not,${wider} make its lora_alpha smaller.`,
  );
}

type RowPart = { readonly row: number; readonly from: number; readonly count: number; readonly element: number };

/** Cuts a range of elements at the ends of rows. */
function* rowParts(first: number, count: number, width: number): Generator<RowPart> {
  for (let element = first; element < first + count; ) {
    const [row, from] = [Math.floor(element / width), element % width];
    const taken = Math.min(width - from, first + count - element);
    yield { row, from, count: taken, element };
    element += taken;
  }
}

type WeightView = {
  readonly source: TensorSource;
  readonly name: string;
  readonly dtype: FloatDtype;
  readonly codec: Codec;
  readonly updates: UpdateRows;
};
type Update = Extract<Merge, { kind: 'update' }>;

/** DoRA's norm is that of a whole row, whatever part of it is read. */
function wholeRows({ pair: { in: width }, magnitude }: Update, first: number, count: number) {
  if (magnitude === null) return { first, count };
  const begin = first - (first % width);
  return { first: begin, count: Math.ceil((first + count) / width) * width - begin };
}

/** Merges elements of a row, f32. @param given the part of it that was read, from its element `first` on */
function mergeRow(
  view: WeightView,
  { pair, magnitude, roundsUpdate }: Update,
  { row, from, count }: RowPart,
  given: { readonly row: Float32Array; readonly first: number },
  meter: UpdateMeter,
): Float32Array<ArrayBuffer> {
  const begin = magnitude === null ? from : 0;
  const weights = given.row.subarray(begin - given.first, magnitude === null ? begin - given.first + count : pair.in);
  const update = new Float32Array(weights.length);
  view.updates.row(pair, row, begin, update);
  const added = roundsUpdate ? rounded(view, update) : update;
  // a loop: Float32Array.from with a function takes thirty times as long
  const merged = new Float32Array(weights.length);
  for (let k = 0; k < merged.length; k++) merged[k] = (weights[k] as number) + (added[k] as number);
  if (magnitude === null) {
    meter.add(weights, update);
    return merged;
  }
  const factor = Math.fround((magnitude[row] as number) / rowNorm(merged));
  const own = weights.subarray(from, from + count);
  const scaled = merged.slice(from, from + count).map((w) => w * factor);
  meter.add(
    own,
    scaled.map((w, k) => w - (own[k] as number)),
  );
  return scaled;
}

function addTo(values: Float32Array, added: Float32Array): void {
  for (let k = 0; k < values.length; k++) values[k] = (values[k] as number) + (added[k] as number);
}

/** Puts rows into values that begin at element `first`, which may cut them. */
function replaceRows(values: Float32Array, { width, rows }: Extract<Merge, { kind: 'rows' }>, first: number): void {
  for (const { row, from, count, element } of rowParts(first, values.length, width)) {
    const own = rows.get(row);
    if (own !== undefined) values.set(own.subarray(from, from + count), element - first);
  }
}

async function readValues({ source, name, dtype, codec }: WeightView, first: number, count: number) {
  const { bytes } = floatType(dtype);
  const raw = new Uint8Array(count * bytes);
  await source.read(name, first * bytes, raw);
  const wide = convert(codec, raw, dtype, 'float32');
  return new Float32Array(wide.buffer, wide.byteOffset, count);
}

function rounded({ codec, dtype }: WeightView, values: Float32Array<ArrayBuffer>): Float32Array {
  const narrow = convert(codec, rawBytes(values), 'F32', floatType(dtype).torch);
  return new Float32Array(convert(codec, narrow.slice(), dtype, 'float32').slice().buffer);
}

function mergesOf(
  { targets, dora, loraBias, tokens, trained }: AdapterLayout,
  values: StartValues,
  safe: boolean,
): Map<string, Merge> {
  const merges = new Map<string, Merge>();
  const valuesOf = (name: string): Float32Array<ArrayBuffer> => {
    const found = values.get(name);
    if (found === undefined) throw new KernelCallError(name, 'is part of the adapter, and was not read');
    return found;
  };
  for (const { name, kind, out, in: width, rank: r, scaling } of targets) {
    const isEmbedding = kind === 'embedding';
    // an embedding's A lies (tokens, r), so that its rows stand where those of B do in a linear layer
    const pair: UpdatePair = isEmbedding
      ? {
          A: transposed(valuesOf(`${name}.${EMBEDDING_B}`), width, r),
          B: valuesOf(`${name}.${EMBEDDING_A}`),
          r,
          in: width,
          scaling,
        }
      : { A: valuesOf(`${name}.${LORA_A}`), B: valuesOf(`${name}.${LORA_B}`), r, in: width, scaling };
    if (pair.B.length !== out * r)
      throw new KernelCallError(name, `has a pair of ${pair.B.length} elements, needs ${out * r}`);
    const magnitude = dora && !isEmbedding ? valuesOf(`${name}.${MAGNITUDE}`) : null;
    // PEFT rounds an embedding's update either way, and DoRA's never
    const roundsUpdate = isEmbedding || (safe && magnitude === null);
    merges.set(`${name}.weight`, { kind: 'update', pair, magnitude, roundsUpdate });
  }
  for (const { name } of trained) merges.set(name, { kind: 'replaced', values: valuesOf(name) });
  for (const { module, indices, shape } of tokens) {
    const [, width] = shape;
    const own = valuesOf(`${module}.${TOKENS}`);
    const rows = new Map(indices.map((id, i) => [id, own.slice(i * width, (i + 1) * width)]));
    merges.set(`${module}.weight`, { kind: 'rows', width, rows });
  }
  for (const { name, scaling } of loraBias ? targets : []) {
    const added = valuesOf(`${name}.${LORA_B_BIAS}`).map((value) => value * scaling);
    const whole = merges.get(`${name}.bias`);
    // one that is trained as well is held in f32, and rounded once
    if (whole?.kind === 'replaced') merges.set(`${name}.bias`, { ...whole, values: sumOf(whole.values, added) });
    else merges.set(`${name}.bias`, { kind: 'added', values: added });
  }
  return merges;
}

const sumOf = (a: Float32Array<ArrayBuffer>, b: Float32Array): Float32Array<ArrayBuffer> =>
  a.map((value, k) => value + (b[k] as number));
