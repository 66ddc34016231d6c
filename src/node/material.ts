/** The material of a run: model, adapter and datasets, by the hashes of their files. */
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { ADAPTER_FILE } from '../adapters/files.ts';
import type { TrainConfig } from '../config/index.ts';
import { CHAT_TEMPLATE_FILE, JINJA_FILE } from '../data/chat-source.ts';
import { CONFIG_FILE, readModelConfig } from '../formats/hf-config.ts';
import type { FileReader } from '../formats/reader.ts';
import { TOKENIZER_FILE } from '../formats/tokenizer.ts';
import { openWeights } from '../model/random-weights.ts';
import type { RunRecord } from '../results/run-schema.ts';
import { joinHashes, sha256Of, sha256OfFile } from './environment.ts';
import { nodeReader } from './files.ts';
import type { Snapshot } from './hub-snapshot.ts';

type Meta = RunRecord['meta_info'];

export type Material = {
  readonly modelInfo: Meta['model_info'];
  readonly datasetInfo: Meta['dataset_info'];
  readonly dataHashes: RunRecord['eval_info']['data_hashes'];
  /** Hash of the adapter that training continues with; null without one. */
  readonly initialAdapterSha256: string | null;
};

/**
 * Hashes the files of a run, reading each once or twice. Weights need not be valid, so that failed runs have a record
 * too.
 * @param files reads the datasets
 * @param snapshots what of the files comes from the hub
 * @throws DataError, or the system's error, for a file that cannot be read
 */
export async function readMaterial(
  config: TrainConfig,
  files: FileReader = nodeReader('.'),
  snapshots: readonly Snapshot[] = [],
): Promise<Material> {
  const { model_name_or_path: directory, adapter_name_or_path: adapter } = config;
  const weights = await weightFiles(directory);
  const base = snapshotOf(directory, snapshots);
  return {
    modelInfo: {
      id: base?.id ?? (path.basename(path.resolve(directory)) || 'model'),
      revision: base?.commit ?? null,
      sha256_of_weights: joinHashes(await Promise.all(weights.map((f) => sha256OfFile(path.join(directory, f))))),
      config_sha: await sha256OfFile(path.join(directory, CONFIG_FILE)),
    },
    datasetInfo: await datasetInfo(config, files, snapshots),
    dataHashes: await dataHashes(config, files),
    initialAdapterSha256: adapter === null ? null : await sha256OfFile(path.join(adapter, ADAPTER_FILE)),
  };
}

/** What of the hub a folder, or a file in it, is; undefined for the user's own. */
function snapshotOf(place: string, snapshots: readonly Snapshot[]): Snapshot | undefined {
  return snapshots.find(({ folder }) => place === folder || place.startsWith(folder + path.sep));
}

/** Names the weight files that the model is loaded from; where it cannot be opened, all that look like weights. */
async function weightFiles(directory: string): Promise<string[]> {
  try {
    const reader = nodeReader(directory);
    const source = await openWeights(reader, await readModelConfig(reader));
    return [...new Set(source.names().map((name) => source.info(name).file))].sort();
  } catch {
    return (await readdir(directory)).filter((file) => file.endsWith('.safetensors')).sort();
  }
}

async function datasetInfo(
  { datasets, eval_datasets }: TrainConfig,
  files: FileReader,
  snapshots: readonly Snapshot[],
): Promise<Meta['dataset_info']> {
  const info: Meta['dataset_info'] = {};
  for (const [role, sets] of Object.entries({ train: datasets, eval: eval_datasets }))
    for (const [i, { path: file }] of sets.entries())
      info[`${role}[${i}] ${path.basename(file)}`] = {
        revision: snapshotOf(file, snapshots)?.commit ?? null,
        sha256: await sha256Of(files, file),
        rows: null,
      };
  return info;
}

async function dataHashes(
  { datasets, eval_datasets, model_name_or_path, chat_template_path }: TrainConfig,
  files: FileReader,
): Promise<Material['dataHashes']> {
  const hashOf = async (sets: readonly { path: string }[]) =>
    joinHashes(await Promise.all(sets.map((set) => sha256Of(files, set.path))));
  const tokenizer = (await nodeReader(model_name_or_path).exists(TOKENIZER_FILE))
    ? await sha256OfFile(path.join(model_name_or_path, TOKENIZER_FILE))
    : null;
  return {
    train: await hashOf(datasets),
    eval: eval_datasets.length > 0 ? await hashOf(eval_datasets) : null,
    chat_template: await templateHash(chat_template_path ?? model_name_or_path),
    tokenizer,
  };
}

/** Hash of a template's file, or of the one in a directory; null where it stands in tokenizer_config.json or there is none. */
async function templateHash(given: string): Promise<string | null> {
  if (JINJA_FILE.test(given)) return sha256OfFile(given);
  return (await nodeReader(given).exists(CHAT_TEMPLATE_FILE))
    ? sha256OfFile(path.join(given, CHAT_TEMPLATE_FILE))
    : null;
}
