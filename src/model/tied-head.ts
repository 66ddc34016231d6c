/** Finds the one matrix of a tied model under the embedding's name, the head's, or both. */
import { DataError } from '../errors.ts';
import { renamed, type TensorSource } from '../formats/checkpoint.ts';
import { firstDifference } from '../formats/compare-tensors.ts';
import { isFloatDtype } from '../formats/dtype.ts';
import type { ModelConfig } from '../formats/hf-config.ts';
import { place } from '../formats/reader.ts';
import { EMBEDDING, HEAD } from './modules.ts';

const EMBEDDING_WEIGHT = `${EMBEDDING}.weight`;
const HEAD_WEIGHT = `${HEAD}.weight`;

/**
 * Views a checkpoint as a tied model reads it, with the shared matrix under the embedding's name only. A head that is stored
 * beside an equal embedding is left out; one that is stored alone stands for it, as transformers 5 loads it.
 * @throws DataError where both are stored and differ. transformers unties such a model with a warning; here config.json would
 * still say tied to an estimate, and to every reader of what full training or quantization writes.
 */
export async function withTiedHead(config: ModelConfig, source: TensorSource): Promise<TensorSource> {
  if (!config.tie_word_embeddings || !source.has(HEAD_WEIGHT)) return source;
  const others = source.names().flatMap((name) => (name === HEAD_WEIGHT ? [] : [[name, name] as const]));
  if (!source.has(EMBEDDING_WEIGHT)) return renamed(source, new Map([...others, [EMBEDDING_WEIGHT, HEAD_WEIGHT]]));
  const difference = await differenceOf(source);
  if (difference === null) return renamed(source, new Map(others));
  throw new DataError(
    place(source, source.info(HEAD_WEIGHT).file),
    `${difference}, but config.json says tie_word_embeddings is true, which makes them one matrix. Set tie_word_embeddings: false in config.json if the model was trained untied; else save the checkpoint without ${HEAD_WEIGHT}.`,
  );
}

/** Says how head and embedding differ; null where both hold the same values. */
async function differenceOf(source: TensorSource): Promise<string | null> {
  const [head, embedding] = [source.info(HEAD_WEIGHT), source.info(EMBEDDING_WEIGHT)];
  if (head.shape.join() !== embedding.shape.join() || !isFloatDtype(head.dtype) || !isFloatDtype(embedding.dtype)) {
    const words = ({ dtype, shape }: typeof head): string => `${dtype} (${shape.join(', ')})`;
    return `${HEAD_WEIGHT} is ${words(head)}, ${EMBEDDING_WEIGHT} is ${words(embedding)}`;
  }
  const found = await firstDifference({ source, name: HEAD_WEIGHT }, { source, name: EMBEDDING_WEIGHT });
  if (found === null) return null;
  return `${HEAD_WEIGHT} differs from ${EMBEDDING_WEIGHT}: element ${found.index} is ${found.a}, there it is ${found.b}`;
}
