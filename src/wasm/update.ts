/** What an adapter adds to rows of a weight, computed by the module. */
import { KernelCallError } from '../errors.ts';
import { type Codec, MAX_SLAB_BYTES, REGION } from './codec.ts';

/** A (r, in), B (out, r), f32 row-major. */
export type UpdatePair = {
  readonly A: Float32Array;
  readonly B: Float32Array;
  readonly r: number;
  readonly in: number;
  readonly scaling: number;
};

const FLOATS = MAX_SLAB_BYTES / 4;
/** Floats that the part of a region behind its source holds. */
const FLOATS_BEHIND = (REGION.byteLength - REGION.packed) / 4;

/** What region 2 of each codec holds. */
const held = new WeakMap<Codec, { readonly pair: UpdatePair; readonly from: number; readonly count: number }>();

/**
 * Computes rows of scaling * B A as torch does on a CPU: products summed in the order of the ranks with one rounding each (FMA),
 * then multiplied by the scaling. Columns of A stay in region 2 of the codec from row to row.
 * Source: peft.tuners.lora.layer, get_delta_weight.
 */
export class UpdateRows {
  readonly #codec: Codec;

  constructor(codec: Codec) {
    this.#codec = codec;
  }

  /** Fills `into` with scaling * (B A)[row, from ..]. */
  row(pair: UpdatePair, row: number, from: number, into: Float32Array): void {
    const { A, B, r, in: width, scaling } = pair;
    if (A.length !== r * width || from + into.length > width || (row + 1) * r > B.length)
      throw new KernelCallError('UpdateRows', `row ${row} from ${from} on does not fit a pair of ${width} by ${r}`);
    const codec = this.#codec;
    const most = Math.min(Math.floor(FLOATS / r), FLOATS_BEHIND - r);
    if (most < 1) throw new KernelCallError('UpdateRows', `rank ${r} is beyond what the module's memory holds`);
    const source = codec.region(2) + REGION.source;
    const behind = codec.region(2) + REGION.packed;
    for (let at = from; at < from + into.length; ) {
      // blocks of columns begin at the same places whatever part of a row is asked for
      const begin = at - (at % most);
      const block = Math.min(most, width - begin);
      this.#hold(pair, begin, block);
      const count = Math.min(begin + block, from + into.length) - at;
      codec.floats(behind, r).set(B.subarray(row * r, (row + 1) * r));
      const target = behind + 4 * r;
      codec.wasm.updateRow(source + 4 * (at - begin), behind, r, block, count, scaling, target);
      into.set(codec.floats(target, count), at - from);
      at += count;
    }
  }

  #hold(pair: UpdatePair, from: number, count: number): void {
    const before = held.get(this.#codec);
    if (before?.pair === pair && before.from === from && before.count === count) return;
    const { A, r, in: width } = pair;
    const into = this.#codec.floats(this.#codec.region(2) + REGION.source, r * count);
    for (let j = 0; j < r; j++) into.set(A.subarray(j * width + from, j * width + from + count), j * count);
    held.set(this.#codec, { pair, from, count });
  }
}
