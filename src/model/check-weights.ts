/** Checks that a checkpoint holds the weights that config.json describes, by its headers, before anything is loaded. */
import { DataError } from '../errors.ts';
import { readBnb4bit } from '../formats/bnb4bit.ts';
import type { TensorSource } from '../formats/checkpoint.ts';
import { type FloatDtype, isFloatDtype } from '../formats/dtype.ts';
import type { ModelConfig } from '../formats/hf-config.ts';
import { leftoverNote } from './leftover-tensors.ts';
import { HEAD, parametersOf } from './modules.ts';
import { requireKnownCodes } from './prequantized.ts';

/**
 * Checks every weight, and that none is left over. @param notes is told of tensors that the model has no place for
 * @throws DataError naming the first that is missing, of another shape, or of a type that is no float; or a layer or bias too many
 */
export async function checkWeights(config: ModelConfig, source: TensorSource, notes: string[] = []): Promise<void> {
  if (!config.tie_word_embeddings) requireHead(source);
  for (const { name, shape, module } of parametersOf(config)) {
    if (module.kind === 'linear' && shape.length === 2) await requireMatrix(source, name, shape);
    else requireShape(source, name, shape);
  }
  const left = leftoverNote(config, source);
  if (left !== null) notes.push(left);
}

/** Requires a head of its own, which a model saved with tied embeddings lacks: config.json then has to say so. */
function requireHead(source: TensorSource): void {
  if (source.has(`${HEAD}.weight`)) return;
  throw new DataError(
    source.root,
    `has no ${HEAD}.weight, but config.json says tie_word_embeddings is false: set it to true if the head is the embedding`,
  );
}

/** Requires a matrix of shape `want`, or one that bitsandbytes quantized, whose record says its shape. */
async function requireMatrix(source: TensorSource, name: string, want: readonly number[]): Promise<void> {
  const quantized = source.has(name) ? await readBnb4bit(source, name) : null;
  if (quantized === null) {
    requireShape(source, name, want);
    return;
  }
  requireKnownCodes(source, name, quantized);
  if (quantized.shape.join() !== want.join()) {
    throw new DataError(
      `${source.root}/${quantized.packed.file}`,
      `${name} was quantized from (${quantized.shape.join(', ')}), config.json wants (${want.join(', ')}): they belong to different models`,
    );
  }
}

/** Reads the type a tensor is stored in. @throws DataError when it is not a float tensor of shape `want` */
export function requireShape(source: TensorSource, name: string, want: readonly number[]): FloatDtype {
  const { dtype, shape, file } = source.info(name);
  if (shape.join() !== want.join()) {
    throw new DataError(
      `${source.root}/${file}`,
      `${name} is (${shape.join(', ')}), needs (${want.join(', ')}): does config.json belong to these weights?`,
    );
  }
  if (!isFloatDtype(dtype)) {
    throw new DataError(
      `${source.root}/${file}`,
      `${name} is ${dtype}, needs F32, F16 or BF16: save the model in one of them`,
    );
  }
  return dtype;
}
