/** Models, adapters and tokenizers by their names on the hub: which files of a repository are needed, and the folder they then lie in. */
import { stat } from 'node:fs/promises';
import { ADAPTER_CONFIG_FILE } from '../adapters/config.ts';
import { ADAPTER_FILE, pickleRefusal } from '../adapters/files.ts';
import { ConfigError } from '../errors.ts';
import { INDEX_FILE, SINGLE_FILE, shardsOf } from '../formats/checkpoint.ts';
import { isCompanion, isTokenizerFile } from '../formats/companions.ts';
import { CONFIG_FILE } from '../formats/hf-config.ts';
import { DEFAULT_REVISION, parseHubName } from '../formats/hub-cache.ts';
import { modelPickleRefusal } from '../formats/pickle.ts';
import type { HubAccess } from './hub-access.ts';
import { type Choose, fetchSnapshot, type OpenRepo, type Snapshot, Unfit } from './hub-snapshot.ts';

/** What a repository is wanted for: config is config.json alone, tokenizer that and the tokenizer, model all that a model needs. */
export type Need = 'config' | 'tokenizer' | 'model' | 'adapter' | 'adapter-config' | 'template';

export type Wanted = {
  readonly need: Need;
  /** What messages call the setting, and what stands behind them: where its value comes from. */
  readonly setting: string;
  readonly origin?: string;
  /** A branch, a tag or a commit, where the name itself has none. */
  readonly revision?: string;
};

/** A folder, and what of the hub it is; null where it is the user's own. */
export type Located = { readonly folder: string; readonly snapshot: Snapshot | null };

/**
 * The folder of a model or an adapter: the given one where it exists, else the snapshot of ORG/NAME or ORG/NAME@REVISION. A path that
 * cannot be a name on the hub is returned as it is, for whoever looks into it to refuse.
 * @throws as fetchSnapshot
 */
export async function locate(access: () => HubAccess, given: string, wanted: Wanted): Promise<Located> {
  const { need, setting, origin = '', revision = DEFAULT_REVISION } = wanted;
  const name = parseHubName(given);
  if (name === null || (await stat(given).catch(() => null)) !== null) return { folder: given, snapshot: null };
  if (name.revision !== null && revision !== DEFAULT_REVISION && revision !== name.revision)
    throw new ConfigError([
      { path: setting, message: `${given} names another revision than model_revision ${revision}; keep one${origin}` },
    ]);
  const repository = { type: 'model', id: name.id, revision: name.revision ?? revision } as const;
  const asker = { setting, origin, notHere: `there is no folder ${given} in ${process.cwd()}` };
  const { snapshot } = await fetchSnapshot(access(), repository, asker, CHOICES[need]);
  return { folder: snapshot.folder, snapshot };
}

const CHOICES: Readonly<Record<Need, Choose>> = {
  config: (repo) => configOf(repo),
  tokenizer: (repo) => [...configOf(repo), ...repo.paths.filter(isTokenizerFile)],
  model: async (repo) => [...configOf(repo), ...repo.paths.filter(isCompanion), ...(await weightsOf(repo))],
  adapter: (repo) => [...adapterOf(repo), ...repo.paths.filter(isTokenizerFile)],
  'adapter-config': (repo) => adapterOf(repo).slice(0, 1),
  template: ({ paths }) => {
    const found = paths.filter(isTemplateFile);
    if (found.length === 0) throw new Unfit('has no chat template; wanted a repository with a tokenizer that has one');
    return found;
  },
};

/** Files that chat templates stand in. */
const isTemplateFile = (path: string): boolean =>
  isTokenizerFile(path) && (path.endsWith('.jinja') || path === 'tokenizer_config.json');

function configOf({ paths }: OpenRepo): string[] {
  if (paths.includes(CONFIG_FILE)) return [CONFIG_FILE];
  if (paths.includes(ADAPTER_CONFIG_FILE))
    throw new Unfit(
      'is an adapter (adapter_config.json, no config.json): give its base as the model, and it as the adapter',
    );
  const gguf = paths.find((path) => path.endsWith('.gguf'));
  throw new Unfit(
    gguf === undefined
      ? `has no ${CONFIG_FILE}; wanted a model in the form of transformers (config.json, safetensors)`
      : `has GGUF files (${gguf}), which are not read; safetensors are: give the model that they were made from`,
  );
}

async function weightsOf({ paths, text, id }: OpenRepo): Promise<string[]> {
  if (paths.includes(SINGLE_FILE)) return [SINGLE_FILE];
  if (!paths.includes(INDEX_FILE)) throw new Unfit(withoutWeights(paths));
  const shards = shardsOf(await text(INDEX_FILE), `${id}/${INDEX_FILE}`);
  const absent = shards.filter((shard) => !paths.includes(shard));
  if (absent.length > 0) throw new Unfit(`names the shard ${absent[0]} in ${INDEX_FILE} and does not have it`);
  return [INDEX_FILE, ...shards];
}

function withoutWeights(paths: readonly string[]): string {
  const pickle = paths.find((path) => modelPickleRefusal(path) !== null);
  const why = pickle === undefined ? '' : `. ${pickle} ${modelPickleRefusal(pickle)} It was not fetched`;
  return `has neither ${SINGLE_FILE} nor ${INDEX_FILE}${why}`;
}

function adapterOf({ paths }: OpenRepo): string[] {
  if (!paths.includes(ADAPTER_CONFIG_FILE))
    throw new Unfit(`has no ${ADAPTER_CONFIG_FILE}; wanted a PEFT adapter (${ADAPTER_CONFIG_FILE}, ${ADAPTER_FILE})`);
  if (paths.includes(ADAPTER_FILE)) return [ADAPTER_CONFIG_FILE, ADAPTER_FILE];
  const pickle = paths.find((path) => pickleRefusal(path) !== null);
  throw new Unfit(`has no ${ADAPTER_FILE}${pickle === undefined ? '' : `. ${pickle} ${pickleRefusal(pickle)}`}`);
}
