/** Some files of a repository as a folder on this machine: fetched where they are missing, else as the cache has them. */
import { readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { ConfigError } from '../errors.ts';
import {
  type HubName,
  isCommit,
  isSafeRevision,
  type RepoFile,
  repoFolder,
  snapshotPath,
} from '../formats/hub-cache.ts';
import { counted, formatBytes } from '../report/format.ts';
import { freeBytesAt, requireRoom } from './disk.ts';
import type { HubAccess } from './hub-access.ts';
import { fetchFile, type OnBytes, type RepoAtCommit } from './hub-download.ts';
import { askCommit, askFiles, cachedPaths, keptFiles, readRef } from './hub-listing.ts';
import { HubRefusal, HubUnreachable } from './hub-request.ts';
import { refusalInWords } from './hub-words.ts';

/** A repository whose files lie in a folder. */
export type Snapshot = HubName & { readonly commit: string; readonly folder: string };

/** A repository that files are chosen from. */
export type OpenRepo = {
  readonly id: string;
  /** Every file there is, or, without the hub, every one that the cache has. */
  readonly paths: readonly string[];
  /** The text of one of them, which is fetched for it. */
  text(file: string): Promise<string>;
};

/** Names the files that are needed. @throws an Error whose message says what the repository lacks and what to do */
export type Choose = (repo: OpenRepo) => Promise<readonly string[]> | readonly string[];

/** What a repository lacks for what it is wanted for, as the end of a sentence that begins with its name. */
export class Unfit extends Error {}

/** What messages call the setting, and what they say of the path that is not there. */
export type Asker = { readonly setting: string; readonly origin: string; readonly notHere: string };

/**
 * Fetches what `choose` names. @throws ConfigError at the setting: no such repository, revision or file, no permission, no network
 * and nothing in the cache; DataError for damaged content and a full disk
 */
export async function fetchSnapshot(
  access: HubAccess,
  name: HubName,
  { setting, origin, notHere }: Asker,
  choose: Choose,
): Promise<{ readonly snapshot: Snapshot; readonly paths: readonly string[] }> {
  const refuse = (message: string): never => {
    throw new ConfigError([{ path: setting, message: `${message}${origin}` }]);
  };
  if (!isSafeRevision(name.revision)) refuse(`${name.revision} is no revision: wanted a branch, a tag or a commit`);
  try {
    const source = await openSource(access, name, notHere);
    const { repo, folder } = source;
    const paths = await choose({ id: name.id, paths: source.paths, text: (file) => textOf(source, file) });
    await source.fetch(paths);
    return { snapshot: { ...name, commit: repo.commit, folder }, paths };
  } catch (error) {
    if (error instanceof Unfit) return refuse(`${name.id} (revision ${name.revision}) ${error.message}`);
    if (error instanceof CacheMiss) return refuse(error.message);
    if (error instanceof HubUnreachable) return refuse(`${notHere}; ${error.message}. ${OR_LATER}`);
    if (error instanceof HubRefusal) return refuse(refusalInWords(error, access, name, notHere));
    throw error;
  }
}

const OR_LATER = 'Check the network, or HF_ENDPOINT; what was fetched is kept, and the next start goes on from there.';

type Source = {
  readonly repo: RepoAtCommit;
  readonly folder: string;
  readonly paths: readonly string[];
  fetch(paths: readonly string[]): Promise<void>;
};

async function textOf({ folder, fetch }: Source, file: string): Promise<string> {
  await fetch([file]);
  return readFile(path.join(folder, file), 'utf8');
}

/** Finds the commit and its files: on the hub, or in the cache where the hub may not be asked or does not answer. */
async function openSource(access: HubAccess, name: HubName, notHere: string): Promise<Source> {
  const { offline, endpoint, onEvent } = access;
  if (offline !== null) return cacheSource(access, name, notHere, `${offline} allows no network`);
  try {
    return await hubSource(access, name);
  } catch (error) {
    if (!(error instanceof HubUnreachable) || (await commitInCache(access, name)) === null) throw error;
    const source = await cacheSource(access, name, notHere, `${endpoint} did not answer`);
    onEvent({
      type: 'note',
      text: `${error.message}: ${name.id} is taken from the cache, at commit ${source.repo.commit}`,
    });
    return source;
  }
}

async function hubSource(access: HubAccess, name: HubName): Promise<Source> {
  const { type, id, revision } = name;
  const commit = isCommit(revision) ? revision : await askCommit(access, name);
  const repo = { type, id, commit };
  const files = (await keptFiles(access, repo)) ?? (await askFiles(access, repo));
  const byPath = new Map(files.map((file) => [file.path, file]));
  return {
    repo,
    folder: folderOf(access, repo),
    paths: [...byPath.keys()],
    fetch: (paths) =>
      fetchAll(
        access,
        repo,
        paths.map((file) => byPath.get(file)!),
      ),
  };
}

async function cacheSource(access: HubAccess, name: HubName, notHere: string, why: string): Promise<Source> {
  const { cache } = access;
  const { type, id, revision } = name;
  const commit = await commitInCache(access, name);
  const setting = { type, id, commit: commit ?? '' };
  const advice = 'Let it be fetched once with the network, or give the folder of a copy.';
  if (commit === null)
    throw new CacheMiss(`${notHere}; ${why}, and the cache (${cache}) has no ${id} at revision ${revision}. ${advice}`);
  const folder = folderOf(access, setting);
  const cached = await cachedPaths(access, setting);
  const kept = await keptFiles(access, setting);
  return {
    repo: setting,
    folder,
    paths: kept?.map((file) => file.path) ?? cached,
    fetch: async (paths) => {
      for (const file of paths)
        if ((await stat(path.join(folder, file)).catch(() => null)) === null)
          throw new CacheMiss(
            `${why}, and the cache (${cache}) does not have ${file} of ${id} (commit ${commit}). ${advice}`,
          );
    },
  };
}

/** What would have to be fetched, and may not be. */
class CacheMiss extends Error {}

async function commitInCache(access: HubAccess, name: HubName): Promise<string | null> {
  const commit = isCommit(name.revision) ? name.revision : await readRef(access, name);
  const isThere = commit !== null && (await stat(folderOf(access, { ...name, commit })).catch(() => null)) !== null;
  return isThere ? commit : null;
}

const folderOf = ({ cache }: HubAccess, repo: RepoAtCommit): string =>
  path.join(cache, repoFolder(repo), snapshotPath(repo.commit));

const MIB = 2 ** 20;

/** Fetches files one after the other, the smallest first, and tells of every MiB. */
async function fetchAll(access: HubAccess, repo: RepoAtCommit, files: readonly RepoFile[]): Promise<void> {
  const { onEvent, cache, endpoint } = access;
  const missing: RepoFile[] = [];
  for (const file of files) {
    const there = await stat(path.join(folderOf(access, repo), file.path)).catch(() => null);
    if (there?.size !== file.size) missing.push(file);
  }
  if (missing.length === 0) return;
  const bytes = missing.reduce((sum, { size }) => sum + size, 0);
  await requireRoom(cache, { [repo.id]: bytes }, freeBytesAt);
  const total = Math.max(1, Math.ceil(bytes / MIB));
  const isLong = bytes >= MIB;
  const names = missing.length === 1 ? missing[0]!.path : counted(missing.length, 'file');
  onEvent({
    type: 'note',
    text: `fetching ${names} of ${repo.id} (${formatBytes(bytes)}) from ${endpoint} to ${cache}`,
  });
  if (isLong) onEvent({ type: 'phase', phase: 'download', total });
  let done = 0;
  let told = 0;
  const tell = (label: string, isEnd = false): void => {
    for (const upTo = !isLong ? 0 : isEnd ? total : Math.min(total, Math.floor(done / MIB)); told < upTo; told++)
      onEvent({ type: 'progress', phase: 'download', label });
  };
  for (const file of missing.sort((a, b) => a.size - b.size)) {
    const onBytes: OnBytes = (fresh) => {
      done += fresh;
      tell(file.path);
    };
    await fetchFile(access, repo, file, onBytes);
  }
  tell(repo.id, true);
}
