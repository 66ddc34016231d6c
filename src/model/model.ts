/** A declared model as its forward pass uses it, and what an architecture defines. */
import type { ModelConfig } from '../formats/hf-config.ts';
import type { Module } from '../formats/modules.ts';
import type { Tensor } from '../gpu/tensor.ts';
import type { RopeTables } from './ops/attention.ts';
import type { OpContext } from './ops/context.ts';
import type { EmbeddingLayer } from './ops/embedding.ts';
import type { LinearLayer } from './ops/linear.ts';

/** One decoder layer: its modules by their names inside the layer. Asking for one that was not declared throws. */
export type Layer = {
  /** The prefix of its activations' labels. */
  readonly name: string;
  readonly index: number;
  readonly linear: (name: string) => LinearLayer;
  readonly norm: (name: string) => Tensor;
};

export type Model = {
  readonly config: ModelConfig;
  readonly embed: EmbeddingLayer;
  readonly layers: readonly Layer[];
  readonly norm: Tensor;
  readonly head: LinearLayer;
  readonly rope: RopeTables;
};

export type Architecture = {
  /** Modules of a layer in the order of named_modules, named inside the layer. */
  readonly layerModules: (config: ModelConfig) => Module[];
  /** x (B*S, C) -> the residual stream after the layer. Only ops: their backward comes with them. */
  readonly block: (ctx: OpContext, model: Model, layer: Layer, x: Tensor) => Tensor;
  /** Added to the final norm's weights: 1 where they are stored around 0. */
  readonly normOffset?: number;
  /** What embeddings are multiplied by. */
  readonly embeddingScale?: (config: ModelConfig) => number;
};
