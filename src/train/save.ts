/** What a run leaves behind: a PEFT adapter, or in full training a Hugging Face model directory. */

import { ADAPTER_FILE, asInFile, saveAdapter } from '../adapters/files.ts';
import { DataError } from '../errors.ts';
import { SINGLE_FILE, type TensorSource } from '../formats/checkpoint.ts';
import { copyCompanions } from '../formats/companions.ts';
import { floatType, rawBytes, type TorchFloat } from '../formats/dtype.ts';
import { nonFiniteAt } from '../formats/finite.ts';
import type { ModelConfig } from '../formats/hf-config.ts';
import { CONFIG_FILE } from '../formats/hf-config.ts';
import type { FileReader, FileWriter } from '../formats/reader.ts';
import { place, writeText } from '../formats/reader.ts';
import { writeSafetensors } from '../formats/safetensors-write.ts';
import { narrow } from '../wasm/buffers.ts';
import type { Codec } from '../wasm/codec.ts';
import type { Engine } from './engine.ts';
import type { ModelPlan } from './model-plan.ts';

/** adapter_model.safetensors, adapter_config.json, README.md. */
export async function saveTrainedAdapter(
  engine: Engine,
  plan: ModelPlan,
  source: TensorSource | null,
  writer: FileWriter,
): Promise<void> {
  if (plan.lora === null) return;
  const { tensors } = engine.declared.trainable;
  const values = async (name: string): Promise<Float32Array> => {
    const trainable = tensors.get(name);
    if (trainable === undefined) throw new Error(`adapter: no trainable for ${name}`);
    const values = await engine.readTensor(trainable.param);
    requireFiniteAfter(place(writer, ADAPTER_FILE), name, rawBytes(values), 'float32');
    return asInFile(name, trainable.shape, values);
  };
  await saveAdapter(writer, { ...plan.lora, base: plan.base, source, values });
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

/** model.safetensors and config.json in `dtype`, and the tokenizer files of the model it started from. */
export async function saveTrainedModel(
  engine: Engine,
  from: FileReader,
  writer: FileWriter,
  options: { dtype: TorchFloat; codec: Codec; model: ModelConfig },
): Promise<void> {
  const { dtype, codec } = options;
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
  await copyCompanions(from, writer);
  const config = JSON.parse(await from.readText(CONFIG_FILE)) as Record<string, unknown>;
  const { torch_dtype: _, ...rest } = config;
  await writeText(writer, CONFIG_FILE, `${JSON.stringify({ ...rest, dtype }, null, 2)}\n`);
}
