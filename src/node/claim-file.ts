/** The file of a claim: it comes whole and goes only as what it is, whatever kills its process in between. */
import { randomBytes } from 'node:crypto';
import { type FileHandle, link, open, readdir, rename, rm, stat } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { processSpace, startOf } from './process-identity.ts';
import { readRegular } from './regular-file.ts';

export const CLAIM_FILE = '.nibble-claim.json';
/** Held for a moment by the process that looks whether a claim is stale, so that two cannot take it over. */
export const LOCK_FILE = '.nibble-claim.lock';
/** A claim before it has its name, or after it has lost it: its process may die at any moment. */
const UNNAMED = /^\.nibble-claim\.[0-9a-f]{16}\.tmp$/;
/** Whether a file does not count as the content of a folder. */
export const isOfClaim = (name: string): boolean => name === CLAIM_FILE || name === LOCK_FILE || UNNAMED.test(name);

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

export async function ownClaim(): Promise<Claim> {
  return {
    id: randomBytes(8).toString('hex'),
    pid: process.pid,
    started: await startOf(process.pid),
    space: processSpace(),
    host: os.hostname(),
    since: new Date().toISOString(),
  };
}

const unnamedIn = (directory: string): string =>
  path.join(directory, `.nibble-claim.${randomBytes(8).toString('hex')}.tmp`);

/** What `link` says where a file system has none, or a user may not. */
const NO_LINKS = ['EPERM', 'EACCES', 'ENOSYS', 'ENOTSUP', 'EOPNOTSUPP', 'EMLINK'];

/**
 * Gives a claim a name that is free, whole from the first moment it has it: an empty one of a killed process would be in
 * everybody's way. Null where the name is taken.
 */
export async function place(file: string, claim: Claim): Promise<FileHandle | null> {
  const unnamed = unnamedIn(path.dirname(file));
  const handle = await open(unnamed, 'wx');
  try {
    await handle.write(bytesOf(claim), 0, null, 0);
    await link(unnamed, file);
    return handle;
  } catch (error) {
    await handle.close();
    const code = (error as NodeJS.ErrnoException).code ?? '';
    // its holder, who has the folder, has removed it
    if (code === 'EEXIST' || code === 'ENOENT') return null;
    if (!NO_LINKS.includes(code)) throw error;
  } finally {
    await rm(unnamed, { force: true });
  }
  return placeInSteps(file, claim);
}

/** As `place`, where there are no links. */
async function placeInSteps(file: string, claim: Claim): Promise<FileHandle | null> {
  const handle = await open(file, 'wx').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'EEXIST') return null;
    throw error;
  });
  if (handle === null) return null;
  try {
    await handle.write(bytesOf(claim), 0, null, 0);
    return handle;
  } catch (error) {
    await handle.close();
    await rm(file, { force: true });
    throw error;
  }
}

export const bytesOf = (claim: Claim): Buffer => Buffer.from(`${JSON.stringify(claim, null, 2)}\n`);

/** Removes a claim that is still the one that was looked at: another process may have put its own there. */
export async function removeIfOf(file: string, id: string | undefined): Promise<void> {
  const aside = unnamedIn(path.dirname(file));
  const moved = await rename(file, aside).then(
    () => true,
    () => false,
  );
  if (!moved) return;
  if ((await readClaim(aside))?.id !== id) await link(aside, file).catch(() => undefined);
  await rm(aside, { force: true });
}

/** What processes that were killed in that moment have left. Nobody else can hold the folder meanwhile. */
export async function removeUnnamed(directory: string): Promise<void> {
  const names = await readdir(directory).catch(() => []);
  for (const name of names.filter((entry) => UNNAMED.test(entry)))
    await rm(path.join(directory, name), { force: true });
}

export async function readClaim(file: string): Promise<Claim | null> {
  try {
    const claim = JSON.parse((await readRegular(file)).toString('utf8')) as Partial<Claim> | null;
    const isWhole = typeof claim?.id === 'string' && Number.isSafeInteger(claim.pid) && typeof claim.space === 'string';
    return isWhole ? (claim as Claim) : null;
  } catch {
    return null;
  }
}

export async function mtimeOf(file: string): Promise<number | null> {
  return stat(file).then(
    ({ mtimeMs }) => mtimeMs,
    () => null,
  );
}
