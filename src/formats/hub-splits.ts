/**
 * Which files of a dataset's repository are its rows, as the `datasets` library (5.0) finds them without running code: the
 * configurations of its README, else files and folders that are named after a split. Pure: paths in, paths out.
 */

/** A configuration that the README declares. */
export type DatasetConfig = {
  readonly name: string;
  readonly isDefault: boolean;
  /** Below the repository; empty for all of it. */
  readonly folder: string;
  /** Patterns by split; null leaves it to the names of files. */
  readonly dataFiles: ReadonlyMap<string, readonly string[]> | null;
};

/** What of a dataset is asked for. */
export type DatasetPart = {
  readonly name: string | null;
  readonly split: string;
  readonly dataFiles: readonly string[] | null;
};

/** What is wrong with a request, as the end of a sentence that begins with the dataset. */
export class NoSuchPart extends Error {}

/** Words that files and folders of a split have in their names. */
const KEYWORDS: Readonly<Record<string, readonly string[]>> = {
  train: ['train', 'training'],
  validation: ['validation', 'valid', 'dev', 'val'],
  test: ['test', 'testing', 'eval', 'evaluation'],
};
const SHARD = /^data\/([^/]+)-\d{5}-of-\d{5}[^/]*\.[^/]*$/;
/** Files that go together, by their endings. */
const READERS: Readonly<Record<string, RegExp>> = {
  json: /\.(json|jsonl|ndjson)(\.gz)?$/i,
  parquet: /\.parquet$/i,
  csv: /\.[ct]sv(\.gz)?$/i,
  text: /\.txt(\.gz)?$/i,
};
const NOT_ROWS = ['config.json', 'dataset_info.json', 'dataset_infos.json', 'dataset_dict.json'];

/** @throws NoSuchPart @returns paths in the order in which they are read */
export function rowFiles(
  all: readonly string[],
  configs: readonly DatasetConfig[],
  { name, split, dataFiles }: DatasetPart,
): string[] {
  const paths = all.filter(isVisible).sort();
  if (dataFiles !== null) return readable(matched(paths, dataFiles, 'data_files'), all);
  const config = configOf(configs, name);
  const inside = paths.filter((path) => config === null || path.startsWith(config.folder));
  const rows = inside.filter((path) => readerOf(path) !== undefined);
  if (config?.dataFiles != null) {
    const patterns = config.dataFiles.get(split);
    if (patterns === undefined) throw noSplit(split, [...config.dataFiles.keys()]);
    const below = patterns.map((pattern) => config.folder + pattern);
    return readable(matched(inside, below, `split ${split}`), all);
  }
  if (rows.length === 0) throw new NoSuchPart(`has no files of rows that are read here${adviceOf(all)}`);
  const bySplit = filesBySplit(rows, config?.folder ?? '');
  const found = bySplit.get(split);
  if (found === undefined) throw noSplit(split, [...bySplit.keys()]);
  return readable(found, all);
}

const isVisible = (path: string): boolean => {
  const parts = path.split('/');
  const isHidden =
    parts.some((part) => part.startsWith('.')) || parts.slice(0, -1).some((part) => part.startsWith('__'));
  return !isHidden && !NOT_ROWS.includes(parts.at(-1) ?? '');
};

const readerOf = (path: string): string | undefined => Object.keys(READERS).find((name) => READERS[name]?.test(path));

function configOf(configs: readonly DatasetConfig[], name: string | null): DatasetConfig | null {
  const named = configs.find((config) => config.name === name);
  if (named !== undefined) return named;
  const names = configs.map((config) => config.name).join(', ');
  if (name !== null && name !== 'default')
    throw new NoSuchPart(`has no configuration ${name}; it has ${names || 'no configurations: leave the name out'}`);
  if (configs.length === 0) return null;
  const only = configs.length === 1 ? configs[0] : undefined;
  const chosen =
    configs.find((config) => config.isDefault) ?? configs.find((config) => config.name === 'default') ?? only;
  if (chosen === undefined)
    throw new NoSuchPart(
      `has several configurations; give the name of one of ${names}: {path: ORG/NAME, name: ${configs[0]?.name}}`,
    );
  return chosen;
}

const noSplit = (split: string, there: readonly string[]): NoSuchPart =>
  new NoSuchPart(
    /[[\]%+]/.test(split)
      ? `is asked for the split ${split}: slices and sums of splits are not taken; give a split, of which max_samples takes the first rows, or an entry for each`
      : `has no split ${split}; it has ${there.join(', ') || 'none'}`,
  );

/** Files by split: shards in data/, else by the names of folders, else by those of files, else all of them as train. */
function filesBySplit(rows: readonly string[], folder: string): Map<string, string[]> {
  const below = (path: string): string => path.slice(folder.length);
  const shards = grouped(rows, (path) => SHARD.exec(below(path))?.slice(1, 2) ?? []);
  if (shards.size > 0) return shards;
  const splitsOf = (names: readonly string[], isOf: (name: string, word: string) => boolean): string[] =>
    Object.keys(KEYWORDS).filter((split) => KEYWORDS[split]?.some((word) => names.some((name) => isOf(name, word))));
  const byFolder = grouped(rows, (path) => splitsOf(below(path).split('/').slice(0, -1), isFolderOf));
  if (byFolder.size > 0) return byFolder;
  const byFile = grouped(rows, (path) => splitsOf(below(path).split('/').slice(-1), isFileOf));
  return byFile.size > 0 ? byFile : new Map([['train', [...rows]]]);
}

function grouped(rows: readonly string[], splitsOf: (path: string) => readonly string[]): Map<string, string[]> {
  const groups = new Map<string, string[]>();
  for (const path of rows) for (const split of splitsOf(path)) groups.set(split, [...(groups.get(split) ?? []), path]);
  return groups;
}

const BETWEEN = '[-._ 0-9]';
const isFileOf = (name: string, word: string): boolean => new RegExp(`(^|${BETWEEN})${word}${BETWEEN}`).test(name);
const isFolderOf = (name: string, word: string): boolean =>
  new RegExp(`(^|${BETWEEN})${word}($|${BETWEEN})`).test(name);

/** Paths that patterns match, each once, pattern by pattern. @throws NoSuchPart for a pattern without any */
function matched(paths: readonly string[], patterns: readonly string[], what: string): string[] {
  const found = patterns.map((pattern) => {
    const matches = paths.filter((path) => regexOf(pattern).test(path));
    if (matches.length === 0) throw new NoSuchPart(`has no file ${pattern} (${what})`);
    return matches;
  });
  return [...new Set(found.flat())];
}

/** A pattern as fsspec reads it: * within a name, ** across folders, ? and [abc] for one character. */
function regexOf(pattern: string): RegExp {
  const parts = pattern.match(/\*\*\/|\*\*|\*|\?|\[[^\]]+\]|[^*?[]+|\[/g) ?? [];
  const translated = parts.map((part) => {
    if (part === '**/') return '(?:.*/)?';
    if (part === '**') return '.*';
    if (part === '*') return '[^/]*';
    if (part === '?') return '[^/]';
    if (/^\[.+\]$/.test(part)) return part.replace(/^\[!/, '[^').replaceAll('\\', '\\\\');
    return part.replace(/[.+^${}()|[\]\\]/g, '\\$&');
  });
  return new RegExp(`^${translated.join('')}$`);
}

/** The files of the most frequent kind: a table of rows may lie beside its licence. @throws NoSuchPart where none is read */
function readable(files: readonly string[], all: readonly string[]): string[] {
  const counts = new Map<string, number>();
  for (const file of files) {
    const reader = readerOf(file);
    if (reader !== undefined) counts.set(reader, (counts.get(reader) ?? 0) + 1);
  }
  const [most] = [...counts].sort(([, a], [, b]) => b - a);
  if (most === undefined)
    throw new NoSuchPart(`has its rows in ${files[0]}, and JSON, JSONL, CSV, TSV and Parquet are read${adviceOf(all)}`);
  return files.filter((file) => readerOf(file) === most[0]);
}

/** The branch on which the hub keeps a copy of many datasets as Parquet, by configuration and split. */
const PARQUET_BRANCH = 'refs/convert/parquet';

function adviceOf(all: readonly string[]): string {
  const script = all.find((path) => /^[^/]+\.py$/.test(path));
  const why = script === undefined ? '' : ` (it is made by code, ${script}, which is not run)`;
  return `${why}. The hub keeps a copy of many datasets as Parquet: try revision: ${PARQUET_BRANCH} with data_files: CONFIG/SPLIT/*.parquet`;
}
