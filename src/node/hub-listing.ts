/** What the hub has: the commit that a revision stands for, and the files of a commit; from the cache where it was kept. */
import { mkdir, readdir, readFile, rename, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { z } from 'zod';
import {
  type HubName,
  isSafePath,
  listPath,
  type RepoFile,
  refPath,
  repoFolder,
  snapshotPath,
} from '../formats/hub-cache.ts';
import { parseJson } from '../formats/json.ts';
import { temporaryName } from './files.ts';
import type { HubAccess } from './hub-access.ts';
import type { RepoAtCommit } from './hub-download.ts';
import { type Attempt, request, withTries } from './hub-request.ts';

const fileType = z.object({
  path: z.string().refine(isSafePath),
  size: z.int().min(0),
  etag: z.string().regex(/^[0-9a-f]{40,64}$/),
  hash: z.enum(['sha256', 'git']),
});

/** Asks the hub for the commit of a revision, and keeps it as huggingface_hub does. @throws HubRefusal, HubUnreachable */
export async function askCommit(access: HubAccess, { type, id, revision }: HubName): Promise<string> {
  const { datasetInfo, modelInfo } = await import('@huggingface/hub');
  const { sha } = await withTries(access, `${id} at ${revision}`, (attempt) => {
    const hub = { name: id, revision, hubUrl: access.endpoint, fetch: fetchOf(access, attempt) };
    return type === 'model'
      ? modelInfo({ ...hub, additionalFields: ['sha'] })
      : datasetInfo({ ...hub, additionalFields: ['sha'] });
  });
  const ref = path.join(access.cache, repoFolder({ type, id }), refPath(revision));
  if (revision !== sha && (await readRef(access, { type, id, revision })) !== sha) await writeWhole(ref, sha);
  return sha;
}

/** The commit that a revision stood for when the hub was last asked; null where it never was. */
export async function readRef({ cache }: HubAccess, { type, id, revision }: HubName): Promise<string | null> {
  const ref = path.join(cache, repoFolder({ type, id }), refPath(revision));
  return readFile(ref, 'utf8').then(
    (text) => text.trim(),
    () => null,
  );
}

/** Asks the hub for the files of a commit, and keeps the list: a commit never changes. @throws HubRefusal, HubUnreachable */
export async function askFiles(access: HubAccess, repo: RepoAtCommit): Promise<RepoFile[]> {
  const { listFiles } = await import('@huggingface/hub');
  const { type, id, commit } = repo;
  const files = await withTries(access, `the list of files of ${id}`, async (attempt) => {
    const found: RepoFile[] = [];
    const options = { repo: { type, name: id }, revision: commit, recursive: true, hubUrl: access.endpoint };
    for await (const entry of listFiles({ ...options, fetch: fetchOf(access, attempt) })) {
      // what could lead out of the snapshot is not there for us
      if (entry.type !== 'file' || !isSafePath(entry.path)) continue;
      const { lfs } = entry;
      if (lfs) found.push({ path: entry.path, size: lfs.size, etag: lfs.oid, hash: 'sha256' });
      else found.push({ path: entry.path, size: entry.size, etag: entry.oid ?? '', hash: 'git' });
    }
    return found;
  });
  await writeWhole(path.join(access.cache, repoFolder(repo), listPath(commit)), JSON.stringify(files));
  return files;
}

/** The list that was kept; null where none was. */
export async function keptFiles({ cache }: HubAccess, repo: RepoAtCommit): Promise<RepoFile[] | null> {
  const file = path.join(cache, repoFolder(repo), listPath(repo.commit));
  try {
    return z.array(fileType).parse(parseJson(await readFile(file, 'utf8'), file));
  } catch {
    return null; // as good as none: it is asked for again
  }
}

/** Paths of the files that a snapshot in the cache has, whoever fetched them. */
export async function cachedPaths({ cache }: HubAccess, repo: RepoAtCommit): Promise<string[]> {
  const folder = path.join(cache, repoFolder(repo), snapshotPath(repo.commit));
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
  return entries
    .filter((entry) => !entry.isDirectory())
    .map((entry) => path.relative(folder, path.join(entry.parentPath, entry.name)).replaceAll(path.sep, '/'))
    .sort();
}

/** As fetch, with our own tries, token and refusals. */
const fetchOf =
  (access: HubAccess, attempt: Attempt): typeof fetch =>
  (input) =>
    request(access, String(input), attempt);

async function writeWhole(file: string, text: string): Promise<void> {
  await mkdir(path.dirname(file), { recursive: true });
  const unnamed = temporaryName(file);
  await writeFile(unnamed, text);
  await rename(unnamed, file);
}
