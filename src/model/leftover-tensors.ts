/** Tensors of a checkpoint that the model has no place for. transformers warns of them and leaves them out. */
import { DataError } from '../errors.ts';
import { isBnb4bit } from '../formats/bnb4bit.ts';
import type { TensorSource } from '../formats/checkpoint.ts';
import type { ModelConfig } from '../formats/hf-config.ts';
import { place } from '../formats/reader.ts';
import { parametersOf } from './modules.ts';

/** Buffers that older versions of transformers saved: they follow from config.json. */
const FOLLOWS_FROM_CONFIG = /\.rotary_emb\.inv_freq$/;
const LAYER_WEIGHT = /^model\.layers\.\d+\..*\.(weight|bias)$/;
const SHOWN = 4;

/**
 * Finds what would be left out.
 * @returns a note that names some of it; null where nothing is left over
 * @throws DataError for a bias or a weight of a layer: config.json describes another model than the one that was trained
 */
export function leftoverNote(config: ModelConfig, source: TensorSource): string | null {
  const wanted = new Set(parametersOf(config).map(({ name }) => name));
  const quantized = [...wanted].filter((name) => isBnb4bit(source, name));
  const belongs = (name: string): boolean =>
    wanted.has(name) || FOLLOWS_FROM_CONFIG.test(name) || quantized.some((weight) => name.startsWith(`${weight}.`));
  const left = source.names().filter((name) => !belongs(name));
  if (left.length === 0) return null;
  const [part] = left.filter((name) => name.endsWith('.bias') || LAYER_WEIGHT.test(name));
  if (part === undefined) return `${source.root}: ${inShort(left)} of its tensors belong to no part of the model`;
  throw new DataError(
    place(source, source.info(part).file),
    `holds ${part}, for which a ${config.architecture} of this config.json (num_hidden_layers ${config.num_hidden_layers}, ` +
      `attention_bias ${config.attention_bias}, mlp_bias ${config.mlp_bias}) has no place: it would be left out. Give the config.json that belongs to these weights.`,
  );
}

function inShort(names: readonly string[]): string {
  const shown = names.slice(0, SHOWN).join(', ');
  return names.length > SHOWN ? `${shown} and ${names.length - SHOWN} more` : shown;
}
