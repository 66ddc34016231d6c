/** The model that an adapter is for: the one that is given, else the one that the adapter names; a folder, or a name on the hub. */
import { ADAPTER_CONFIG_FILE, readLoraConfig } from '../adapters/config.ts';
import { ConfigError } from '../errors.ts';
import { CONFIG_FILE } from '../formats/hf-config.ts';
import { parseHubName } from '../formats/hub-cache.ts';
import { place } from '../formats/reader.ts';
import { nodeReader } from './files.ts';
import { type HubAsked, modelFolder } from './hub-folders.ts';

export type AdapterFolder = {
  /** A folder of this machine. */
  readonly adapter: string;
  readonly model?: string | undefined;
  /** What messages call the model's folder. */
  readonly modelName: string;
  /** Of a model by its name, config.json alone is fetched, or all of it. */
  readonly need: 'config' | 'model';
  readonly hub: HubAsked & { readonly model_revision: string };
};

/** @throws ConfigError where there is no such model, or the adapter names none */
export async function modelOfAdapter(given: AdapterFolder): Promise<string> {
  const { adapter, modelName, need, hub } = given;
  const found = await findModel(given);
  if (found !== null) return found;
  const reader = nodeReader(adapter);
  const { base_model_name_or_path: named } = await readLoraConfig(reader);
  if (named !== null && parseHubName(named) !== null)
    return (await modelFolder(named, { setting: modelName, need, ...hub })).folder;
  const says = named === null ? 'does not say what its base is' : `names ${named} as its base, which is no folder here`;
  const message = `is missing: ${place(reader, ADAPTER_CONFIG_FILE)} ${says}. Give the base's folder; its config.json is enough.`;
  throw new ConfigError([{ path: modelName, message }]);
}

/** @returns null where none is given and the adapter names no folder that is there @throws ConfigError where one is given and is no model */
export async function findModel({ adapter, model, modelName, need, hub }: AdapterFolder): Promise<string | null> {
  if (model !== undefined) return (await modelFolder(model, { setting: modelName, need, ...hub })).folder;
  const { base_model_name_or_path: named } = await readLoraConfig(nodeReader(adapter));
  return named !== null && (await nodeReader(named).exists(CONFIG_FILE)) ? named : null;
}
