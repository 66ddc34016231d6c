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

/** W X */
function times({ rows, columns, values }: Weight, X: Matrix): Matrix {
  const q = X.columns;
  const out = matrix(rows, q);
  const sums = new Float64Array(q);
  for (let i = 0; i < rows; i++) {
    sums.fill(0);
    for (let k = 0, w = i * columns, x = 0; k < columns; k++, w++) {
      const factor = values[w] as number;
      for (let j = 0; j < q; j++, x++) sums[j] = (sums[j] as number) + factor * (X.values[x] as number);
    }
    out.values.set(sums, i * q);
  }
  return out;
}

/** W^T X */
function transposedTimes({ rows, columns, values }: Weight, X: Matrix): Matrix {
  const q = X.columns;
  const out = matrix(columns, q);
  const sums = out.values;
  for (let i = 0; i < rows; i++) {
    const row = X.values.subarray(i * q, (i + 1) * q);
    for (let k = 0, w = i * columns, at = 0; k < columns; k++, w++) {
      const factor = values[w] as number;
      for (let j = 0; j < q; j++, at++) sums[at] = (sums[at] as number) + factor * (row[j] as number);
    }
  }
  return out;
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
