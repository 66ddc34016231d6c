/** Rows whose loss is taken: datasets read, templated, masked and cut as training does with eval_datasets. */
import type { EvalConfig } from '../config/eval.ts';
import { type DatasetSource, loadTrainConfig } from '../config/index.ts';
import type { Dataset } from '../data/dataset.ts';
import type { ModelConfig } from '../formats/hf-config.ts';
import type { TextTokenizer } from '../formats/tokenizer.ts';
import { readRows } from '../train/rows.ts';
import { withDatasetFiles } from './dataset-files.ts';
import { nodeReader } from './files.ts';
import { type HubEvent, hubAccess } from './hub-access.ts';
import { fetchInputs, hubNames, namesOf } from './hub-inputs.ts';
import { requireInputs } from './inputs.ts';
import { datasetNotes } from './run-notes.ts';

/** The settings that say how rows are read, and where their files may come from. */
export type RowSettings = Pick<
  EvalConfig,
  | 'datasets'
  | 'dataset_config'
  | 'dataset_test_split'
  | 'dataset_dir'
  | 'max_samples'
  | 'max_length'
  | 'append_eos'
  | 'dataset_text_field'
  | 'completion_only_loss'
  | 'assistant_only_loss'
  | 'chat_template_path'
  | 'offline'
>;

/** A dataset and what the table calls it: its path, as it was given. */
export type NamedDataset = { readonly name: string; readonly dataset: Dataset };

type Opened = { readonly folder: string; readonly model: ModelConfig; readonly tokenizer: TextTokenizer | null };
type Listener = { readonly onEvent: (event: HubEvent) => void; readonly signal: AbortSignal };

/** Reads each dataset by itself. @throws ConfigError, DataError */
export async function readEvalRows(
  settings: RowSettings,
  { folder, model, tokenizer }: Opened,
  { onEvent, signal }: Listener,
): Promise<NamedDataset[]> {
  const found: NamedDataset[] = [];
  for (const set of settings.datasets) {
    const config = await resolved(settings, set, folder, { onEvent, signal });
    const { train: dataset, notes } = await readRows(config, { model, tokenizer }, nodeReader);
    for (const text of [...notes, ...datasetNotes(set.path, dataset, config)]) onEvent({ type: 'note', text });
    found.push({ name: set.path, dataset });
  }
  return found;
}

/** As the training rows of a run, which are read alike, but for the split that a folder is read from. */
async function resolved(settings: RowSettings, set: DatasetSource, folder: string, { onEvent, signal }: Listener) {
  const { datasets: _, dataset_test_split, offline, ...given } = settings;
  const options = {
    ...given,
    model_name_or_path: folder,
    datasets: [set],
    dataset_train_split: dataset_test_split,
    offline,
  };
  const asked = await withDatasetFiles(loadTrainConfig({ options }));
  const onHub = await hubNames(namesOf(asked.values));
  await requireInputs(asked, onHub);
  const hub = () => hubAccess({ offline, signal, onEvent });
  const { config } = await fetchInputs(asked, hub, 'model');
  return config.values;
}
