/** The rows of a run: its datasets read as its settings say. */
import type { TrainConfig } from '../config/settings.ts';
import { show } from '../config/show.ts';
import { type ChatSource, JINJA_FILE, openChatSource } from '../data/chat-source.ts';
import { checkClonedTemplate } from '../data/cloned-template.ts';
import { type Dataset, type DatasetSpec, loadDataset, loadSplitDataset } from '../data/dataset.ts';
import type { RowStoreOptions } from '../data/row-store.ts';
import { ConfigError } from '../errors.ts';
import type { ModelConfig } from '../formats/hf-config.ts';
import type { FileReader } from '../formats/reader.ts';
import type { TextTokenizer } from '../formats/tokenizer.ts';
import { packingOf } from './packing.ts';

export type RunRows = {
  readonly train: Dataset;
  readonly evaluation: Dataset;
  /** Chat templates; null where there are none. */
  readonly chat: ChatSource | null;
  /** Lines for a person. */
  readonly notes: readonly string[];
};

type Opened = { readonly model: ModelConfig; readonly tokenizer: TextTokenizer | null };

/**
 * Reads the rows that a run trains on and evaluates.
 * @param store where rows beyond the memory budget go
 * @throws ConfigError, DataError
 */
export async function readRows(
  config: TrainConfig,
  { model, tokenizer }: Opened,
  readerOf: (directory: string) => FileReader,
  store: RowStoreOptions = {},
): Promise<RunRows> {
  if (config.datasets.length === 0)
    throw new ConfigError([{ path: 'datasets', message: 'names no file; give datasets: [{path: rows.jsonl}]' }]);
  const chat = await openChatSource(readerOf(config.model_name_or_path), config.chat_template_path, readerOf);
  requireOwnTokens(config, tokenizer);
  const notes = await templateNotes(config, chat, tokenizer, readerOf);
  const options = {
    ...store,
    vocabSize: model.vocab_size,
    maxPositions: model.max_position_embeddings,
    maxLength: config.max_length,
    tokenizer,
    appendEos: config.append_eos,
    textField: config.dataset_text_field,
    completionOnlyLoss: config.completion_only_loss,
    assistantOnlyLoss: config.assistant_only_loss,
    chat,
    eosIds: new Set([...(tokenizer?.eosId == null ? [] : [tokenizer.eosId]), ...model.eos_token_id]),
  };
  const files = readerOf('.');
  const packing = packingOf(config);
  const { val_set_size: size, seed, max_samples } = config;
  const specs = (sets: TrainConfig['datasets']): DatasetSpec[] =>
    sets.map((set) => (max_samples === null ? set : { ...set, max_rows: max_samples }));
  const datasets = specs(config.datasets);
  if (size > 0)
    return {
      chat,
      notes,
      ...(await loadSplitDataset(
        files,
        datasets,
        { ...options, packing: packing.train },
        { size, seed, evaluationPacking: packing.evaluation },
      )),
    };
  return {
    chat,
    notes,
    train: await loadDataset(files, datasets, { ...options, packing: packing.train }),
    evaluation: await loadDataset(files, specs(config.eval_datasets), { ...options, packing: packing.evaluation }),
  };
}

/** Notes on a template from another tokenizer's directory, which has to suit this one. @throws ConfigError, DataError */
async function templateNotes(
  { chat_template_path: path }: TrainConfig,
  chat: ChatSource | null,
  tokenizer: TextTokenizer | null,
  readerOf: (directory: string) => FileReader,
): Promise<string[]> {
  if (path === null || JINJA_FILE.test(path) || chat === null || tokenizer === null) return [];
  return checkClonedTemplate(readerOf(path), chat, tokenizer);
}

/** Refuses special tokens that are not the tokenizer's: to change them would change ids. Padding is never counted. @throws ConfigError */
function requireOwnTokens({ special_tokens }: TrainConfig, tokenizer: TextTokenizer | null): void {
  const problems = Object.entries(special_tokens ?? {}).flatMap(([name, token]) => {
    const own = tokenizer?.specialTokens.get(name);
    if (name === 'pad_token' || own === token) return [];
    const has = own === undefined ? `has no ${name}` : `has ${show(own)}`;
    return [
      {
        path: `special_tokens.${name}`,
        message: `got ${show(token)}, the tokenizer ${has}, and nibble changes no tokenizer. Leave it out, or change tokenizer_config.json of the model.`,
      },
    ];
  });
  if (problems.length > 0) throw new ConfigError(problems);
}
