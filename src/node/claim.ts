/** A claim on a folder: a file in it that says which process writes there, kept fresh while that process lives. */
import { type FileHandle, rm } from 'node:fs/promises';
import path from 'node:path';
import {
  bytesOf,
  CLAIM_FILE,
  type Claim,
  LOCK_FILE,
  mtimeOf,
  ownClaim,
  place,
  readClaim,
  removeIfOf,
  removeUnnamed,
} from './claim-file.ts';
import { isRunning, processSpace, startOf } from './process-identity.ts';

export const HEARTBEAT_MS = 30_000;
/** A claim of another machine or container is stale after this; a long pause must not look like an end. */
export const SILENT_MS = 5 * HEARTBEAT_MS;
const ATTEMPTS = 5;

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
  const claim = await ownClaim();
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const handle = await place(file, claim);
    if (handle !== null) {
      const held = hold(file, handle, claim);
      await removeUnnamed(directory);
      return held;
    }
    await removeStale(directory);
  }
  throw new FolderInUse(await readClaim(file));
}

/** Passes where nobody holds the folder; changes nothing but a claim that is stale. @throws FolderInUse */
export async function removeStale(directory: string): Promise<void> {
  const file = path.join(directory, CLAIM_FILE);
  if ((await mtimeOf(file)) === null) return;
  const lock = path.join(directory, LOCK_FILE);
  const own = await ownClaim();
  const handle = await place(lock, own);
  if (handle === null) return removeDeadLock(lock, file);
  try {
    // both times are of the file system's clock, which need not be this machine's
    const now = (await handle.stat()).mtimeMs;
    const touched = await mtimeOf(file);
    if (touched === null) return;
    const claim = await readClaim(file);
    if (await isHeld(claim, now - touched)) throw new FolderInUse(claim);
    await removeIfOf(file, claim?.id);
  } finally {
    await handle.close();
    await removeIfOf(lock, own.id);
  }
}

/** Who looked has died in that moment, or is looking now. @throws FolderInUse */
async function removeDeadLock(lock: string, file: string): Promise<void> {
  const touched = await mtimeOf(lock);
  if (touched === null) return;
  const looking = await readClaim(lock);
  if (await isHeld(looking, Date.now() - touched)) throw new FolderInUse(await readClaim(file));
  await removeIfOf(lock, looking?.id);
}

async function isHeld(claim: Claim | null, silentMs: number): Promise<boolean> {
  const isFresh = silentMs < SILENT_MS;
  if (claim === null || claim.space !== processSpace()) return isFresh;
  if (claim.started === null) return isFresh && isRunning(claim.pid);
  return (await startOf(claim.pid)) === claim.started;
}

function hold(file: string, handle: FileHandle, claim: Claim): HeldClaim {
  const bytes = bytesOf(claim);
  // the same bytes once more: what counts is the time that the file system writes beside them
  const beat = () => handle.write(bytes, 0, bytes.byteLength, 0);
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
