/** A claim on a folder: a file in it that says which process writes there, kept fresh while that process lives. */
import { randomBytes } from 'node:crypto';
import { type FileHandle, open, rm, stat } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { isRunning, processSpace, startOf } from './process-identity.ts';
import { readRegular } from './regular-file.ts';

const CLAIM_FILE = '.nibble-claim.json';
/** Held for a moment by the process that looks whether a claim is stale, so that two cannot take it over. */
const LOCK_FILE = '.nibble-claim.lock';
/** What does not count as the content of a folder. */
export const CLAIM_FILES: readonly string[] = [CLAIM_FILE, LOCK_FILE];

export const HEARTBEAT_MS = 30_000;
/** A claim of another machine or container is stale after this; a long pause must not look like an end. */
export const SILENT_MS = 5 * HEARTBEAT_MS;
const ATTEMPTS = 5;

export type Claim = {
  readonly id: string;
  readonly pid: number;
  /** As `startOf` says it: numbers of processes are used again. */
  readonly started: string | null;
  /** As `processSpace` says it. */
  readonly space: string;
  readonly host: string;
  /** ISO 8601. */
  readonly since: string;
};

export type HeldClaim = {
  /** Removes it, if it is still this one. Does nothing the second time. */
  release(): Promise<void>;
};

/** Who else holds the folder; null in the place of a claim that cannot be read, which is one that is just being written. */
export class FolderInUse extends Error {
  readonly claim: Claim | null;

  constructor(claim: Claim | null) {
    super('the folder is in use');
    this.claim = claim;
  }
}

/** Claims an existing folder, over a claim whose process is gone. @throws FolderInUse; the system's error */
export async function claimFolder(directory: string): Promise<HeldClaim> {
  const file = path.join(directory, CLAIM_FILE);
  const claim: Claim = {
    id: randomBytes(8).toString('hex'),
    pid: process.pid,
    started: await startOf(process.pid),
    space: processSpace(),
    host: os.hostname(),
    since: new Date().toISOString(),
  };
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const handle = await open(file, 'wx').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'EEXIST') return null;
      throw error;
    });
    if (handle !== null) return hold(file, handle, claim);
    await removeStale(directory);
  }
  throw new FolderInUse(await readClaim(file));
}

/** Passes where nobody holds the folder; changes nothing but a claim that is stale. @throws FolderInUse */
export async function removeStale(directory: string): Promise<void> {
  const file = path.join(directory, CLAIM_FILE);
  if ((await mtimeOf(file)) === null) return;
  const lock = path.join(directory, LOCK_FILE);
  const handle = await open(lock, 'wx').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'EEXIST') return null;
    throw error;
  });
  if (handle === null) {
    // who looked has died in that moment, or is looking now
    if (Date.now() - ((await mtimeOf(lock)) ?? 0) < SILENT_MS) throw new FolderInUse(await readClaim(file));
    return rm(lock, { force: true });
  }
  try {
    // both times are of the file system's clock, which need not be this machine's
    const now = (await handle.stat()).mtimeMs;
    const touched = await mtimeOf(file);
    if (touched === null) return;
    const claim = await readClaim(file);
    if (await isHeld(claim, now - touched)) throw new FolderInUse(claim);
    await rm(file, { force: true });
  } finally {
    await handle.close();
    await rm(lock, { force: true });
  }
}

async function isHeld(claim: Claim | null, silentMs: number): Promise<boolean> {
  const isFresh = silentMs < SILENT_MS;
  if (claim === null || claim.space !== processSpace()) return isFresh;
  if (claim.started === null) return isFresh && isRunning(claim.pid);
  return (await startOf(claim.pid)) === claim.started;
}

async function hold(file: string, handle: FileHandle, claim: Claim): Promise<HeldClaim> {
  const bytes = Buffer.from(`${JSON.stringify(claim, null, 2)}\n`);
  // the same bytes once more: what counts is the time that the file system writes beside them
  const beat = () => handle.write(bytes, 0, bytes.byteLength, 0);
  try {
    await beat();
  } catch (error) {
    await handle.close();
    await rm(file, { force: true });
    throw error;
  }
  const timer = setInterval(() => void beat().catch(() => undefined), HEARTBEAT_MS);
  timer.unref();
  let released: Promise<void> | null = null;
  const release = async (): Promise<void> => {
    clearInterval(timer);
    await handle.close();
    if ((await readClaim(file))?.id === claim.id) await rm(file, { force: true });
  };
  return {
    release: () => {
      released ??= release();
      return released;
    },
  };
}

async function readClaim(file: string): Promise<Claim | null> {
  try {
    const claim = JSON.parse((await readRegular(file)).toString('utf8')) as Partial<Claim> | null;
    const isWhole = typeof claim?.id === 'string' && Number.isSafeInteger(claim.pid) && typeof claim.space === 'string';
    return isWhole ? (claim as Claim) : null;
  } catch {
    return null;
  }
}

async function mtimeOf(file: string): Promise<number | null> {
  return stat(file).then(
    ({ mtimeMs }) => mtimeMs,
    () => null,
  );
}
