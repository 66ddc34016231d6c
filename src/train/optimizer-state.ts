/** An optimizer's state in a checkpoint: the same file whichever way the run held it, under torch's and bitsandbytes' names. */

import { DataError } from '../errors.ts';
import type { TensorSource } from '../formats/checkpoint.ts';
import { openSafetensors, readFloats } from '../formats/checkpoint.ts';
import { elementCount, rawBytes } from '../formats/dtype.ts';
import { type FileReader, type FileWriter, place } from '../formats/reader.ts';
import { type TensorToWrite, writeSafetensors } from '../formats/safetensors-write.ts';
import type { Trainable } from '../model/flat.ts';
import type { Engine } from './engine.ts';
import { partBytes, type StatePart } from './update-rule.ts';

/** No torch.save file, so not under the name of one. */
export const OPTIMIZER_FILE = 'optimizer.safetensors';

/** The weights themselves, in float32, where the model is saved in fewer bits. */
const MASTER = 'master';

/** @param withWeights whether the weights' own file has fewer than 32 bits */
export async function saveOptimizer(engine: Engine, writer: FileWriter, withWeights: boolean): Promise<void> {
  const tensors = [...engine.declared.trainable.tensors.values()].flatMap((trainable) => [
    ...engine.state.parts(trainable).map((part) => storedState(engine, trainable, part)),
    ...(withWeights ? [storedWeights(engine, trainable)] : []),
  ]);
  await writeSafetensors(writer, OPTIMIZER_FILE, tensors);
}

/** A part with a value for each element has its tensor's shape, one with a value for each block their number. */
function shapeOf({ shape }: Trainable, { per }: StatePart): readonly number[] {
  return per === 1 ? shape : [Math.ceil(elementCount(shape) / per)];
}

function storedState(engine: Engine, trainable: Trainable, part: StatePart): TensorToWrite {
  const data = async function* () {
    yield await engine.state.read(trainable, part);
  };
  const dtype = part.dtype === 'u8' ? 'U8' : 'F32';
  return { name: `${part.name}.${trainable.name}`, dtype, shape: shapeOf(trainable, part), data };
}

function storedWeights(engine: Engine, { name, shape, param }: Trainable): TensorToWrite {
  const data = async function* () {
    yield rawBytes(await engine.readTensor(param));
  };
  return { name: `${MASTER}.${name}`, dtype: 'F32', shape, data };
}

/** Puts the state back. @throws DataError where it is not that of the tensors that are trained, or of another optimizer */
export async function restoreOptimizer(engine: Engine, reader: FileReader): Promise<void> {
  const source = await openSafetensors(reader, OPTIMIZER_FILE);
  for (const trainable of engine.declared.trainable.tensors.values())
    for (const part of engine.state.parts(trainable)) await restoreState(engine, source, trainable, part);
}

/** Reads the weights, where the checkpoint has them in full precision. @returns whether it has */
export async function restoreMaster(engine: Engine, reader: FileReader): Promise<boolean> {
  const source = await openSafetensors(reader, OPTIMIZER_FILE);
  const all = [...engine.declared.trainable.tensors.values()];
  if (!all.every(({ name }) => source.has(`${MASTER}.${name}`))) return false;
  for (const { name, param } of all) {
    const values = (await readFloats(source, `${MASTER}.${name}`)) as Float32Array<ArrayBuffer>;
    requireSize(source, `${MASTER}.${name}`, values.length, param.elements);
    engine.writeTensor(param, values);
  }
  return true;
}

async function restoreState(
  engine: Engine,
  source: TensorSource,
  trainable: Trainable,
  part: StatePart,
): Promise<void> {
  const name = `${part.name}.${trainable.name}`;
  if (!source.has(name))
    throw new DataError(
      place(source, OPTIMIZER_FILE),
      `has no ${name}: it is the state of another optimizer, and cannot go on under this one. Set optim back, or train anew in another output_dir.`,
    );
  const wanted = partBytes(part, trainable.param.elements);
  requireSize(source, name, source.info(name).bytes, wanted, 'bytes');
  const bytes = new Uint8Array(wanted);
  await source.read(name, 0, bytes);
  engine.state.write(trainable, part, bytes);
}

function requireSize(source: TensorSource, name: string, got: number, wanted: number, unit = 'values'): void {
  if (got === wanted) return;
  const message = `${name} has ${got} ${unit}, needs ${wanted}. It is of another run.`;
  throw new DataError(place(source, OPTIMIZER_FILE), message);
}
