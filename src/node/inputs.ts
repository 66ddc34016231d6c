/** The files that a configuration names: makes their paths absolute, and says clearly which are missing. */
import { readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { ADAPTER_CONFIG_FILE } from '../adapters/config.ts';
import { pickleRefusal } from '../adapters/files.ts';
import { type ResolvedConfig, type SettingKey, wasSet } from '../config/index.ts';
import { JINJA_FILE } from '../data/chat-source.ts';
import { ConfigError, type ConfigProblem } from '../errors.ts';
import { CONFIG_FILE } from '../formats/hf-config.ts';
import { modelPickleRefusal } from '../formats/pickle.ts';
import { inWords } from './files.ts';
import { specialKind, WRITE_IT_FIRST } from './regular-file.ts';

/** Names that are no paths: datasets held in memory, repositories of the hub. */
type NotPaths = { has(name: string): boolean };
const NONE: NotPaths = new Set();

/** Makes every path absolute, so that the configuration runs from any directory. Keeps the origin of each value. */
export function withAbsolutePaths(config: ResolvedConfig, notPaths = NONE): ResolvedConfig {
  const { values } = config;
  const { output_dir, model_name_or_path, adapter_name_or_path, chat_template_path, datasets, eval_datasets } = values;
  const { resume_from_checkpoint, logging_dir } = values;
  const absolute = (given: string): string => (notPaths.has(given) ? given : path.resolve(given));
  const whole = (sets: typeof datasets): typeof datasets => sets.map((s) => ({ ...s, path: absolute(s.path) }));
  return {
    ...config,
    values: {
      ...values,
      output_dir: path.resolve(output_dir),
      model_name_or_path: absolute(model_name_or_path),
      adapter_name_or_path: adapter_name_or_path === null ? null : absolute(adapter_name_or_path),
      chat_template_path: chat_template_path === null ? null : absolute(chat_template_path),
      logging_dir: logging_dir === null ? null : path.resolve(logging_dir),
      resume_from_checkpoint:
        typeof resume_from_checkpoint === 'string' ? path.resolve(resume_from_checkpoint) : resume_from_checkpoint,
      datasets: whole(datasets),
      eval_datasets: whole(eval_datasets),
    },
  };
}

/**
 * Requires that the model, the adapter and the datasets exist; their content is checked where it is read.
 * @throws ConfigError naming every setting whose files are not there, and what to do
 */
export async function requireInputs(config: ResolvedConfig, notPaths = NONE): Promise<void> {
  const { model_name_or_path, adapter_name_or_path, chat_template_path, datasets, eval_datasets } = config.values;
  const isPath = (given: string | null): given is string => given !== null && !notPaths.has(given);
  const folders = [
    ...(isPath(model_name_or_path) ? [settingProblem(config, 'model_name_or_path', model_name_or_path, MODEL)] : []),
    ...(isPath(adapter_name_or_path)
      ? [settingProblem(config, 'adapter_name_or_path', adapter_name_or_path, ADAPTER)]
      : []),
  ];
  const template = isPath(chat_template_path) ? [templateProblem(config, chat_template_path)] : [];
  const files = Object.entries({ datasets, eval_datasets }).flatMap(([key, sets]) =>
    sets.map((set, i) => (notPaths.has(set.path) ? null : fileProblem(config, key as SettingKey, i, set.path))),
  );
  const problems = (await Promise.all([...folders, ...template, ...files])).filter((problem) => problem !== null);
  if (problems.length > 0) throw new ConfigError(problems);
}

/** Requires that the model's directory exists. @throws ConfigError */
export async function requireModel(config: ResolvedConfig): Promise<void> {
  const problem = await settingProblem(config, 'model_name_or_path', config.values.model_name_or_path, MODEL);
  if (problem !== null) throw new ConfigError([problem]);
}

/** Requires that the adapter's directory given as `argument` exists. @throws ConfigError */
export async function requireAdapterFolder(argument: string, given: string): Promise<void> {
  const message = await folderProblem(given, ADAPTER);
  if (message !== null) throw new ConfigError([{ path: argument, message }]);
}

/** Requires that the model's directory given as `argument` exists. @throws ConfigError */
export async function requireModelFolder(argument: string, given: string): Promise<void> {
  const message = await folderProblem(given, MODEL);
  if (message !== null) throw new ConfigError([{ path: argument, message }]);
}

type Folder = {
  readonly file: string;
  readonly wanted: string;
  /** Says why a file of this name is not read; null where the message about a folder is enough. */
  readonly refusal?: (name: string) => string | null;
};
const MODEL: Folder = {
  file: CONFIG_FILE,
  wanted: 'the directory of a Hugging Face model (config.json, safetensors, tokenizer.json)',
  refusal: modelPickleRefusal,
};
const ADAPTER: Folder = {
  file: ADAPTER_CONFIG_FILE,
  wanted: 'the directory of a PEFT adapter (adapter_config.json, adapter_model.safetensors)',
  refusal: pickleRefusal,
};

/** null for nothing; for what is neither file nor folder, what it is. */
type Kind = 'file' | 'folder' | { readonly special: string } | null;

async function settingProblem(
  config: ResolvedConfig,
  key: SettingKey,
  given: string,
  folder: Folder,
): Promise<ConfigProblem | null> {
  const what = await folderProblem(given, folder);
  return what === null ? null : { path: key, message: `${what}${origin(config, key)}` };
}

async function folderProblem(given: string, folder: Folder): Promise<string | null> {
  const { file, wanted, refusal = () => null } = folder;
  const kind = await kindOf(given);
  const refused = kind === 'file' ? refusal(given) : null;
  if (refused !== null) return `${given} ${refused} Then give its folder`;
  if (kind === 'file') return `${given} is a file; wanted ${wanted}: give the folder it lies in`;
  if (kind !== null && kind !== 'folder') return `${given} is ${kind.special}; wanted ${wanted}`;
  if (kind !== 'folder')
    return `there is no folder ${given}${inWorkingDirectory(given)}; wanted ${wanted}${hubHint(given)}`;
  const inside = await kindOf(path.join(given, file));
  if (inside === 'file') return null;
  if (inside !== null && inside !== 'folder') return `${path.join(given, file)} is ${inside.special}; wanted a file`;
  const names = await readdir(given).catch((error: NodeJS.ErrnoException) => inWords(error));
  if (typeof names === 'string') return `${given} cannot be read (${names}); wanted ${wanted}`;
  const holds = names.length === 0 ? 'is empty' : `has no ${file} (it holds ${listed(names)})`;
  return `${given} ${holds}; wanted ${wanted}${unreadHint(names, folder)}`;
}

/** Explains that files of other formats are not read, where a folder has those instead. */
function unreadHint(names: readonly string[], { refusal = () => null }: Folder): string {
  if (names.some((name) => name.endsWith('.gguf'))) return '; GGUF files are not read, safetensors are';
  const pickle = names.find((name) => refusal(name) !== null);
  return pickle === undefined ? '' : `. ${pickle} ${refusal(pickle)}`;
}

async function fileProblem(
  config: ResolvedConfig,
  key: SettingKey,
  index: number,
  given: string,
): Promise<ConfigProblem | null> {
  const kind = await kindOf(given);
  if (kind === 'file') return null;
  if (given === '-' && kind === null)
    return {
      path: `${key}[${index}].path`,
      message: `is -, standard input, which is read once and by \`nibble train\` alone; give a file${origin(config, key)}`,
    };
  const what =
    kind !== null
      ? notAFile(given, kind)
      : `there is no file ${given}${inWorkingDirectory(given)}; wanted a file of rows (JSONL, JSON, CSV, Parquet) or a folder of them${hubHint(given)}`;
  return { path: `${key}[${index}].path`, message: `${what}${origin(config, key)}` };
}

async function templateProblem(config: ResolvedConfig, given: string): Promise<ConfigProblem | null> {
  const kind = await kindOf(given);
  if (kind === 'folder' || (kind === 'file' && JINJA_FILE.test(given))) return null;
  const what =
    kind === 'file' ? `${given} is no Jinja file by its name` : `there is no ${given}${inWorkingDirectory(given)}`;
  return {
    path: 'chat_template_path',
    message: `${what}; wanted a .jinja file, or the directory of a tokenizer${origin(config, 'chat_template_path')}`,
  };
}

function notAFile(given: string, kind: 'folder' | { readonly special: string }): string {
  if (kind === 'folder') return `${given} is a folder; wanted a file in it`;
  return `${given} is ${kind.special}; wanted a file. ${WRITE_IT_FIRST} \`nibble train\` reads standard input as -`;
}

async function kindOf(given: string): Promise<Kind> {
  return stat(given).then(
    (found) => {
      const special = specialKind(found);
      if (special !== null) return { special };
      return found.isDirectory() ? 'folder' : 'file';
    },
    () => null,
  );
}

const SHOWN_NAMES = 4;

function listed(names: readonly string[]): string {
  const shown = [...names].sort().slice(0, SHOWN_NAMES).join(', ');
  return names.length > SHOWN_NAMES ? `${shown} and ${names.length - SHOWN_NAMES} more` : shown;
}

/** Names the working directory for a relative path, which depends on it. */
function inWorkingDirectory(given: string): string {
  return path.isAbsolute(given) ? '' : ` in ${process.cwd()}`;
}

/** Says what a name on the hub looks like, for a bare one that could be meant as such. */
function hubHint(given: string): string {
  return /^[\w-]+$/.test(given) ? '. A name on the Hugging Face hub has the form ORG/NAME' : '';
}

function origin(config: ResolvedConfig, key: SettingKey): string {
  return wasSet(config, key) ? ` (${config.origins[key].where})` : '';
}
