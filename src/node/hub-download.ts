/** Fetches one file into the cache of the hub: whole and checked under its name there, or not there at all. */
import { createHash, type Hash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { copyFile, type FileHandle, mkdir, open, rename, rm, rmdir, stat, symlink } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { DataError } from '../errors.ts';
import { blobPath, linkTarget, partPath, type RepoFile, repoFolder, snapshotPath } from '../formats/hub-cache.ts';
import { claimFolder, FolderInUse, type HeldClaim } from './claim.ts';
import { syncDirectory, temporaryName } from './files.ts';
import type { HubAccess } from './hub-access.ts';
import { type Attempt, cutOff, request, withTries } from './hub-request.ts';

/** A repository at the commit that its revision stood for. */
export type RepoAtCommit = { readonly type: 'model' | 'dataset'; readonly id: string; readonly commit: string };

/** Told of bytes that have come; below 0 where some had to be thrown away. */
export type OnBytes = (bytes: number) => void;

/** Bytes that count as progress: a connection that always breaks earlier is given up in the end. */
const PROGRESS_BYTES = 2 ** 20;
const LOOK_MS = 500;

/**
 * Puts a file into the snapshot of a commit. What is there in its size is left as it is; a blob that another snapshot has is linked.
 * Two processes fetch a file once: the second waits. What a killed one had is gone on with.
 * @throws HubRefusal, HubUnreachable, DataError for content that is not what the hub lists; the system's errors
 */
export async function fetchFile(
  access: HubAccess,
  repo: RepoAtCommit,
  file: RepoFile,
  onBytes: OnBytes,
): Promise<void> {
  const root = path.join(access.cache, repoFolder(repo));
  const pointer = path.join(root, snapshotPath(repo.commit), file.path);
  const blob = path.join(root, blobPath(file.etag));
  if ((await sizeOf(pointer)) === file.size) return onBytes(file.size);
  if ((await sizeOf(blob)) === file.size) onBytes(file.size);
  else await fetchBlob(access, repo, file, { blob, parts: path.join(root, partPath(file.etag)) }, onBytes);
  await point(pointer, blob, linkTarget(file.path, file.etag));
}

const sizeOf = async (file: string): Promise<number | null> => (await stat(file).catch(() => null))?.size ?? null;

type Places = { readonly blob: string; readonly parts: string };

async function fetchBlob(
  access: HubAccess,
  repo: RepoAtCommit,
  file: RepoFile,
  { blob, parts }: Places,
  onBytes: OnBytes,
): Promise<void> {
  const claim = await claimed(access, repo, file, { blob, parts });
  if (claim === null) return onBytes(file.size);
  const part = path.join(parts, 'content');
  try {
    // whoever had the claim before may have been done
    if ((await sizeOf(blob)) === file.size) return onBytes(file.size);
    await fetchContent(access, repo, file, part, onBytes);
    await mkdir(path.dirname(blob), { recursive: true });
    await rename(part, blob);
    await syncDirectory(path.dirname(blob));
  } finally {
    await claim.release();
    // a part that has begun stays, to be gone on with
    await rmdir(parts).catch(() => undefined);
  }
}

/** Claims the folder of a part, or waits until who has it is done; null where it then is. */
async function claimed(
  { signal, onEvent }: HubAccess,
  { id }: RepoAtCommit,
  { path: name, size }: RepoFile,
  { blob, parts }: Places,
): Promise<HeldClaim | null> {
  for (let waits = 0; ; waits++) {
    signal.throwIfAborted();
    try {
      await mkdir(parts, { recursive: true });
      return await claimFolder(parts);
    } catch (error) {
      const isBusy = error instanceof FolderInUse || (error as NodeJS.ErrnoException).code === 'ENOENT';
      if (!isBusy) throw error;
    }
    if ((await sizeOf(blob)) === size) return null;
    if (waits === 1) onEvent({ type: 'note', text: `another process fetches ${name} of ${id}: waiting for it` });
    await pause(LOOK_MS, undefined, { signal }).catch(() => signal.throwIfAborted());
  }
}

/** Fills `part`, from where it ends, and checks it; once more from the beginning where it turns out wrong. */
async function fetchContent(
  access: HubAccess,
  repo: RepoAtCommit,
  file: RepoFile,
  part: string,
  onBytes: OnBytes,
): Promise<void> {
  for (let isLast = false; ; isLast = true) {
    const got = await filled(access, repo, file, part, onBytes);
    if (got === file.etag) return;
    await rm(part, { force: true });
    onBytes(-file.size);
    const kind = file.hash === 'sha256' ? 'the SHA-256' : 'the hash';
    const what = `${file.path} of ${repo.id} does not have ${kind} that the hub lists`;
    if (isLast)
      throw new DataError(
        `${access.endpoint}/${repo.id}`,
        `${what} (got ${got}, wanted ${file.etag}), twice. Nothing of it is kept. Try again later, or without a proxy or mirror between.`,
      );
    access.onEvent({ type: 'note', text: `${what}: fetching it again from the beginning` });
  }
}

/** @returns the hash of what the part holds, which is as long as the file */
async function filled(
  access: HubAccess,
  repo: RepoAtCommit,
  file: RepoFile,
  part: string,
  onBytes: OnBytes,
): Promise<string> {
  const handle = await open(part, 'a+');
  try {
    const state = { handle, hash: hashOf(file), done: 0 };
    const there = (await handle.stat()).size;
    if (there > file.size) await handle.truncate(0);
    else if (there > 0) {
      for await (const chunk of createReadStream(part)) state.hash.update(chunk as Uint8Array);
      state.done = there;
      onBytes(there);
    }
    const what = `${file.path} of ${repo.id}`;
    while (state.done < file.size)
      await withTries(access, what, (attempt) =>
        receive(access, urlOf(access, repo, file), file, state, attempt, onBytes),
      );
    await handle.sync();
    return state.hash.digest('hex');
  } finally {
    await handle.close();
  }
}

type State = { readonly handle: FileHandle; hash: Hash; done: number };

function hashOf({ hash, size }: RepoFile): Hash {
  return hash === 'sha256' ? createHash('sha256') : createHash('sha1').update(`blob ${size}\0`);
}

function urlOf({ endpoint }: HubAccess, { type, id, commit }: RepoAtCommit, file: RepoFile): string {
  const encoded = file.path.split('/').map(encodeURIComponent).join('/');
  return `${endpoint}/${type === 'dataset' ? 'datasets/' : ''}${id}/resolve/${commit}/${encoded}`;
}

/** One try: appends what comes. */
async function receive(
  access: HubAccess,
  url: string,
  file: RepoFile,
  state: State,
  attempt: Attempt,
  onBytes: OnBytes,
): Promise<void> {
  const range: Record<string, string> = state.done > 0 ? { range: `bytes=${state.done}-` } : {};
  // a body that is packed on the way would have no range
  const response = await request(access, url, attempt, { 'accept-encoding': 'identity', ...range });
  if (!continues(response, state.done)) {
    onBytes(-state.done);
    await state.handle.truncate(0);
    state.hash = hashOf(file);
    state.done = 0;
  }
  if (response.status === 416 || response.body === null) {
    await response.body?.cancel();
    throw cutOff();
  }
  let fresh = 0;
  for await (const chunk of response.body as AsyncIterable<Uint8Array>) {
    const wanted = chunk.subarray(0, file.size - state.done);
    await state.handle.appendFile(wanted);
    state.hash.update(wanted);
    state.done += wanted.byteLength;
    fresh += wanted.byteLength;
    onBytes(wanted.byteLength);
    attempt.heard(fresh >= PROGRESS_BYTES);
    if (wanted.byteLength < chunk.byteLength) {
      // more than the hub lists: the end of a hash that will not match
      state.hash.update(chunk.subarray(wanted.byteLength));
      break;
    }
  }
  if (state.done < file.size) throw cutOff();
}

/** Whether a body goes on where the part ends. */
function continues({ status, headers }: Response, from: number): boolean {
  if (from === 0) return true;
  if (status !== 206) return false;
  const start = /^bytes (\d+)-/.exec(headers.get('content-range') ?? '')?.[1];
  return Number(start) === from;
}

/** Links a snapshot's file to its blob; a copy where there are no links. */
async function point(pointer: string, blob: string, target: string): Promise<void> {
  await mkdir(path.dirname(pointer), { recursive: true });
  const unnamed = temporaryName(path.join(path.dirname(blob), path.basename(pointer)));
  await symlink(target, unnamed).catch(() => copyFile(blob, unnamed));
  await rename(unnamed, pointer);
}
