/**
 * One adapter out of several with weights, as PEFT's add_weighted_adapter makes it. Pure.
 * Source: peft.tuners.lora.model 0.21.2, add_weighted_adapter.
 */
import { show } from '../config/show.ts';
import { ConfigError, type ConfigProblem } from '../errors.ts';
import type { AdapterBase } from './base.ts';
import type { LoraConfig } from './config.ts';
import type { Adapter } from './files.ts';
import { type AdapterLayout, EMBEDDING_A, EMBEDDING_B, LORA_A, LORA_B } from './layout.ts';
import { explicitTargets, type LoraTarget } from './match.ts';
import type { StartValues } from './start-values.ts';
import { matrix, productSvd } from './svd.ts';

export const COMBINATION_TYPES = ['linear', 'cat', 'svd'] as const;
/**
 * linear adds the matrices, weighted by the square root of each weight; cat puts them side by side, so that updates add up exactly and
 * ranks with them; svd is the closest update of rank svd_rank to that sum.
 */
export type CombinationType = (typeof COMBINATION_TYPES)[number];

export type WeightedAdapter = {
  /** What messages call it. */
  readonly name: string;
  readonly adapter: Adapter;
  /** From `storedValues`. */
  readonly values: StartValues;
  readonly weight: number;
};

export type CombineSettings = {
  readonly combination_type: CombinationType;
  /** Null for the largest rank among the adapters. */
  readonly svd_rank: number | null;
};

export type CombinedAdapter = {
  readonly config: LoraConfig;
  readonly layout: AdapterLayout;
  readonly values: StartValues;
};

/** @throws ConfigError for adapters that cannot be added, and for ranks that `linear` does not add */
export function combineAdapters(
  adapters: readonly [WeightedAdapter, ...WeightedAdapter[]],
  { combination_type, svd_rank }: CombineSettings,
  base: AdapterBase,
): CombinedAdapter {
  requireAddable(adapters);
  // PEFT takes one adapter as linear, whatever is asked for; a rank that is asked for is another adapter
  const type = adapters.length === 1 && svd_rank === null ? 'linear' : combination_type;
  const ranks = adapters.map(({ adapter: { config } }) => largestOf([config.r, ...Object.values(config.rank_pattern)]));
  if (type === 'linear') requireOneRank(adapters, ranks);
  const largest = largestOf(ranks);
  const rank = { linear: largest, cat: ranks.reduce((sum, r) => sum + r, 0), svd: svd_rank ?? largest }[type];
  const values = new Map<string, Float32Array<ArrayBuffer>>();
  const targets = unionOf(adapters, base).map((target): LoraTarget => {
    const shape = { name: target.name, kind: target.kind, out: target.out, in: target.in };
    for (const [name, floats] of combined(target, partsOf(adapters, target.name), type, rank)) {
      requireHeld(name, floats);
      values.set(name, floats);
    }
    // rank and alpha are equal, so that nothing is scaled any more
    return { ...shape, rank, alpha: rank, scaling: 1 };
  });
  const config: LoraConfig = {
    ...adapters[0].adapter.config,
    r: rank,
    lora_alpha: rank,
    rank_pattern: {},
    alpha_pattern: {},
    // PEFT leaves the first adapter's, which multiplies the sum by the root of its rank
    use_rslora: false,
    target_modules: explicitTargets(targets, base),
    exclude_modules: null,
    layers_to_transform: null,
    layers_pattern: null,
    modules_to_save: null,
    bias: 'none',
  };
  return { config, layout: { targets, dora: false, loraBias: false, tokens: [], trained: [] }, values };
}

const largestOf = (ranks: readonly number[]): number => ranks.reduce((most, rank) => Math.max(most, rank), 0);

function requireAddable(adapters: readonly WeightedAdapter[]): void {
  const problems = adapters.flatMap(({ name, adapter: { config, layout }, weight }): ConfigProblem[] => {
    const problem = (message: string): ConfigProblem => ({ path: name, message });
    return [
      ...(Number.isFinite(weight) ? [] : [problem(`its weight is ${show(weight)}, needs a number`)]),
      ...(config.use_dora ? [problem('is a DoRA: updates of rows scaled to a norm do not add up. Merge it')] : []),
      ...(config.lora_bias ? [problem('has biases on lora_B (lora_bias), which no product adds up. Merge it')] : []),
      ...(layout.tokens.length === 0
        ? []
        : [problem('trains rows of tokens (trainable_token_indices), which are no updates that add up. Merge it')]),
      ...(layout.trained.length === 0
        ? []
        : [problem('trains whole modules or biases, which are no updates that add up. Merge it')]),
    ];
  });
  if (problems.length > 0) throw new ConfigError(problems);
}

function requireOneRank(adapters: readonly WeightedAdapter[], ranks: readonly number[]): void {
  if (new Set(ranks).size <= 1) return;
  const listed = adapters.map(({ name }, i) => `${name} ${ranks[i]}`).join(', ');
  const message = `linear adds matrices of one rank; there are ${listed}. Use cat or svd.`;
  throw new ConfigError([{ path: 'combination_type', message }]);
}

/** Targets of any of the adapters, in the order of the model's modules. */
function unionOf(adapters: readonly WeightedAdapter[], base: AdapterBase): LoraTarget[] {
  const found = new Map(adapters.flatMap(({ adapter }) => adapter.layout.targets.map((t) => [t.name, t] as const)));
  return base.modules.flatMap(({ name }) => found.get(name) ?? []);
}

/** @throws ConfigError where weights or updates are so large that float32 cannot hold the sum */
function requireHeld(name: string, floats: Float32Array): void {
  if (floats.every(Number.isFinite)) return;
  const message = `${name} of the sum is beyond what float32 holds. Give smaller weights; or was an adapter saved from a run that diverged?`;
  throw new ConfigError([{ path: 'adapter', message }]);
}

/** One adapter's pair on a module, A (r, in) and B (out, r); of an embedding A lies (tokens, r), B (hidden, r). */
type Part = {
  readonly A: Float32Array;
  readonly B: Float32Array;
  readonly rank: number;
  readonly weight: number;
  readonly scaling: number;
};

function partsOf(adapters: readonly WeightedAdapter[], module: string): Part[] {
  return adapters.flatMap(({ adapter, values, weight }): Part[] => {
    const target = adapter.layout.targets.find(({ name }) => name === module);
    if (target === undefined) return [];
    const [a, b] = namesOf(target);
    const { rank, scaling } = target;
    return [{ A: values.get(a) as Float32Array, B: values.get(b) as Float32Array, rank, weight, scaling }];
  });
}

const namesOf = ({ name, kind }: LoraTarget): readonly [A: string, B: string] =>
  kind === 'embedding'
    ? [`${name}.${EMBEDDING_A}`, `${name}.${EMBEDDING_B}`]
    : [`${name}.${LORA_A}`, `${name}.${LORA_B}`];

/** Both matrices of a module, with the names that values have. */
function combined(target: LoraTarget, parts: readonly Part[], type: CombinationType, rank: number) {
  const [a, b] = namesOf(target);
  const isEmbedding = target.kind === 'embedding';
  // an embedding's A is held with the rank innermost, as B is
  const [widthA, rowsB] = isEmbedding ? [target.out, target.in] : [target.in, target.out];
  const A = new Pen(rank, widthA, isEmbedding ? 'inner' : 'outer');
  const B = new Pen(rank, rowsB, 'inner');
  if (type === 'svd') writeSvd(parts, A, B, rank);
  else if (type === 'cat') writeCat(parts, A, B);
  else writeLinear(parts, A, B);
  return [
    [a, A.values],
    [b, B.values],
  ] as const;
}

/** Writes a matrix with a side of `rank`, and reads others of the same lie. What is not written is 0. */
class Pen {
  readonly values: Float32Array<ArrayBuffer>;
  readonly width: number;
  readonly #rank: number;
  readonly #side: 'inner' | 'outer';

  /** @param side where the rank lies: innermost, or outermost */
  constructor(rank: number, width: number, side: 'inner' | 'outer') {
    this.values = new Float32Array(rank * width);
    this.width = width;
    this.#rank = rank;
    this.#side = side;
  }

  set(j: number, at: number, value: number): void {
    this.values[this.#index(this.#rank, j, at)] = value;
  }

  get(j: number, at: number): number {
    return this.values[this.#index(this.#rank, j, at)] as number;
  }

  /** An element of a matrix that lies alike, but has another rank. */
  of(other: Float32Array, rank: number, j: number, at: number): number {
    return other[this.#index(rank, j, at)] as number;
  }

  #index(rank: number, j: number, at: number): number {
    return this.#side === 'inner' ? at * rank + j : j * this.width + at;
  }
}

/** Rounds where torch does: each product, then each sum, in the order of the adapters. */
function writeLinear(parts: readonly Part[], A: Pen, B: Pen): void {
  for (const { A: a, B: b, rank, weight, scaling } of parts) {
    const root = Math.sqrt(Math.abs(weight * scaling));
    const [factorA, factorB] = [Math.fround(weight * scaling >= 0 ? root : -root), Math.fround(root)];
    for (let j = 0; j < rank; j++) {
      for (let i = 0; i < A.width; i++) A.set(j, i, A.get(j, i) + Math.fround(A.of(a, rank, j, i) * factorA));
      for (let i = 0; i < B.width; i++) B.set(j, i, B.get(j, i) + Math.fround(B.of(b, rank, j, i) * factorB));
    }
  }
}

/** A takes up weight and scaling, one after the other, as PEFT multiplies them. */
function writeCat(parts: readonly Part[], A: Pen, B: Pen): void {
  let first = 0;
  for (const { A: a, B: b, rank, weight, scaling } of parts) {
    const [byWeight, byScaling] = [Math.fround(weight), Math.fround(scaling)];
    for (let j = 0; j < rank; j++) {
      for (let i = 0; i < A.width; i++) A.set(first + j, i, Math.fround(A.of(a, rank, j, i) * byWeight) * byScaling);
      for (let i = 0; i < B.width; i++) B.set(first + j, i, B.of(b, rank, j, i));
    }
    first += rank;
  }
}

/** B gets U S, A gets V, cut to the rank. */
function writeSvd(parts: readonly Part[], A: Pen, B: Pen, rank: number): void {
  const total = parts.reduce((sum, part) => sum + part.rank, 0);
  const [P, Q] = [matrix(B.width, total), matrix(total, A.width)];
  let first = 0;
  for (const { A: a, B: b, rank: r, weight, scaling } of parts) {
    for (let j = 0; j < r; j++) {
      for (let i = 0; i < B.width; i++) P.values[i * total + first + j] = B.of(b, r, j, i) * weight * scaling;
      for (let i = 0; i < A.width; i++) Q.values[(first + j) * A.width + i] = A.of(a, r, j, i);
    }
    first += r;
  }
  const { U, S, V } = productSvd(P, Q);
  for (let j = 0; j < Math.min(rank, total); j++) {
    for (let i = 0; i < B.width; i++) B.set(j, i, (U.values[i * total + j] as number) * (S[j] as number));
    for (let i = 0; i < A.width; i++) A.set(j, i, V.values[j * A.width + i] as number);
  }
}
