/** Adam's moments in a checkpoint, by the names of the trained tensors, under torch's names for the two. */

import { DataError } from '../errors.ts';
import type { TensorSource } from '../formats/checkpoint.ts';
import { openSafetensors, readFloats } from '../formats/checkpoint.ts';
import { elementCount, rawBytes } from '../formats/dtype.ts';
import { type FileReader, type FileWriter, place } from '../formats/reader.ts';
import { type TensorToWrite, writeSafetensors } from '../formats/safetensors-write.ts';
import type { Tensor } from '../gpu/tensor.ts';
import type { Trainable } from '../model/flat.ts';
import type { Engine } from './engine.ts';

/** No torch.save file, so not under the name of one. */
export const OPTIMIZER_FILE = 'optimizer.safetensors';

const FIRST = 'exp_avg';
const SECOND = 'exp_avg_sq';
/** The weights themselves, in float32, where the model is saved in fewer bits. */
const MASTER = 'master';

/** @param withWeights whether the weights' own file has fewer than 32 bits */
export async function saveOptimizer(engine: Engine, writer: FileWriter, withWeights: boolean): Promise<void> {
  const tensors = [...engine.declared.trainable.tensors.values()].flatMap((trainable) => [
    stored(engine, FIRST, trainable, trainable.m),
    stored(engine, SECOND, trainable, trainable.v),
    ...(withWeights ? [stored(engine, MASTER, trainable, trainable.param)] : []),
  ]);
  await writeSafetensors(writer, OPTIMIZER_FILE, tensors);
}

function stored(engine: Engine, part: string, { name, shape }: Trainable, tensor: Tensor): TensorToWrite {
  const data = async function* () {
    yield rawBytes(await engine.readTensor(tensor));
  };
  return { name: `${part}.${name}`, dtype: 'F32', shape, data };
}

/** Reads the moments back into the GPU. @throws DataError where they are not those of the tensors that are trained */
export async function restoreOptimizer(engine: Engine, reader: FileReader): Promise<void> {
  const source = await openSafetensors(reader, OPTIMIZER_FILE);
  for (const trainable of engine.declared.trainable.tensors.values()) {
    await restore(engine, source, FIRST, trainable, trainable.m);
    await restore(engine, source, SECOND, trainable, trainable.v);
  }
}

/** Reads the weights, where the checkpoint has them in full precision. @returns whether it has */
export async function restoreMaster(engine: Engine, reader: FileReader): Promise<boolean> {
  const source = await openSafetensors(reader, OPTIMIZER_FILE);
  const all = [...engine.declared.trainable.tensors.values()];
  if (!all.every(({ name }) => source.has(`${MASTER}.${name}`))) return false;
  for (const trainable of all) await restore(engine, source, MASTER, trainable, trainable.param);
  return true;
}

async function restore(
  engine: Engine,
  source: TensorSource,
  part: string,
  { name, shape }: Trainable,
  into: Tensor,
): Promise<void> {
  const values = (await readFloats(source, `${part}.${name}`)) as Float32Array<ArrayBuffer>;
  if (values.length !== elementCount(shape))
    throw new DataError(
      place(source, OPTIMIZER_FILE),
      `${part}.${name} has ${values.length} values, needs ${elementCount(shape)}. It is of another run.`,
    );
  engine.writeTensor(into, values);
}
