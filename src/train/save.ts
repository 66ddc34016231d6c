/** Writes what was trained: a PEFT adapter, or in full training a Hugging Face model directory. */

import type { TrainingFacts } from '../adapters/card.ts';
import { ADAPTER_FILE, asInFile, saveAdapter } from '../adapters/files.ts';
import { converted, convertedValues } from '../adapters/pissa.ts';
import { templateFiles } from '../data/chat-source.ts';
import { DataError } from '../errors.ts';
import { SINGLE_FILE, type TensorSource } from '../formats/checkpoint.ts';
import { copyCompanions, copyTokenizer } from '../formats/companions.ts';
import { floatType, rawBytes, type TorchFloat } from '../formats/dtype.ts';
import { nonFiniteAt } from '../formats/finite.ts';
import { CONFIG_FILE } from '../formats/hf-config.ts';
import type { FileReader, FileWriter } from '../formats/reader.ts';
import { place, writeText } from '../formats/reader.ts';
import { writeSafetensors } from '../formats/safetensors-write.ts';
import { narrow } from '../wasm/buffers.ts';
import type { Codec } from '../wasm/codec.ts';
import type { Engine } from './engine.ts';
import type { ModelLayout } from './model-layout.ts';
import { savedDtype } from './saved-bytes.ts';
import type { RunInput, Runtime } from './session.ts';

/**
 * Writes the adapter with its card and the tokenizer of its base, or the whole model: the same at a run's end and in its
 * checkpoints. @returns notes on what was not copied @throws DataError
 */
export async function saveTrained(
  { readerOf, codec }: Pick<Runtime, 'readerOf' | 'codec'>,
  { config, layout, model, source, chat }: RunInput,
  engine: Engine,
  writer: FileWriter,
  facts: TrainingFacts,
): Promise<string[]> {
  const notes: string[] = [];
  const note = (text: string) => void notes.push(text);
  const from = readerOf(config.model_name_or_path);
  const templates = chat !== null && config.chat_template_path !== null ? templateFiles(chat) : null;
  if (layout.lora !== null) {
    await saveTrainedAdapter(engine, layout, source, writer, facts);
    await copyTokenizer(from, writer, note, templates);
  } else await saveTrainedModel(engine, from, writer, { dtype: savedDtype(config, model), codec, note, templates });
  return notes;
}

/** Writes adapter_model.safetensors, adapter_config.json and README.md; nothing in full training. @throws DataError */
export async function saveTrainedAdapter(
  engine: Engine,
  layout: ModelLayout,
  source: TensorSource | null,
  writer: FileWriter,
  facts: TrainingFacts | null = null,
): Promise<void> {
  if (layout.lora === null) return;
  const { tensors } = engine.declared.trainable;
  const { startPairs: start } = engine;
  const { config, layout: trained } = layout.lora;
  const saved = start === null ? layout.lora : converted(config, trained);
  const values = async (name: string): Promise<Float32Array> => {
    const trainable = tensors.get(name);
    if (trainable === undefined) throw new Error(`adapter: no trainable for ${name}`);
    const values = await engine.readTensor(trainable.param);
    requireFiniteAfter(place(writer, ADAPTER_FILE), name, rawBytes(values), 'float32');
    if (start?.has(name)) return convertedValues(name, values, start, trained.targets);
    return asInFile(name, trainable.shape, values);
  };
  await saveAdapter(writer, { ...saved, base: layout.base, source, values, facts });
}

/** @throws DataError naming a weight that is NaN or infinite as it would be saved: the file is not written */
function requireFiniteAfter(file: string, name: string, saved: Uint8Array, dtype: TorchFloat): void {
  const at = nonFiniteAt(saved, dtype);
  if (at < 0) return;
  throw new DataError(
    file,
    `${name}: element ${at} is not finite as ${dtype} after training, so it is not written. Train again with a lower learning_rate or weight_decay.`,
  );
}

/**
 * Writes model.safetensors and config.json in `dtype`, and copies the tokenizer files of the model in `from`.
 * @throws DataError
 */
export async function saveTrainedModel(
  engine: Engine,
  from: FileReader,
  writer: FileWriter,
  options: {
    readonly dtype: TorchFloat;
    readonly codec: Codec;
    readonly note: (text: string) => void;
    readonly templates?: ReadonlyMap<string, string> | null;
  },
): Promise<void> {
  const { dtype, codec, note, templates = null } = options;
  const tensors = [...engine.declared.trainable.tensors].map(([name, trainable]) => ({
    name,
    dtype: floatType(dtype).safetensors,
    shape: trainable.shape,
    data: async function* () {
      const values = await engine.readTensor(trainable.param);
      const saved = dtype === 'float32' ? new Uint8Array(values.buffer) : narrow(codec, values, dtype);
      requireFiniteAfter(place(writer, SINGLE_FILE), name, saved, dtype);
      yield saved;
    },
  }));
  await writeSafetensors(writer, SINGLE_FILE, tensors);
  await copyCompanions(from, writer, note, templates);
  const config = JSON.parse(await from.readText(CONFIG_FILE)) as Record<string, unknown>;
  const { torch_dtype: _, ...rest } = config;
  await writeText(writer, CONFIG_FILE, `${JSON.stringify({ ...rest, dtype }, null, 2)}\n`);
}
