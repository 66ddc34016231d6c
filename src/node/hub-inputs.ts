/** The parts of a configuration that come from the hub, as folders and files of this machine. */
import { stat } from 'node:fs/promises';
import { type DatasetSource, type ResolvedConfig, type SettingKey, type TrainConfig, wasSet } from '../config/index.ts';
import { ConfigError, type ConfigProblem } from '../errors.ts';
import { parseHubName } from '../formats/hub-cache.ts';
import type { HubAccess } from './hub-access.ts';
import { fetchDataset } from './hub-datasets.ts';
import { locate, type Need } from './hub-models.ts';
import type { Snapshot } from './hub-snapshot.ts';

export type FetchedInputs = {
  /** With folders and files of this machine. */
  readonly config: ResolvedConfig;
  /** What of it has a name on the hub: that name, at the commit that was fetched, so that the run can be repeated anywhere. */
  readonly names: Partial<TrainConfig>;
  readonly snapshots: readonly Snapshot[];
};

/** Every name in settings that may be a path or a name on the hub. */
export function namesOf(values: Partial<TrainConfig>): string[] {
  const { model_name_or_path, adapter_name_or_path, chat_template_path, datasets = [], eval_datasets = [] } = values;
  const names = [model_name_or_path, adapter_name_or_path, chat_template_path];
  return [...names, ...[...datasets, ...eval_datasets].map((set) => set.path)].filter(
    (name) => typeof name === 'string',
  );
}

/** Those that are not there as a path, and have the form of a name on the hub. */
export async function hubNames(names: readonly string[]): Promise<ReadonlySet<string>> {
  const found = new Set<string>();
  for (const name of names)
    if (parseHubName(name) !== null && (await stat(name).catch(() => null)) === null) found.add(name);
  return found;
}

/**
 * Fetches what a configuration names on the hub. @param need what the model is wanted for
 * @throws ConfigError with every name that cannot be had; DataError; the signal's reason
 */
export async function fetchInputs(
  asked: ResolvedConfig,
  access: () => HubAccess,
  need: 'config' | 'tokenizer' | 'model',
): Promise<FetchedInputs> {
  const problems: ConfigProblem[] = [];
  const snapshots: Snapshot[] = [];
  const values: { -readonly [K in keyof TrainConfig]?: TrainConfig[K] } = {};
  const names: typeof values = {};
  const fetched = async (key: SettingKey & FolderKey, wanted: Need): Promise<Snapshot | null> => {
    const given = asked.values[key];
    if (given === null) return null;
    const origin = wasSet(asked, key) ? ` (${asked.origins[key].where})` : '';
    const revision = key === 'model_name_or_path' ? { revision: asked.values.model_revision } : {};
    try {
      const { folder, snapshot } = await locate(access, given, { need: wanted, setting: key, origin, ...revision });
      if (snapshot === null) return null;
      snapshots.push(snapshot);
      values[key] = folder;
      names[key] = `${snapshot.id}@${snapshot.commit}`;
      return snapshot;
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      for (const problem of error.problems) problems.push(problem);
      return null;
    }
  };
  if (need !== 'config')
    for (const key of ['datasets', 'eval_datasets'] as const) {
      const sets = await fetchedSets(asked, key, access, problems);
      for (const set of sets) if (set.snapshot !== null) snapshots.push(set.snapshot);
      values[key] = sets.flatMap(({ files }) => files);
      names[key] = sets.map(({ named }) => named);
    }
  await fetched('adapter_name_or_path', need === 'config' ? 'adapter-config' : 'adapter');
  if (need !== 'config') await fetched('chat_template_path', 'template');
  // what is small and may be refused comes before the weights
  const model = problems.length > 0 ? null : await fetched('model_name_or_path', need);
  if (problems.length > 0) throw new ConfigError(problems);
  if (model !== null) {
    values.base_on_hub = model.id;
    names.model_name_or_path = model.id;
    names.model_revision = model.commit;
  }
  return { config: { ...asked, values: { ...asked.values, ...values } }, names, snapshots };
}

type Set = {
  readonly files: readonly DatasetSource[];
  readonly named: DatasetSource;
  readonly snapshot: Snapshot | null;
};

/** The datasets of a setting: those of the hub as their files, the others as they are. */
async function fetchedSets(
  { values, origins }: ResolvedConfig,
  key: 'datasets' | 'eval_datasets',
  access: () => HubAccess,
  problems: ConfigProblem[],
): Promise<Set[]> {
  const onHub = await hubNames(values[key].map(({ path }) => path));
  const split = key === 'datasets' ? values.dataset_train_split : values.dataset_test_split;
  const asker = { origin: origins[key].source === 'default' ? '' : ` (${origins[key].where})` };
  const found: Set[] = [];
  for (const [i, set] of values[key].entries()) {
    const setting = `${key}[${i}].path`;
    try {
      if (onHub.has(set.path))
        found.push(await fetchDataset(access(), set, { ...asker, setting }, { split, name: values.dataset_config }));
      else found.push({ files: [set], named: set, snapshot: null });
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      for (const problem of error.problems) problems.push(problem);
    }
  }
  return found;
}

type FolderKey = 'model_name_or_path' | 'adapter_name_or_path' | 'chat_template_path';
