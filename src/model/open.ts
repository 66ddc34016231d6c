/** Opens a model directory: its config, weights, tokenizer and, where one is named, an adapter. No data, no GPU. */
import { type Adapter, checkOwnEmbeddings, openAdapter } from '../adapters/files.ts';
import type { TrainConfig } from '../config/settings.ts';
import type { TensorSource } from '../formats/checkpoint.ts';
import { type ModelConfig, readModelConfig } from '../formats/hf-config.ts';
import type { FileReader } from '../formats/reader.ts';
import { openTokenizer, type TextTokenizer, TOKENIZER_FILE } from '../formats/tokenizer.ts';
import { adapterBase } from './adapter-base.ts';
import { checkWeights } from './check-weights.ts';
import { openWeights } from './random-weights.ts';
import { withTiedHead } from './tied-head.ts';

export type OpenedModel = {
  readonly model: ModelConfig;
  /** Every weight that the architecture has, in the shape it has there; the head is tied where the config says so. */
  readonly source: TensorSource;
  /** Null where the directory has no tokenizer.json. */
  readonly tokenizer: TextTokenizer | null;
  readonly adapter: Adapter | null;
};

/** Reads and checks all but the values of the weights. @throws ConfigError, DataError */
export async function openModel(
  { model_name_or_path, adapter_name_or_path }: Pick<TrainConfig, 'model_name_or_path' | 'adapter_name_or_path'>,
  readerOf: (directory: string) => FileReader,
): Promise<OpenedModel> {
  const reader = readerOf(model_name_or_path);
  const model = await readModelConfig(reader);
  const source = await withTiedHead(model, await openWeights(reader, model));
  await checkWeights(model, source);
  const tokenizer = (await reader.exists(TOKENIZER_FILE)) ? await openTokenizer(reader, model.vocab_size) : null;
  if (adapter_name_or_path === null) return { model, source, tokenizer, adapter: null };
  const adapter = await openAdapter(readerOf(adapter_name_or_path), adapterBase(model));
  await checkOwnEmbeddings(adapter, source);
  return { model, source, tokenizer, adapter };
}
