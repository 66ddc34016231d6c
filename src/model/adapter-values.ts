/** Writes the values of adapters into the tensors that a set of them computes with. */
import type { StartValues } from '../adapters/start-values.ts';
import { KernelCallError } from '../errors.ts';
import type { Machine } from '../gpu/machine.ts';
import { type AdapterParts, type AdapterSet, type AdapterTable, GAINS_PLAN } from './adapter-set.ts';

type Floats = Float32Array<ArrayBuffer>;

/** Fills a set from the values of its adapters, in their order; the base has to be loaded, and the machine compiled. */
export async function loadAdapters(
  machine: Machine,
  { parts: { pairs, replaced, biases, tokens, gains } }: AdapterSet,
  values: readonly StartValues[],
): Promise<void> {
  for (const pair of pairs) fillPair(machine, pair, values);
  for (const { adapter, name, tensor } of replaced) machine.write(tensor, storedValue(values, adapter, name));
  for (const { adapter, name, ids, rows } of tokens) {
    machine.write(rows.indices, Uint32Array.from(ids));
    machine.write(rows.rows, storedValue(values, adapter, name));
  }
  for (const { name, base, table, onB } of biases) {
    const own = base === null ? new Float32Array(table.width) : new Float32Array(await machine.read(base));
    const biasOf = (adapter: number): Floats => {
      const whole = values[adapter - 1]?.get(name) ?? own;
      const scaling = onB.scalings.get(adapter);
      if (scaling === undefined) return whole;
      const added = storedValue(values, adapter, onB.name);
      return whole.map((value, n) => value + Math.fround((added[n] as number) * scaling));
    };
    writeTable(machine, table, values, biasOf, own);
  }
  if (gains.length > 0) await fillGains(machine, gains, values);
}

function storedValue(values: readonly StartValues[], adapter: number, name: string): Floats {
  const found = values[adapter - 1]?.get(name);
  if (found === undefined) throw new KernelCallError(name, `is declared, and adapter ${adapter} has no values for it`);
  return found;
}

/** Lays the pairs of a module side by side: an embedding's A and every B by columns, other A by rows. */
function fillPair(machine: Machine, pair: AdapterParts['pairs'][number], values: readonly StartValues[]): void {
  const { names, isEmbedding, low, places } = pair;
  const A = new Float32Array(low.A.elements);
  const B = new Float32Array(low.B.elements);
  const owners = new Uint32Array(low.R);
  const scales = new Float32Array(low.R);
  for (const { adapter, first, r, scaling } of places) {
    const [own, back] = [storedValue(values, adapter, names.A), storedValue(values, adapter, names.B)];
    if (isEmbedding) intoColumns(A, low.R, own, first, r);
    else A.set(own, first * pair.width);
    intoColumns(B, low.R, back, first, r);
    owners.fill(adapter, first, first + r);
    scales.fill(scaling, first, first + r);
  }
  machine.write(low.A, A);
  machine.write(low.B, B);
  machine.write(low.owners, owners);
  machine.write(low.scales, scales);
}

/** Copies rows of `r` elements into columns first .. first + r of rows of `ld`. */
function intoColumns(to: Floats, ld: number, from: Floats, first: number, r: number): void {
  for (let row = 0; row < from.length / r; row++) to.set(from.subarray(row * r, (row + 1) * r), row * ld + first);
}

function writeTable(
  machine: Machine,
  { tensor, ld, width }: AdapterTable,
  values: readonly StartValues[],
  rowOf: (adapter: number) => Floats,
  base: Floats,
): void {
  const rows = new Float32Array(tensor.elements);
  rows.set(base.subarray(0, width));
  for (let adapter = 1; adapter <= values.length; adapter++) rows.set(rowOf(adapter).subarray(0, width), adapter * ld);
  machine.write(tensor, rows);
}

/** Factors m / norm, in f32 as the kernel of training divides; 1 for every adapter that is no DoRA. */
async function fillGains(
  machine: Machine,
  gains: AdapterParts['gains'],
  values: readonly StartValues[],
): Promise<void> {
  await machine.run(GAINS_PLAN);
  for (const table of new Set(gains.map((gain) => gain.table))) {
    const norms = new Float32Array(await machine.read(table.tensor));
    const factors = new Map(
      gains
        .filter((gain) => gain.table === table)
        .map(({ name, place: { adapter } }) => [
          adapter,
          factorsOf(storedValue(values, adapter, name), norms, adapter * table.ld),
        ]),
    );
    const ones = new Float32Array(table.width).fill(1);
    writeTable(machine, table, values, (adapter) => factors.get(adapter) ?? ones, ones);
  }
}

function factorsOf(magnitude: Floats, norms: Floats, at: number): Floats {
  return magnitude.map((m, n) => m / (norms[at + n] as number));
}
