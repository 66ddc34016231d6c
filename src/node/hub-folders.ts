/** Folders of models and adapters that a command or a call names: the user's own, or from the hub; each is looked into. */
import { type HubEvent, hubAccess } from './hub-access.ts';
import { type Located, locate } from './hub-models.ts';
import { requireAdapterFolder, requireModelFolder } from './inputs.ts';

/** What reaching the hub takes. */
export type HubAsked = {
  readonly offline: boolean;
  readonly signal: AbortSignal;
  readonly onEvent: (event: HubEvent) => void;
};

type Asked = HubAsked & {
  /** What messages call the setting. */
  readonly setting: string;
  readonly model_revision?: string;
};

/** @param need of a model by its name, config.json alone or all of it @throws ConfigError where there is no such model, here or on the hub; as fetchSnapshot */
export async function modelFolder(
  given: string,
  { setting, model_revision, need = 'model', ...asked }: Asked & { readonly need?: 'config' | 'model' },
): Promise<Located> {
  const revision = model_revision === undefined ? {} : { revision: model_revision };
  const located = await locate(() => hubAccess(asked), given, { need, setting, ...revision });
  await requireModelFolder(setting, located.folder);
  return located;
}

/** @throws ConfigError where there is no such adapter, here or on the hub; as fetchSnapshot */
export async function adapterFolder(given: string, { setting, ...asked }: Asked): Promise<string> {
  const { folder } = await locate(() => hubAccess(asked), given, { need: 'adapter', setting });
  await requireAdapterFolder(setting, folder);
  return folder;
}

/** The folder of a tokenizer with a chat template; a file, or what is not there, as it was given. */
export async function templateFolder(given: string, { setting, ...asked }: Asked): Promise<string> {
  return (await locate(() => hubAccess(asked), given, { need: 'template', setting })).folder;
}
