/** Adapters over a loaded base: allocates what src/model/ops/adapter-bank.ts computes with, and fills it from adapter files. */
import {
  type AdapterLayout,
  EMBEDDING_A,
  EMBEDDING_B,
  LORA_A,
  LORA_B,
  LORA_B_BIAS,
  MAGNITUDE,
} from '../adapters/layout.ts';
import { TOKENS } from '../adapters/tokens.ts';
import type { LinearModule } from '../formats/modules.ts';
import { alignUp } from '../gpu/device-profile.ts';
import type { Machine, Recorded } from '../gpu/machine.ts';
import type { Residents } from '../gpu/residents.ts';
import type { Tensor } from '../gpu/tensor.ts';
import type { DeclaredModel } from './declare.ts';
import { EMBEDDING, HEAD, modulesOf } from './modules.ts';
import type { AdapterBank, EmbeddingBank, LinearBank, LowRankBank, OwnTokens, Replaced } from './ops/adapter-bank.ts';
import { HEAD_SCRATCH_BYTES } from './ops/cross-entropy.ts';
import { rowNorms } from './ops/dora.ts';
import type { ComputeDtype, DenseWeight, TokenRows, Weight } from './weight.ts';

/** A pair of one adapter among those of a module: its columns begin at `first`. */
export type PairPlace = {
  /** From 1: the number by which a sequence names its adapter. */
  readonly adapter: number;
  readonly first: number;
  readonly r: number;
  readonly scaling: number;
};

/** A table of a row for the base and one for each adapter, rows `ld` elements apart. */
export type AdapterTable = { readonly tensor: Tensor; readonly ld: number; readonly width: number };

/** What is written when adapters are loaded, in the order in which it has to be. */
export type AdapterParts = {
  readonly pairs: readonly {
    readonly names: { readonly A: string; readonly B: string };
    readonly isEmbedding: boolean;
    readonly width: number;
    readonly out: number;
    readonly low: LowRankBank;
    readonly places: readonly PairPlace[];
  }[];
  /** Parameters of the base that an adapter has trained whole. */
  readonly replaced: readonly { readonly adapter: number; readonly name: string; readonly tensor: Tensor }[];
  readonly biases: readonly {
    readonly name: string;
    /** Null where the base has none. */
    readonly base: Tensor | null;
    readonly table: AdapterTable;
    /** Biases of lora_B, which are scaled and added. */
    readonly onB: { readonly name: string; readonly scalings: ReadonlyMap<number, number> };
  }[];
  /** Rows of tokens, and their ids. */
  readonly tokens: readonly {
    readonly adapter: number;
    readonly name: string;
    readonly ids: readonly number[];
    readonly rows: TokenRows;
  }[];
  /** DoRA's factors: the row norms of a weight with its pair are written to the table's row, then divide the magnitudes. */
  readonly gains: readonly {
    readonly name: string;
    readonly weight: Weight;
    readonly low: LowRankBank;
    readonly place: PairPlace;
    readonly table: AdapterTable;
  }[];
};

export type AdapterSet = { readonly bank: AdapterBank; readonly parts: AdapterParts };

/** Name of the phase that computes DoRA's row norms. */
export const GAINS_PLAN = 'gains';

type Draft = { -readonly [K in keyof AdapterParts]: AdapterParts[K][number][] };

/** Allocates a set of adapters, numbered from 1 in the order given. Reads no file. */
export function declareAdapters(
  residents: Residents,
  declared: DeclaredModel,
  layouts: readonly AdapterLayout[],
): AdapterSet {
  const parts: Draft = { pairs: [], replaced: [], biases: [], tokens: [], gains: [] };
  const builder = new Builder(residents, declared, layouts, parts);
  const linears = new Map<string, LinearBank>();
  const norms = new Map<string, readonly Replaced<Tensor>[]>();
  let embedding: EmbeddingBank | null = null;
  for (const module of modulesOf(declared.model.config)) {
    if (module.kind === 'linear') {
      const bank = builder.linear(module);
      if (bank !== null) linears.set(module.name, bank);
    } else if (module.kind === 'embedding') {
      const low = builder.lowRank(module.name, module.out, module.in, true);
      const tables = builder.weights(`${module.name}.weight`, module.out, module.in);
      const tokens = builder.tokens(module.name);
      if (low !== null || tables.length > 0 || tokens.length > 0) embedding = { low, tables, tokens };
    } else {
      const replaced = builder.vectors(`${module.name}.weight`, module.width);
      if (replaced.length > 0) norms.set(`${module.name}.weight`, replaced);
    }
  }
  return { bank: { linears, embedding, norms }, parts };
}

/** Records DoRA's row norms, where an adapter needs them. */
export function recordGains(machine: Machine, computeDtype: ComputeDtype, { parts }: AdapterSet): Recorded[] {
  if (parts.gains.length === 0) return [];
  const tape = machine.tape();
  const ctx = { tape, computeDtype, B: 1, S: 1, phase: 'eval' } as const;
  for (const { weight, low, place, table } of parts.gains) {
    const norm = rowOf(table, place.adapter);
    const band = { first: place.first, ranks: low.R };
    const pair = { A: low.A, B: low.B, r: place.r, scaling: place.scaling };
    rowNorms(ctx, weight, pair, { norm, band, scratchBudget: HEAD_SCRATCH_BYTES });
  }
  return [{ name: GAINS_PLAN, commands: tape.commands }];
}

/** The row of a table that belongs to an adapter; 0 is the base's. */
export function rowOf({ tensor, width }: AdapterTable, adapter: number): Tensor {
  return tensor.rows(adapter, 1).reshaped([width]);
}

const F32_BYTES = 4;

class Builder {
  readonly #residents: Residents;
  readonly #declared: DeclaredModel;
  readonly #layouts: readonly AdapterLayout[];
  readonly #parts: Draft;
  /** Trained matrices by adapter and name: tied ends share theirs. */
  readonly #made = new Map<string, Tensor>();

  constructor(residents: Residents, declared: DeclaredModel, layouts: readonly AdapterLayout[], parts: Draft) {
    this.#residents = residents;
    this.#declared = declared;
    this.#layouts = layouts;
    this.#parts = parts;
  }

  linear({ name, out, in: width }: LinearModule): LinearBank | null {
    const { weights: declared, model } = this.#declared;
    const isTied = name === HEAD && model.config.tie_word_embeddings;
    const low = this.lowRank(name, out, width, false);
    const weights = this.weights(isTied ? `${EMBEDDING}.weight` : `${name}.weight`, out, width);
    const bias = this.#biasTable(name, out);
    const weight = declared.get(`${name}.weight`);
    const gain = low === null || weight === undefined ? null : this.#gainTable(name, weight, low);
    const tokens = this.tokens(isTied ? EMBEDDING : name);
    if (low === null && weights.length === 0 && bias === null && tokens.length === 0) return null;
    return { low, weights, bias, gain, tokens, ld: rowElements(out) };
  }

  /** Declares the pairs of a module side by side; null where no adapter has one. */
  lowRank(module: string, out: number, width: number, isEmbedding: boolean): LowRankBank | null {
    const places = this.#places(module);
    if (places.length === 0) return null;
    const R = places.reduce((sum, { r }) => sum + r, 0);
    const make = (suffix: string, shape: number[], dtype: 'f32' | 'u32' = 'f32') =>
      this.#tensor(`${module}.${suffix}`, shape, dtype);
    const low: LowRankBank = {
      R,
      A: make('A', isEmbedding ? [out, R] : [R, width]),
      B: make('B', isEmbedding ? [width, R] : [out, R]),
      owners: make('owners', [R], 'u32'),
      scales: make('scales', [R]),
    };
    const [A, B] = isEmbedding ? [EMBEDDING_A, EMBEDDING_B] : [LORA_A, LORA_B];
    this.#parts.pairs.push({
      names: { A: `${module}.${A}`, B: `${module}.${B}` },
      isEmbedding,
      width,
      out,
      low,
      places,
    });
    return low;
  }

  /** Declares the matrices that adapters have in place of the base's. */
  weights(name: string, out: number, width: number): Replaced<DenseWeight>[] {
    return this.#trainedBy(name).map((adapter) => {
      const tensor = this.#replaced(adapter, name, [out, width]);
      return { adapter, weight: { kind: 'dense', name, out, in: width, tensor } };
    });
  }

  /** Declares the norms' weights that adapters have in place of the base's. */
  vectors(name: string, width: number): Replaced<Tensor>[] {
    return this.#trainedBy(name).map((adapter) => ({ adapter, weight: this.#replaced(adapter, name, [width]) }));
  }

  /** Declares rows of tokens that adapters have in place of the base's. */
  tokens(module: string): OwnTokens[] {
    return this.#layouts.flatMap(({ tokens }, i) => {
      const own = tokens.find((entry) => entry.module === module);
      if (own === undefined) return [];
      const adapter = i + 1;
      const name = `${module}.${TOKENS}`;
      const known = this.#parts.tokens.find((part) => part.adapter === adapter && part.name === name);
      if (known !== undefined) return [{ adapter, tokens: known.rows }];
      const rows = {
        indices: this.#tensor(`${module}.token_indices[${adapter}]`, [own.indices.length], 'u32'),
        rows: this.#tensor(`${name}[${adapter}]`, [...own.shape], 'f32'),
      };
      this.#parts.tokens.push({ adapter, name, ids: own.indices, rows });
      return [{ adapter, tokens: rows }];
    });
  }

  #places(module: string): PairPlace[] {
    let first = 0;
    return this.#layouts.flatMap(({ targets }, i) => {
      const target = targets.find(({ name }) => name === module);
      if (target === undefined) return [];
      const place = { adapter: i + 1, first, r: target.rank, scaling: target.scaling };
      first += target.rank;
      return [place];
    });
  }

  #gainTable(module: string, weight: Weight, low: LowRankBank): Tensor | null {
    const places = this.#places(module).filter(({ adapter }) => this.#layouts[adapter - 1]?.dora === true);
    if (places.length === 0) return null;
    const table = this.#table(`${module}.gain`, weight.out);
    for (const place of places) this.#parts.gains.push({ name: `${module}.${MAGNITUDE}`, weight, low, place, table });
    return table.tensor;
  }

  #biasTable(module: string, out: number): Tensor | null {
    const name = `${module}.bias`;
    const base = this.#declared.vectors.get(name) ?? null;
    const biased = this.#places(module).filter(({ adapter }) => this.#layouts[adapter - 1]?.loraBias === true);
    if (biased.length === 0 && (base === null || this.#trainedBy(name).length === 0)) return null;
    const table = this.#table(`${module}.biases`, out);
    const scalings = new Map(biased.map(({ adapter, scaling }) => [adapter, scaling]));
    this.#parts.biases.push({ name, base, table, onB: { name: `${module}.${LORA_B_BIAS}`, scalings } });
    return table.tensor;
  }

  #table(label: string, width: number): AdapterTable {
    const ld = rowElements(width);
    return { tensor: this.#tensor(label, [this.#layouts.length + 1, ld], 'f32'), ld, width };
  }

  /** Numbers of the adapters that have trained a parameter of the base. */
  #trainedBy(name: string): number[] {
    return this.#layouts.flatMap(({ trained }, i) => (trained.some((p) => p.name === name) ? [i + 1] : []));
  }

  #replaced(adapter: number, name: string, shape: number[]): Tensor {
    const key = `${adapter}:${name}`;
    const made = this.#made.get(key) ?? this.#tensor(`${name}[${adapter}]`, shape, 'f32');
    if (!this.#made.has(key)) this.#parts.replaced.push({ adapter, name, tensor: made });
    this.#made.set(key, made);
    return made;
  }

  #tensor(label: string, shape: number[], dtype: 'f32' | 'u32'): Tensor {
    return this.#residents.tensor({ label, shape, dtype, category: 'adapter' });
  }
}

/** Elements from one row of a table to the next: rows are bound, so that each starts aligned. */
const rowElements = (width: number): number => alignUp(F32_BYTES * width) / F32_BYTES;
