/** What the runs of a suite read: names that mean something elsewhere, the files behind them, and their hashes. */
import { readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import type { DatasetSource, ResolvedSuite, TrainConfig } from '../config/index.ts';
import { writeText } from '../formats/reader.ts';
import { sha256OfFile } from '../node/environment.ts';
import { nodeReader, nodeWriter } from '../node/files.ts';
import { hubNames, namesOf } from '../node/hub-inputs.ts';
import type { SuiteInput } from '../results/summary-schema.ts';
import { BUILTIN_PREFIX, resolveBuiltins } from './builtin.ts';

/** An input, and where this machine has it; null for what `builtin:` or the hub stands for. */
export type NamedInput = Pick<SuiteInput, 'name' | 'kind' | 'from'> & {
  readonly given: string;
  readonly local: string | null;
};

/** File that says where this machine has the inputs; it is not published. */
export const LOCAL_FILE = 'local.json';
/** The suite as one file, with public names. */
export const SUITE_FILE = 'suite.yaml';

/** Folder, in that of a suite, with the texts that `builtin:` names stand for; in a published one, with its rows. */
export const DATA_FOLDER = 'data';

const FOLDERS = { model: 'models', adapter: 'adapters', rows: DATA_FOLDER, template: DATA_FOLDER } as const;
/** Files of a model or an adapter that decide nothing here: cards, pictures, other formats. */
const READ_OF_MODEL = /\.(json|safetensors|jinja|model)$/;

/**
 * Names every input of a suite once, in the order of its arms.
 * @param known names that are to stay, by the path that a suite gives
 */
export async function namedInputs(
  { cases }: Pick<ResolvedSuite, 'cases'>,
  known: ReadonlyMap<string, string> = new Map(),
): Promise<NamedInput[]> {
  const found = new Map<string, NamedInput>();
  const configs = cases.flatMap(({ arms }) => arms.map(({ config }) => config.values));
  const onHub = await hubNames([...new Set(configs.flatMap(namesOf))]);
  for (const values of configs)
    for (const { given, kind } of inputsOf(values)) {
      if (found.has(given)) continue;
      if (given.startsWith(BUILTIN_PREFIX)) found.set(given, { name: given, kind, from: 'nibble', given, local: null });
      else if (onHub.has(given)) found.set(given, { name: given, kind, from: 'hub', given, local: null });
      else {
        const taken = [...found.values()].map(({ name }) => name);
        const name = known.get(given) ?? freeName(FOLDERS[kind], path.basename(path.resolve(given)), taken);
        found.set(given, { name, kind, from: 'reader', given, local: path.resolve(given) });
      }
    }
  return [...found.values()];
}

type Given = { readonly given: string; readonly kind: SuiteInput['kind'] };

function inputsOf(values: TrainConfig): Given[] {
  const { model_name_or_path, adapter_name_or_path, chat_template_path, datasets, eval_datasets } = values;
  return [
    { given: model_name_or_path, kind: 'model' as const },
    ...(adapter_name_or_path === null ? [] : [{ given: adapter_name_or_path, kind: 'adapter' as const }]),
    ...(chat_template_path === null ? [] : [{ given: chat_template_path, kind: 'template' as const }]),
    ...[...datasets, ...eval_datasets].map((set) => ({ given: set.path, kind: 'rows' as const })),
  ];
}

function freeName(folder: string, base: string, taken: readonly string[]): string {
  for (let number = 1; ; number++) {
    const name = `${folder}/${number === 1 ? '' : `${number}-`}${base}`;
    if (!taken.includes(name)) return name;
  }
}

/** What a record calls the inputs and the folder of a run: names for paths, the rest as it is. */
export function publicNames(
  values: TrainConfig,
  inputs: readonly NamedInput[],
  output_dir: string,
): Partial<TrainConfig> {
  const nameOf = (given: string): string => inputs.find((input) => input.given === given)?.name ?? given;
  const named = (sets: readonly DatasetSource[]) => sets.map((set) => ({ ...set, path: nameOf(set.path) }));
  const { model_name_or_path, adapter_name_or_path, chat_template_path, datasets, eval_datasets } = values;
  return {
    output_dir,
    model_name_or_path: nameOf(model_name_or_path),
    adapter_name_or_path: adapter_name_or_path === null ? null : nameOf(adapter_name_or_path),
    chat_template_path: chat_template_path === null ? null : nameOf(chat_template_path),
    datasets: named(datasets),
    eval_datasets: named(eval_datasets),
  };
}

/** The inputs as suite.json has them, hashed. @param directory folder that `builtin:` texts were written to */
export async function hashedInputs(
  inputs: readonly NamedInput[],
  suite: Pick<ResolvedSuite, 'cases'>,
  directory: string,
): Promise<SuiteInput[]> {
  const builtins = new Map<string, string>();
  for (const { arms } of suite.cases)
    for (const { config } of arms)
      for (const { name, path: file } of (await resolveBuiltins(config.values, path.join(directory, DATA_FOLDER)))
        .files)
        builtins.set(BUILTIN_PREFIX + name, file);
  // random tokens are another file for each length
  builtins.delete(`${BUILTIN_PREFIX}random-tokens`);
  return Promise.all(
    inputs.map(async ({ name, kind, from, local }): Promise<SuiteInput> => {
      const at = local ?? builtins.get(name) ?? null;
      return { name, kind, from, source: null, files: at === null ? [] : await hashedFiles(at, kind) };
    }),
  );
}

/** The files of an input with their hashes; of a model or an adapter, those that nibble reads. */
export async function hashedFiles(at: string, kind: SuiteInput['kind']): Promise<SuiteInput['files']> {
  const found = await stat(at).catch(() => null);
  if (found === null) return [];
  const isFolder = found.isDirectory();
  const isWanted = (name: string): boolean => kind === 'rows' || READ_OF_MODEL.test(name);
  const names = isFolder ? (await filesBelow(at)).filter(isWanted) : [''];
  return Promise.all(
    names.map(async (name) => {
      const file = path.join(at, name);
      return { path: name, bytes: (await stat(file)).size, sha256: await sha256OfFile(file) };
    }),
  );
}

async function filesBelow(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true, recursive: true });
  return entries
    .filter((entry) => !entry.isDirectory())
    .map((entry) => path.relative(folder, path.join(entry.parentPath, entry.name)).replaceAll(path.sep, '/'))
    .filter((name) => !name.split('/').some((part) => part.startsWith('.')))
    .sort();
}

/** Notes where this machine has the inputs. */
export async function writeLocal(directory: string, inputs: readonly NamedInput[]): Promise<void> {
  const paths = Object.fromEntries(inputs.flatMap(({ name, local }) => (local === null ? [] : [[name, local]])));
  await writeText(nodeWriter(directory), LOCAL_FILE, `${JSON.stringify(paths, null, 2)}\n`);
}

/** Where this machine has the inputs of a suite, by their names; empty for a folder that came from elsewhere. */
export async function readLocal(directory: string): Promise<ReadonlyMap<string, string>> {
  const text = await nodeReader(directory)
    .readText(LOCAL_FILE)
    .catch(() => '{}');
  return new Map(Object.entries(JSON.parse(text) as Record<string, string>));
}
