/** Datasets by their names on the hub: the files of one split, fetched, as datasets of files. */
import path from 'node:path';
import { parse } from 'yaml';
import { z } from 'zod';
import type { DatasetSource } from '../config/index.ts';
import { ConfigError } from '../errors.ts';
import { DEFAULT_REVISION, parseHubName } from '../formats/hub-cache.ts';
import { type DatasetConfig, NoSuchPart, rowFiles } from '../formats/hub-splits.ts';
import type { HubAccess } from './hub-access.ts';
import { fetchSnapshot, type OpenRepo, type Snapshot, Unfit } from './hub-snapshot.ts';

const README = 'README.md';

export type FetchedDataset = {
  /** One of a file each, in order. */
  readonly files: readonly DatasetSource[];
  /** The dataset at the commit that was fetched, with all that decides about its rows. */
  readonly named: DatasetSource;
  readonly snapshot: Snapshot;
};

/** What an entry that says less takes. */
type Defaults = { readonly split: string; readonly name: string | null };

/** @throws ConfigError at `setting`, as fetchSnapshot, and for a part that the dataset does not have */
export async function fetchDataset(
  access: HubAccess,
  set: DatasetSource,
  { setting, origin }: { readonly setting: string; readonly origin: string },
  defaults: Defaults,
): Promise<FetchedDataset> {
  const { id, revision: inName } = parseHubName(set.path) ?? { id: set.path, revision: null };
  const {
    revision = inName ?? DEFAULT_REVISION,
    split = defaults.split,
    name = defaults.name,
    data_files: files,
  } = set;
  if (inName !== null && inName !== revision)
    throw new ConfigError([
      { path: setting, message: `${set.path} and revision ${revision} are two; keep one${origin}` },
    ]);
  if (files !== undefined && (set.split !== undefined || set.name !== undefined))
    throw new ConfigError([
      {
        path: setting,
        message: `data_files names the files of ${id}: leave split and name out, or data_files${origin}`,
      },
    ]);
  const dataFiles = files === undefined ? null : [files].flat();
  const choose = async (repo: OpenRepo): Promise<string[]> => {
    const configs = repo.paths.includes(README) ? configsOf(await repo.text(README)) : [];
    try {
      return withoutText(rowFiles(repo.paths, configs, { name, split, dataFiles }), set.type);
    } catch (error) {
      throw error instanceof NoSuchPart ? new Unfit(error.message) : error;
    }
  };
  const notHere = `there is no file or folder ${set.path} in ${process.cwd()}`;
  const repository = { type: 'dataset', id, revision } as const;
  const { snapshot, paths } = await fetchSnapshot(access, repository, { setting, origin, notHere }, choose);
  // how rows are read goes with each file
  const { path: _path, split: _split, name: _name, revision: _revision, data_files: _files, ...kind } = set;
  const part = dataFiles === null ? { split, ...(name === null ? {} : { name }) } : { data_files: dataFiles };
  return {
    files: paths.map((file) => ({ path: path.join(snapshot.folder, file), ...kind })),
    named: { path: id, ...kind, ...part, revision: snapshot.commit },
    snapshot,
  };
}

/** The library makes a row of each line of a .txt, and nibble rows of max_length tokens: that has to be asked for. */
function withoutText(files: string[], type: DatasetSource['type']): string[] {
  const text = files.find((file) => file.endsWith('.txt'));
  if (text === undefined || type === 'text-chunks') return files;
  throw new Unfit(
    `has its rows in ${text}; a .txt is one long text here: set type: text-chunks to have it cut into rows`,
  );
}

const patterns = z.union([z.string().transform((one) => [one]), z.array(z.string())]);
const configType = z.looseObject({
  config_name: z.union([z.string(), z.number().transform(String)]).default('default'),
  default: z.boolean().default(false),
  data_dir: z.string().default(''),
  data_files: z.union([patterns, z.array(z.looseObject({ split: z.string(), path: patterns }))]).optional(),
});
const headType = z.looseObject({ configs: z.array(configType).default([]) });

/** The configurations in the YAML at the head of a README; none where there is no such head, or another one. */
function configsOf(readme: string): DatasetConfig[] {
  const [, head] = /^---\r?\n([\s\S]*?)\r?\n---\s*(\r?\n|$)/.exec(readme) ?? [];
  if (head === undefined) return [];
  let parsed: unknown;
  try {
    parsed = parse(head, { logLevel: 'silent' });
  } catch {
    throw new Unfit(`has a head in ${README} that is no YAML; name its files: {path: ORG/NAME, data_files: ...}`);
  }
  const { success, data } = headType.safeParse(parsed);
  if (!success)
    throw new Unfit(`has configs in ${README} that cannot be read; name its files: {path: ORG/NAME, data_files: ...}`);
  return data.configs.map(({ config_name, default: isDefault, data_dir, data_files }) => ({
    name: config_name,
    isDefault,
    folder: data_dir === '' ? '' : `${data_dir.replace(/^\.?\/|\/$/g, '')}/`,
    dataFiles: data_files === undefined ? null : bySplit(data_files),
  }));
}

function bySplit(files: string[] | { split: string; path: string[] }[]): Map<string, string[]> {
  const isPlain = (entry: string | { split: string; path: string[] }): entry is string => typeof entry === 'string';
  const plain = files.filter(isPlain);
  if (plain.length > 0) return new Map([['train', plain]]);
  return new Map((files as { split: string; path: string[] }[]).map(({ split, path: at }) => [split, at]));
}
