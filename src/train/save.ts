/** What a run leaves behind: a PEFT adapter, or in full training a Hugging Face model directory. */

import { asInFile, saveAdapter } from '../adapters/files.ts';
import { SINGLE_FILE, type TensorSource } from '../formats/checkpoint.ts';
import { copyCompanions } from '../formats/companions.ts';
import { floatType, type TorchFloat } from '../formats/dtype.ts';
import type { ModelConfig } from '../formats/hf-config.ts';
import { CONFIG_FILE } from '../formats/hf-config.ts';
import type { FileReader, FileWriter } from '../formats/reader.ts';
import { writeText } from '../formats/reader.ts';
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
    return asInFile(name, trainable.shape, await engine.readTensor(trainable.param));
  };
  await saveAdapter(writer, { ...plan.lora, base: plan.base, source, values });
}

/** model.safetensors and config.json in `dtype`, and the tokenizer files of the model it started from. */
export async function saveTrainedModel(
  engine: Engine,
  from: FileReader,
  writer: FileWriter,
  options: { dtype: TorchFloat; codec: Codec; model: ModelConfig; note: (text: string) => void },
): Promise<void> {
  const { dtype, codec, note } = options;
  const tensors = [...engine.declared.trainable.tensors].map(([name, trainable]) => ({
    name,
    dtype: floatType(dtype).safetensors,
    shape: trainable.shape,
    data: async function* () {
      const values = await engine.readTensor(trainable.param);
      yield dtype === 'float32' ? new Uint8Array(values.buffer) : narrow(codec, values, dtype);
    },
  }));
  await writeSafetensors(writer, SINGLE_FILE, tensors);
  await copyCompanions(from, writer, note);
  const config = JSON.parse(await from.readText(CONFIG_FILE)) as Record<string, unknown>;
  const { torch_dtype: _, ...rest } = config;
  await writeText(writer, CONFIG_FILE, `${JSON.stringify({ ...rest, dtype }, null, 2)}\n`);
}
