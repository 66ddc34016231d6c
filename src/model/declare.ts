/** Allocates a model as a method needs it. Reads no file and no value, so that an estimate makes the same allocations. */
import { EMBEDDING_A, EMBEDDING_B, LORA_A, LORA_B, LORA_B_BIAS, MAGNITUDE } from '../adapters/layout.ts';
import { TOKENS, type TrainedTokens } from '../adapters/tokens.ts';
import { ConfigError, KernelCallError } from '../errors.ts';
import type { GpuFloat } from '../formats/dtype.ts';
import type { ModelConfig } from '../formats/hf-config.ts';
import type { LinearModule, Parameter } from '../formats/modules.ts';
import type { Residents } from '../gpu/residents.ts';
import type { Tensor } from '../gpu/tensor.ts';
import { type Scales, TABLE_LENGTH } from '../kernels/dequant.ts';
import { DYNAMIC_CODE } from '../wasm/tables.ts';
import { NESTED_BLOCK_SIZE, type QuantType } from '../wasm/types.ts';
import { allocateFlat, byDecay, type FlatParameters, type GroupOf, type TrainableSpec } from './flat.ts';
import type { Layer, Model } from './model.ts';
import { EMBEDDING, FINAL_NORM, HEAD, layerModules, modulesOf, parametersOf } from './modules.ts';
import type { DoraPair } from './ops/dora.ts';
import type { EmbeddingLayer } from './ops/embedding.ts';
import type { LinearLayer, LoraPair } from './ops/linear.ts';
import type { DenseWeight, FourBitWeight, TokenRows, Weight } from './weight.ts';

/** How the matrix of a module is stored in GPU memory. */
export type StoredAs =
  | { readonly kind: 'dense'; readonly dtype: GpuFloat }
  | {
      readonly kind: '4bit';
      readonly quantType: QuantType;
      readonly blockSize: number;
      readonly doubleQuant: boolean;
      /** The 256 values of the absmax codes where a checkpoint brings its own; left out, bitsandbytes' dynamic map. */
      readonly dynamicCode?: Float32Array;
    };

/** Values of codes, as they are stored on the GPU: 16 of a 4-bit type, then 256 of absmax codes. */
export type CodeTables = {
  readonly quantType: QuantType;
  readonly dynamicCode: Float32Array;
  readonly tensor: Tensor;
};

export type LoraSpec = {
  /** Rank and scaling of each targeted module, by its name. */
  readonly modules: ReadonlyMap<string, { readonly r: number; readonly scaling: number }>;
  readonly dropout: number;
  /** DoRA: every pair has a magnitude for each row of its weight. */
  readonly dora: boolean;
  /** Every pair of a linear layer has a bias on lora_B. */
  readonly bias: boolean;
  /** Tokens whose rows are trained, by the names of their modules. */
  readonly tokens: ReadonlyMap<string, TrainedTokens>;
  /**
   * Parameters of the base that are trained beside the adapter, in f32, by their checkpoint names. They replace the frozen
   * ones, which PEFT keeps beside its copy: less memory than there.
   */
  readonly trained: ReadonlySet<string>;
};

export type ModelSpec = {
  readonly config: ModelConfig;
  /** Trains every parameter in f32, whatever `storedAs` says. */
  readonly full: boolean;
  readonly storedAs: (module: string) => StoredAs;
  readonly lora: LoraSpec | null;
  /** Rows of the rotary tables: the longest sequence that will be run. */
  readonly maxPositions: number;
};

export type DoraLayer = { readonly weight: Weight; readonly lora: DoraPair };

export type DeclaredModel = {
  readonly model: Model;
  readonly trainable: FlatParameters;
  /** Matrices to fill, by checkpoint tensor name. A tied head is not among them. */
  readonly weights: ReadonlyMap<string, Weight>;
  /** Norm weights and biases to fill, f32, by checkpoint tensor name. */
  readonly vectors: ReadonlyMap<string, Tensor>;
  /** Adapted layers whose magnitudes are trained. */
  readonly dora: readonly DoraLayer[];
  /** Token ids to fill in, u32, by the names of the modules whose rows are trained. */
  readonly tokens: ReadonlyMap<string, { readonly ids: readonly number[]; readonly tensor: Tensor }>;
  /** The code tables in use; shared by all tensors of one type and one map. */
  readonly tables: readonly CodeTables[];
};

/**
 * Allocates a model and what it trains.
 * @param groupOf which tensors are updated alike; by default those that weight decay applies to, and the others
 * @throws ConfigError for what this version cannot train
 */
export function declareModel(
  residents: Residents,
  spec: ModelSpec,
  maxBindingBytes: number,
  groupOf: GroupOf = byDecay,
): DeclaredModel {
  const { config } = spec;
  requireSupported(config);
  const specs = spec.full ? parametersOf(config).map(trainableOf) : adapterSpecs(config, spec.lora);
  const category = spec.full ? 'base_weights' : 'adapter';
  const trainable = allocateFlat(residents, specs, { category, maxBindingBytes, groupOf });
  const builder = new Builder(residents, spec, trainable);
  const embed = builder.embedding(EMBEDDING, config.vocab_size, config.hidden_size);
  const layers = Array.from({ length: config.num_hidden_layers }, (_, i) => builder.layer(i));
  const norm = builder.vector(`${FINAL_NORM}.weight`, config.hidden_size);
  const head = builder.head(embed);
  const half = config.head_dim / 2;
  const table = (label: string): Tensor =>
    residents.tensor({ label, shape: [spec.maxPositions, half], dtype: 'f32', category: 'workspace' });
  const model = { config, embed, layers, norm, head, rope: { cos: table('rope.cos'), sin: table('rope.sin') } };
  const { weights, vectors, dora, tokens, tables } = builder;
  return { model, trainable, weights, vectors, dora, tokens, tables };
}

function requireSupported({ head_dim }: ModelConfig): void {
  if (head_dim % 4 === 0) return;
  throw new ConfigError([{ path: 'head_dim', message: `is ${head_dim}; attention needs a multiple of 4.` }]);
}

function trainableOf({ name, shape }: Parameter): TrainableSpec {
  return { name, shape };
}

function adapterSpecs(config: ModelConfig, lora: LoraSpec | null): TrainableSpec[] {
  if (lora === null) return [];
  const pairs = modulesOf(config).flatMap((module): TrainableSpec[] => {
    const target = lora.modules.get(module.name);
    if (target === undefined || module.kind === 'norm') return [];
    const { name, out, in: width } = module;
    if (module.kind === 'embedding') return embeddingPair(name, out, width, target.r);
    const pair = [
      { name: `${name}.${LORA_A}`, shape: [target.r, width] },
      { name: `${name}.${LORA_B}`, shape: [out, target.r] },
    ];
    if (lora.bias) pair.push({ name: `${name}.${LORA_B_BIAS}`, shape: [out] });
    return lora.dora ? [...pair, { name: `${name}.${MAGNITUDE}`, shape: [out] }] : pair;
  });
  return [
    ...pairs,
    ...[...lora.tokens.values()].map(({ module, shape }) => ({ name: `${module}.${TOKENS}`, shape })),
    ...parametersOf(config)
      .filter(({ name }) => lora.trained.has(name))
      .map(trainableOf),
  ];
}

/** Lists an embedding's pair. A is transposed here, (tokens, r): a token's row is gathered like one of the table. */
function embeddingPair(name: string, tokens: number, width: number, r: number): TrainableSpec[] {
  return [
    { name: `${name}.${EMBEDDING_A}`, shape: [tokens, r] },
    { name: `${name}.${EMBEDDING_B}`, shape: [width, r] },
  ];
}

class Builder {
  readonly weights = new Map<string, Weight>();
  readonly vectors = new Map<string, Tensor>();
  readonly dora: DoraLayer[] = [];
  readonly tables: CodeTables[] = [];
  readonly tokens = new Map<string, { readonly ids: readonly number[]; readonly tensor: Tensor }>();
  readonly #residents: Residents;
  readonly #spec: ModelSpec;
  readonly #trainable: FlatParameters;
  #site = 0;

  constructor(residents: Residents, spec: ModelSpec, trainable: FlatParameters) {
    this.#residents = residents;
    this.#spec = spec;
    this.#trainable = trainable;
  }

  layer(i: number): Layer {
    const prefix = `model.layers.${i}.`;
    const linears = new Map<string, LinearLayer>();
    const norms = new Map<string, Tensor>();
    for (const module of layerModules(this.#spec.config, i)) {
      const name = module.name.slice(prefix.length);
      if (module.kind === 'linear') linears.set(name, this.#linear(module));
      else if (module.kind === 'norm') norms.set(name, this.vector(`${module.name}.weight`, module.width));
    }
    return { name: `layers.${i}`, index: i, linear: pick(prefix, linears), norm: pick(prefix, norms) };
  }

  /** Declares a norm's weight or a linear layer's bias. */
  vector(name: string, width: number): Tensor {
    const tensor =
      this.#trainable.tensors.get(name)?.param ??
      this.#residents.tensor({ label: name, shape: [width], dtype: 'f32', category: 'base_weights' });
    this.vectors.set(name, tensor);
    return tensor;
  }

  /** Declares a matrix in the type it is stored in, or in f32 where it is trained. */
  dense(module: string, out: number, width: number): DenseWeight {
    const stored = this.#spec.storedAs(module);
    const dtype = stored.kind === 'dense' ? stored.dtype : 'f32';
    const name = `${module}.weight`;
    const tensor =
      this.#trainable.tensors.get(name)?.param ??
      this.#residents.tensor({ label: name, shape: [out, width], dtype, category: 'base_weights' });
    const weight: DenseWeight = { kind: 'dense', name, out, in: width, tensor };
    this.weights.set(name, weight);
    return weight;
  }

  embedding(module: string, tokens: number, width: number): EmbeddingLayer {
    const target = this.#spec.lora?.modules.get(module);
    const A = this.#trainable.tensors.get(`${module}.${EMBEDDING_A}`)?.param;
    const B = this.#trainable.tensors.get(`${module}.${EMBEDDING_B}`)?.param;
    const lora = target && A && B ? { A, B, ...target } : null;
    return { ...this.dense(module, tokens, width), lora, tokens: this.#tokenRows(module) };
  }

  /** Declares the head, which shares the embedding's weight where the two are tied. */
  head(embed: EmbeddingLayer): LinearLayer {
    const weight = this.#spec.config.tie_word_embeddings
      ? { ...embed, name: `${HEAD}.weight` }
      : this.#matrix(HEAD, embed.out, embed.in);
    const tokens = this.#spec.config.tie_word_embeddings ? embed.tokens : this.#tokenRows(HEAD);
    return { name: HEAD, weight, bias: null, lora: this.#lora(HEAD, weight), tokens };
  }

  #tokenRows(module: string): TokenRows | null {
    const rows = this.#trainable.tensors.get(`${module}.${TOKENS}`)?.param;
    const ids = this.#spec.lora?.tokens.get(module)?.indices;
    if (rows === undefined || ids === undefined) return null;
    const place = { label: `${module}.token_indices`, shape: [ids.length], dtype: 'u32', category: 'adapter' } as const;
    const tensor = this.#residents.tensor(place);
    this.tokens.set(module, { ids, tensor });
    return { indices: tensor, rows };
  }

  #linear({ name, out, in: width, bias }: LinearModule): LinearLayer {
    const weight = this.#matrix(name, out, width);
    return { name, weight, bias: bias ? this.vector(`${name}.bias`, out) : null, lora: this.#lora(name, weight) };
  }

  /** Declares the weight of a linear layer or of the head, which bitsandbytes leaves dense unless told otherwise. */
  #matrix(module: string, out: number, width: number): Weight {
    const stored = this.#spec.storedAs(module);
    const isTrained = this.#spec.full || this.#spec.lora?.trained.has(`${module}.weight`) === true;
    if (stored.kind === 'dense' || isTrained) return this.dense(module, out, width);
    const weight = this.#fourBit(module, out, width, stored);
    this.weights.set(weight.name, weight);
    return weight;
  }

  #fourBit(module: string, out: number, width: number, stored: StoredAs & { kind: '4bit' }): FourBitWeight {
    const name = `${module}.weight`;
    const { blockSize, quantType } = stored;
    const blocks = Math.ceil((out * width) / blockSize);
    const packedBytes = Math.ceil((out * width) / 2);
    const packed = this.#residents.tensor({ label: name, shape: [packedBytes], dtype: 'u8', category: 'base_weights' });
    return {
      kind: '4bit',
      name,
      out,
      in: width,
      quantType,
      blockSize,
      packed,
      scales: this.#scales(name, blocks, stored.doubleQuant),
      tables: this.#tablesOf(quantType, stored.dynamicCode ?? DYNAMIC_CODE),
    };
  }

  #scales(name: string, blocks: number, doubleQuant: boolean): Scales {
    const category = 'quant_state';
    if (!doubleQuant) {
      return {
        kind: 'plain',
        absmax: this.#residents.tensor({ label: `${name}.absmax`, shape: [blocks], dtype: 'f32', category }),
      };
    }
    const codes = this.#residents.tensor({ label: `${name}.absmax`, shape: [blocks], dtype: 'u8', category });
    const nestedLength = Math.ceil(blocks / NESTED_BLOCK_SIZE) + 1;
    const nested = this.#residents.tensor({
      label: `${name}.nested_absmax`,
      shape: [nestedLength],
      dtype: 'f32',
      category,
    });
    return { kind: 'double', codes, nested };
  }

  #tablesOf(quantType: QuantType, dynamicCode: Float32Array): Tensor {
    const ofType = this.tables.filter((t) => t.quantType === quantType);
    const known = ofType.find((t) => t.dynamicCode.every((v, i) => v === dynamicCode[i]));
    if (known !== undefined) return known.tensor;
    const tensor = this.#residents.tensor({
      label: `${quantType}.tables${ofType.length === 0 ? '' : `[${ofType.length}]`}`,
      shape: [TABLE_LENGTH],
      dtype: 'f32',
      category: 'quant_state',
    });
    this.tables.push({ quantType, dynamicCode, tensor });
    return tensor;
  }

  #lora(module: string, weight: Weight): LoraPair | null {
    const target = this.#spec.lora?.modules.get(module);
    const A = this.#trainable.tensors.get(`${module}.${LORA_A}`)?.param;
    const B = this.#trainable.tensors.get(`${module}.${LORA_B}`)?.param;
    if (target === undefined || A === undefined || B === undefined) return null;
    const magnitude = this.#trainable.tensors.get(`${module}.${MAGNITUDE}`)?.param ?? null;
    const bias = this.#trainable.tensors.get(`${module}.${LORA_B_BIAS}`)?.param ?? null;
    const pair = { A, B, bias, ...target, dropout: this.#spec.lora?.dropout ?? 0, site: this.#site++ };
    if (magnitude !== null) this.dora.push({ weight, lora: { ...pair, magnitude } });
    return { ...pair, magnitude };
  }
}

function pick<T>(prefix: string, from: ReadonlyMap<string, T>): (name: string) => T {
  return (name) => {
    const found = from.get(name);
    if (found === undefined) throw new KernelCallError(`${prefix}${name}`, 'was not declared by the architecture');
    return found;
  };
}
