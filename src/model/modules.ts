/** Lists a model's modules with parameters, by their checkpoint names, in the order in which PyTorch walks them. */
import { elementCount } from '../formats/dtype.ts';
import type { ModelConfig } from '../formats/hf-config.ts';
import { type LinearModule, type Module, type Parameter, parametersOfModule } from '../formats/modules.ts';
import { ARCHITECTURES } from './architectures.ts';

export const EMBEDDING = 'model.embed_tokens';
export const FINAL_NORM = 'model.norm';
export const HEAD = 'lm_head';

/** Lists the modules of layer `i`, with full names. */
export function layerModules(config: ModelConfig, i: number): Module[] {
  return ARCHITECTURES[config.architecture]
    .layerModules(config)
    .map((module) => ({ ...module, name: `model.layers.${i}.${module.name}` }));
}

/** Lists every module with parameters, a tied head included, though its weight is the embedding's. */
export function modulesOf(config: ModelConfig): Module[] {
  const { vocab_size, hidden_size, num_hidden_layers } = config;
  const table = { out: vocab_size, in: hidden_size };
  return [
    { kind: 'embedding', name: EMBEDDING, ...table },
    ...Array.from({ length: num_hidden_layers }, (_, i) => layerModules(config, i)).flat(),
    { kind: 'norm', name: FINAL_NORM, width: hidden_size },
    { kind: 'linear', name: HEAD, ...table, bias: false },
  ];
}

/** Lists the linear modules that a quantized base quantizes: all but the output head. */
export function allLinears(config: ModelConfig): LinearModule[] {
  return modulesOf(config).filter((module) => module.kind === 'linear' && module.name !== HEAD) as LinearModule[];
}

/** Lists every parameter once: a tied head has none of its own. */
export function parametersOf(config: ModelConfig): Parameter[] {
  return modulesOf(config)
    .filter(({ name }) => name !== HEAD || !config.tie_word_embeddings)
    .flatMap(parametersOfModule);
}

/** Counts a model's parameters; a tied head counts once. */
export function parameterCount(config: ModelConfig): number {
  return parametersOf(config).reduce((sum, { shape }) => sum + elementCount(shape), 0);
}
