/** Datasets that are folders: replaced by the files of the split that is asked for. */
import { readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { type DatasetSource, type ResolvedConfig, wasSet } from '../config/index.ts';
import { ConfigError, type ConfigProblem } from '../errors.ts';
import { fileOfName } from './dataset-info.ts';

/** Names that the files of a split have, at the beginning. */
const SPLIT_NAMES: Readonly<Record<string, readonly string[]>> = {
  train: ['train', 'training'],
  validation: ['validation', 'valid', 'val', 'dev', 'eval'],
  test: ['test', 'testing'],
};
const DATA_FILE = /\.(jsonl|json|csv|tsv|parquet|txt)(\.gz)?$/i;
/** Where datasets of the hub keep their files, beside the folder itself. */
const DATA_FOLDER = 'data';

/** What an entry says of a dataset on the hub alone. */
const ONLY_ON_HUB = ['name', 'revision', 'data_files'] as const;

type Key = 'datasets' | 'eval_datasets';
/** Setting that says the split of an entry without one. */
const SPLIT_OF = { datasets: 'dataset_train_split', eval_datasets: 'dataset_test_split' } as const;

/**
 * Replaces every dataset that is a folder by the files of its split: train, and validation for eval_datasets, unless `split` says
 * another. A folder whose files are named after no split is all training rows.
 * @throws ConfigError naming every folder without such a file
 */
export async function withDatasetFiles(config: ResolvedConfig): Promise<ResolvedConfig> {
  const problems: ConfigProblem[] = [];
  const of = async (key: Key): Promise<DatasetSource[]> => {
    const found = config.values[key].map(async (set, i) => {
      const at = `${key}[${i}].path`;
      return filesOf(
        await fileOfName(set, config.values.dataset_dir, at, problems),
        config.values[SPLIT_OF[key]],
        at,
        problems,
      );
    });
    return (await Promise.all(found)).flat();
  };
  const [datasets, eval_datasets] = [await of('datasets'), await of('eval_datasets')];
  if (problems.length > 0) {
    const origin = (key: string): string =>
      wasSet(config, key as Key) ? ` (${config.origins[key as Key].where})` : '';
    throw new ConfigError(
      problems.map((problem) => ({ ...problem, message: problem.message + origin(problem.path.split('[')[0]!) })),
    );
  }
  return { ...config, values: { ...config.values, datasets, eval_datasets } };
}

async function filesOf(
  { split: asked, ...set }: DatasetSource,
  byDefault: string,
  at: string,
  problems: ConfigProblem[],
): Promise<DatasetSource[]> {
  const names = await listed(set.path);
  const ofHub = ONLY_ON_HUB.find((key) => set[key] !== undefined);
  if (ofHub !== undefined && (await stat(set.path).catch(() => null)) !== null)
    problems.push({
      path: at,
      message: `${set.path} is here, and ${ofHub} is of datasets on the hub: leave it out, or give another path`,
    });
  if (names === null) {
    const isHere = asked !== undefined && (await stat(set.path).catch(() => null)) !== null;
    // a single file is all of one split, whatever Hugging Face's slices ("train[:10%]") would take of it
    if (isHere && asked !== 'train' && !isOfSplit(set.path, asked))
      problems.push({
        path: at.replace(/path$/, 'split'),
        message: `got ${JSON.stringify(asked)}, and ${set.path} is one file, of which all rows are taken: leave it out, or give a file of those rows`,
      });
    return [{ ...set, ...(asked === undefined ? {} : { split: asked }) }];
  }
  const split = asked ?? byDefault;
  const files = names.filter((name) => isOfSplit(name, split));
  const isUnsplit = !names.some((name) => Object.keys(SPLIT_NAMES).some((known) => isOfSplit(name, known)));
  const found = files.length === 0 && split === 'train' && isUnsplit ? names : files;
  if (found.length === 0)
    problems.push({
      path: at,
      message:
        `${set.path} has no file of the split ${JSON.stringify(split)} (it holds ${names.join(', ') || 'no data file'}); ` +
        `wanted one such as ${split}.jsonl, or another split: {path: ${set.path}, split: ...}`,
    });
  return found.map((name) => ({ ...set, path: path.join(set.path, name) }));
}

/** The data files of a folder, those of its data/ included; null where it is none. */
async function listed(folder: string): Promise<string[] | null> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => null);
  if (entries === null) return null;
  const files = entries.filter((entry) => !entry.isDirectory()).map(({ name }) => name);
  const inside = await readdir(path.join(folder, DATA_FOLDER)).catch(() => []);
  return [...files, ...inside.map((name) => path.join(DATA_FOLDER, name))]
    .filter((name) => DATA_FILE.test(name))
    .sort();
}

function isOfSplit(file: string, split: string): boolean {
  const name = path.basename(file).toLowerCase();
  return (SPLIT_NAMES[split] ?? [split]).some(
    (known) => name.startsWith(known.toLowerCase()) && /^[-_.]/.test(name.slice(known.length)),
  );
}
