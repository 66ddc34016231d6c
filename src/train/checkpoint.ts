/** Writes a checkpoint's folder and puts a run back into the state that one holds. */
import type { TrainingFacts } from '../adapters/card.ts';
import { openAdapter } from '../adapters/files.ts';
import { trainedValues } from '../adapters/pissa.ts';
import { storedValues } from '../adapters/start-values.ts';
import { openCheckpoint, readFloats } from '../formats/checkpoint.ts';
import { type FileReader, writeText } from '../formats/reader.ts';
import type { CheckpointWriter } from './checkpoint-store.ts';
import type { Engine } from './engine.ts';
import { restoreMaster, restoreOptimizer, saveOptimizer } from './optimizer-state.ts';
import { type ResumeFile, writeResumeFile } from './resume-file.ts';
import { saveTrained } from './save.ts';
import { savedDtype } from './saved-bytes.ts';
import type { RunInput, Runtime } from './session.ts';
import { TRAINER_STATE_FILE } from './trainer-state.ts';

/** What a checkpoint holds beside weights and moments. */
export type CheckpointContent = {
  readonly resume: Pick<ResumeFile, 'nibble_version' | 'run' | 'progress'>;
  /** Content of trainer_state.json. */
  readonly trainerState: string;
  /** What its card says of the run. */
  readonly facts: TrainingFacts;
};

/** Writes weights, tokenizer, card, moments and state; resume.json, which names all others, comes last. @throws DataError */
export async function writeCheckpoint(
  runtime: Pick<Runtime, 'readerOf' | 'codec'>,
  input: RunInput,
  engine: Engine,
  folder: CheckpointWriter,
  { resume, trainerState, facts }: CheckpointContent,
): Promise<void> {
  await saveTrained(runtime, input, engine, folder, facts);
  await saveOptimizer(
    engine,
    folder,
    input.layout.lora === null && savedDtype(input.config, input.model) !== 'float32',
  );
  await writeText(folder, TRAINER_STATE_FILE, trainerState);
  await writeResumeFile(folder, resume, folder.written());
}

/** Writes a checkpoint's weights over those in the GPU. @throws DataError */
export async function restoreWeights(input: RunInput, engine: Engine, reader: FileReader): Promise<void> {
  const { tensors } = engine.declared.trainable;
  const { layout } = input;
  if (layout.lora !== null) {
    const values = await storedValues(await openAdapter(reader, layout.base));
    const { startPairs: start } = engine;
    const { targets } = layout.lora.layout;
    for (const [name, { param }] of tensors) {
      const saved = valuesOf(values, name);
      engine.writeTensor(param, start === null ? saved : trainedValues(name, saved, start, targets));
    }
    return;
  }
  if (await restoreMaster(engine, reader)) return;
  const source = await openCheckpoint(reader);
  for (const [name, { param }] of tensors)
    engine.writeTensor(param, (await readFloats(source, name)) as Float32Array<ArrayBuffer>);
}

function valuesOf(values: ReadonlyMap<string, Float32Array<ArrayBuffer>>, name: string): Float32Array<ArrayBuffer> {
  const found = values.get(name);
  if (found === undefined) throw new Error(`checkpoint: no values for ${name}`);
  return found;
}

/** Puts weights, moments and loss scale back; to be called when the engine is warm. @throws DataError */
export async function restoreEngine(
  input: RunInput,
  engine: Engine,
  reader: FileReader,
  { progress }: ResumeFile,
): Promise<void> {
  await restoreWeights(input, engine, reader);
  await restoreOptimizer(engine, reader);
  engine.restoreScaler(progress.lossScale);
}
