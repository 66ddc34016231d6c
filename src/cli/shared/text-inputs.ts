/** What it takes to read a run's rows without its weights: files that are there, the model's shapes and its tokenizer. */
import type { ResolvedConfig, TrainConfig } from '../../config/index.ts';
import { type ModelConfig, readModelConfig } from '../../formats/hf-config.ts';
import { openTokenizer, type TextTokenizer, TOKENIZER_FILE } from '../../formats/tokenizer.ts';
import { withDatasetFiles } from '../../node/dataset-files.ts';
import { nodeReader } from '../../node/files.ts';
import { type HubEvent, hubAccess } from '../../node/hub-access.ts';
import { fetchInputs, hubNames, namesOf } from '../../node/hub-inputs.ts';
import { requireInputs, withAbsolutePaths } from '../../node/inputs.ts';
import type { CliContext } from './context.ts';

export type TextInputs = {
  /** The configuration with folders in the place of names on the hub. */
  readonly config: ResolvedConfig;
  /** Its values with paths in full. */
  readonly values: TrainConfig;
  readonly model: ModelConfig;
  /** Null where the model has none. */
  readonly tokenizer: TextTokenizer | null;
};

/** Fetches what comes from the hub and opens the tokenizer. @throws ConfigError, DataError; the signal's reason */
export async function openTextInputs(asked: ResolvedConfig, context: CliContext): Promise<TextInputs> {
  const given = await withDatasetFiles(asked);
  await requireInputs(given, await hubNames(namesOf(given.values)));
  const onEvent = (event: HubEvent): void => {
    if (event.type === 'note') context.stderr.write(`note: ${event.text}\n`);
  };
  const hub = () => hubAccess({ offline: asked.values.offline, signal: context.signal, onEvent });
  const { config } = await fetchInputs(given, hub, 'tokenizer');
  const { values } = withAbsolutePaths(config);
  const reader = nodeReader(values.model_name_or_path);
  const model = await readModelConfig(reader, []);
  const tokenizer = (await reader.exists(TOKENIZER_FILE)) ? await openTokenizer(reader, model.vocab_size) : null;
  return { config, values, model, tokenizer };
}
