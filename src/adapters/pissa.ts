/**
 * PiSSA (Meng and others 2024, arXiv 2404.02948) by its fast SVD: an adapter starts as the first singular triples of its weight, which
 * lose them in turn. It is saved as a plain adapter of twice the rank, which holds for the weights as they were. Pure.
 */
import { KernelCallError } from '../errors.ts';
import type { TorchRng } from '../formats/torch-rng.ts';
import type { LoraConfig } from './config.ts';
import { type AdapterLayout, LORA_A, LORA_B } from './layout.ts';
import type { LoraTarget } from './match.ts';
import type { StartValues } from './start-values.ts';
import { type Matrix, matrix, orthogonalized, productSvd, transposedMatrix } from './svd.ts';

export type PissaInit = `pissa_niter_${number}`;

const PISSA = /^pissa_niter_(\d+)$/;

/** Rounds of subspace iteration that a start asks for; null where it is another start. */
export function pissaRounds(init: LoraConfig['init_lora_weights']): number | null {
  const [, rounds] = typeof init === 'string' ? (PISSA.exec(init) ?? []) : [];
  return rounds === undefined ? null : Number(rounds);
}

export type Weight = { readonly rows: number; readonly columns: number; readonly values: Float32Array };

/** A (r, columns) and B (rows, r), f32: scaling * B A is the part of the weight that is taken off it. */
export type PissaPair = { readonly A: Float32Array<ArrayBuffer>; readonly B: Float32Array<ArrayBuffer> };

/**
 * The start of one pair, out of torch's normals: svd_lowrank (Halko and others 2009, algorithms 4.4 and 5.1), in f64 where torch has f32.
 * Source: peft.tuners.lora.layer, pissa_init; torch/_lowrank.py.
 */
export function pissaPair(
  weight: Weight,
  { r, scaling, rounds }: { readonly r: number; readonly scaling: number; readonly rounds: number },
  rng: TorchRng,
): PissaPair {
  const isTall = weight.rows >= weight.columns;
  const [length, width] = isTall ? [weight.rows, weight.columns] : [weight.columns, weight.rows];
  const forth = (X: Matrix): Matrix => (isTall ? times(weight, X) : transposedTimes(weight, X));
  const back = (X: Matrix): Matrix => (isTall ? transposedTimes(weight, X) : times(weight, X));
  let basis = orthogonalized(forth(matrix(width, r, Float64Array.from(rng.normal(width * r, 1))))).basis;
  for (let round = 0; round < rounds; round++) basis = orthogonalized(forth(orthogonalized(back(basis)).basis)).basis;
  const { U, S, V } = productSvd(basis, transposedMatrix(back(basis)));
  if (U.rows !== length) throw new KernelCallError('pissa', `a basis of ${U.rows} rows, for ${length}`);
  const [left, right] = isTall ? [U, V] : [transposedMatrix(V), transposedMatrix(U)];
  const A = new Float32Array(r * weight.columns);
  const B = new Float32Array(weight.rows * r);
  for (let j = 0; j < r; j++) {
    const root = Math.sqrt((S[j] as number) / scaling);
    for (let k = 0; k < weight.columns; k++)
      A[j * weight.columns + k] = root * (right.values[j * weight.columns + k] as number);
    for (let i = 0; i < weight.rows; i++) B[i * r + j] = root * (left.values[i * r + j] as number);
  }
  return { A, B };
}

/** Columns, or rows, that are worked on at once: sums stay in registers, and what they are made of is read once for all. */
const AT_ONCE = 4;

/** W X */
function times({ rows, columns, values }: Weight, X: Matrix): Matrix {
  const q = X.columns;
  const out = matrix(rows, q);
  const turned = transposedMatrix(X).values;
  for (let i = 0; i < rows; i++) {
    const row = values.subarray(i * columns, (i + 1) * columns);
    let j = 0;
    for (; j + AT_ONCE <= q; j += AT_ONCE) {
      let [a, b, c, d] = [0, 0, 0, 0];
      const [x, y, z, w] = [j, j + 1, j + 2, j + 3].map((at) => turned.subarray(at * columns, (at + 1) * columns));
      if (x === undefined || y === undefined || z === undefined || w === undefined) break;
      for (let k = 0; k < columns; k++) {
        const factor = row[k] as number;
        a += factor * (x[k] as number);
        b += factor * (y[k] as number);
        c += factor * (z[k] as number);
        d += factor * (w[k] as number);
      }
      out.values.set([a, b, c, d], i * q + j);
    }
    for (; j < q; j++) {
      let sum = 0;
      for (let k = 0; k < columns; k++) sum += (row[k] as number) * (turned[j * columns + k] as number);
      out.values[i * q + j] = sum;
    }
  }
  return out;
}

/** W^T X */
function transposedTimes({ rows, columns, values }: Weight, X: Matrix): Matrix {
  const q = X.columns;
  // (q, columns), whose rows are added to from end to end
  const sums = matrix(q, columns);
  for (let i = 0; i < rows; i += AT_ONCE) {
    const many = Math.min(AT_ONCE, rows - i);
    const [x, y, z, w] = Array.from({ length: AT_ONCE }, (_, at) => {
      const row = i + Math.min(at, many - 1);
      return values.subarray(row * columns, (row + 1) * columns);
    });
    if (x === undefined || y === undefined || z === undefined || w === undefined) break;
    for (let j = 0; j < q; j++) {
      const [a = 0, b = 0, c = 0, d = 0] = Array.from({ length: many }, (_, at) => X.values[(i + at) * q + j]);
      const into = sums.values.subarray(j * columns, (j + 1) * columns);
      for (let k = 0; k < columns; k++)
        into[k] =
          (into[k] as number) +
          (a * (x[k] as number) + b * (y[k] as number) + (c * (z[k] as number) + d * (w[k] as number)));
    }
  }
  return transposedMatrix(sums);
}

/**
 * The adapter as it is saved: A over the first A, and B beside the first B with its sign turned, so that it says what was learned, for the
 * weights as they were; scalings stay. Source: peft.peft_model, save_pretrained with path_initial_model_for_weight_conversion.
 */
export function converted(config: LoraConfig, layout: AdapterLayout): { config: LoraConfig; layout: AdapterLayout } {
  // rsLoRA divides by the root of the rank
  const factor = config.use_rslora ? Math.SQRT2 : 2;
  const scaled = (pattern: Readonly<Record<string, number>>, by: number) =>
    Object.fromEntries(Object.entries(pattern).map(([key, value]) => [key, by * value]));
  return {
    config: {
      ...config,
      init_lora_weights: true,
      r: 2 * config.r,
      lora_alpha: factor * config.lora_alpha,
      rank_pattern: scaled(config.rank_pattern, 2),
      alpha_pattern: scaled(config.alpha_pattern, factor),
    },
    layout: {
      ...layout,
      targets: layout.targets.map((target) => ({ ...target, rank: 2 * target.rank, alpha: factor * target.alpha })),
    },
  };
}

/** A tensor of the saved adapter, out of a trained one; others stay as they are. @param targets with the ranks of training */
export function convertedValues(
  name: string,
  trained: Float32Array,
  start: StartValues,
  targets: readonly LoraTarget[],
): Float32Array {
  const first = start.get(name);
  if (first === undefined) return trained;
  const both = new Float32Array(2 * trained.length);
  if (name.endsWith(LORA_A)) {
    both.set(trained);
    both.set(first, trained.length);
    return both;
  }
  const r = rankOf(name, targets);
  for (let i = 0; i < trained.length / r; i++) {
    both.set(trained.subarray(i * r, (i + 1) * r), 2 * i * r);
    for (let j = 0; j < r; j++) both[(2 * i + 1) * r + j] = -(first[i * r + j] as number);
  }
  return both;
}

/** The trained tensor, out of one of the saved adapter. */
export function trainedValues(
  name: string,
  saved: Float32Array<ArrayBuffer>,
  start: StartValues,
  targets: readonly LoraTarget[],
): Float32Array<ArrayBuffer> {
  if (!start.has(name)) return saved;
  if (name.endsWith(LORA_A)) return saved.slice(0, saved.length / 2);
  const r = rankOf(name, targets);
  const trained = new Float32Array(saved.length / 2);
  for (let i = 0; i < trained.length / r; i++) trained.set(saved.subarray(2 * i * r, (2 * i + 1) * r), i * r);
  return trained;
}

function rankOf(name: string, targets: readonly LoraTarget[]): number {
  const target = targets.find((one) => name === `${one.name}.${LORA_B}`);
  if (target === undefined) throw new KernelCallError(name, 'has a first value, and is no lora_B of a target');
  return target.rank;
}
