/** The folder that a command writes: taken before the work, by one process at a time, and given back at the end. */
import { lstat, mkdir, readdir, readlink, realpath, rename, rm, rmdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { ConfigError } from '../errors.ts';
import { claimFolder, FolderInUse, type HeldClaim, removeStale } from './claim.ts';
import { isOfClaim } from './claim-file.ts';
import { inWords, isTemporary, makeDirectories, temporaryName } from './files.ts';
import { processSpace } from './process-identity.ts';

export type TakenFolder = {
  readonly directory: string;
  /** Gives it back, without its claim; one that was made for it and is still empty goes. Does nothing the second time. */
  release(): Promise<void>;
  /** Gives it back and puts another folder in its place, in one step where the system has one. @throws the system's error */
  replaceBy(other: string): Promise<void>;
};

export type TakeOptions = {
  /** What messages call the path: a setting or an argument. */
  readonly name: string;
  /** `none`: it must be empty or new; `any`: it is there, and may hold anything. */
  readonly contents: 'none' | 'any';
  /** Whether a folder that is not empty may be taken for what it holds; none may, by default. */
  readonly allows?: (entries: readonly string[]) => boolean;
  /** Says what a folder that is not empty holds, and what to do. */
  readonly occupied?: (directory: string, entries: readonly string[]) => Promise<string>;
};

/** A folder may be removed by its former holder while the next one makes it. */
const ATTEMPTS = 3;

/**
 * Takes a folder, making it and those above it. A claim whose process is gone is taken over, and is no content.
 * @throws ConfigError where it cannot be made or written, holds something, or is in use
 */
export async function takeFolder(directory: string, options: TakeOptions): Promise<TakenFolder> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await tryToTake(directory, options);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'ENOENT' && attempt < ATTEMPTS) continue;
      throw await refusal(directory, options, error);
    }
  }
}

/** Takes a folder that is not there yet: `parent`/NAME, or NAME-2, NAME-3 and so on. @throws ConfigError */
export async function takeNewFolder(parent: string, name: string, option: string): Promise<TakenFolder> {
  const options: TakeOptions = { name: option, contents: 'none' };
  try {
    for (let number = 1; ; number++) {
      const directory = path.join(parent, number === 1 ? name : `${name}-${number}`);
      const made = await makeDirectories(parent);
      if (await isMade(directory)) return await claimed(directory, options, [...made, directory]);
    }
  } catch (error) {
    throw await refusal(parent, options, error);
  }
}

/** Makes one folder; false where there is something already. @throws the system's error */
async function isMade(directory: string): Promise<boolean> {
  try {
    await mkdir(directory);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

async function tryToTake(directory: string, options: TakeOptions): Promise<TakenFolder> {
  const made = options.contents === 'any' ? [] : await makeDirectories(directory);
  try {
    if (made.length === 0) await requireContents(directory, options);
    return await claimed(directory, options, made);
  } catch (error) {
    await removeEmpty(made);
    throw error;
  }
}

async function claimed(directory: string, options: TakeOptions, made: readonly string[]): Promise<TakenFolder> {
  const claim = await claimFolder(directory);
  try {
    await requireContents(directory, options, claim);
    if (options.contents === 'none') await removeBegun(directory);
  } catch (error) {
    await claim.release();
    throw error;
  }
  let released: Promise<void> | null = null;
  return {
    directory,
    release: () => {
      released ??= claim.release().then(() => removeEmpty(made));
      return released;
    },
    replaceBy: async (other) => {
      // Windows renames no folder with an open file in it
      if (process.platform === 'win32') await claim.release();
      await exchange(directory, other).finally(() => claim.release());
    },
  };
}

/**
 * Puts `other` in the place of a folder that holds nothing but its claim. That moves away as a whole: were the claim removed
 * first, whoever looks at the folder in that moment would be in the way.
 */
async function exchange(directory: string, other: string): Promise<void> {
  const aside = temporaryName(path.resolve(directory));
  await rename(directory, aside);
  try {
    if ((await contentsOf(aside)).length > 0) throw Object.assign(new Error('not empty'), { code: 'ENOTEMPTY' });
    await rename(other, directory);
  } catch (error) {
    await rename(aside, directory).catch(() => undefined);
    throw error;
  }
  await rm(aside, { recursive: true, force: true });
}

/** What a process that was killed had begun to write is no content. */
async function contentsOf(directory: string): Promise<string[]> {
  return (await readdir(directory)).filter((entry) => !isOfClaim(entry) && !isTemporary(entry));
}

/** Removes what killed writes left in a folder that is held and holds nothing else. */
async function removeBegun(directory: string): Promise<void> {
  for (const entry of await readdir(directory))
    if (isTemporary(entry)) await rm(path.join(directory, entry), { recursive: true, force: true });
}

/** Where another process is at work, that says more than what it has written so far. */
async function requireContents(directory: string, options: TakeOptions, own?: HeldClaim): Promise<void> {
  if (options.contents === 'any') return;
  const entries = await contentsOf(directory);
  if (entries.length === 0 || options.allows?.(entries)) return;
  if (own === undefined) await removeStale(directory);
  const { occupied = holdsSomething } = options;
  throw new ConfigError([{ path: options.name, message: await occupied(directory, entries) }]);
}

async function holdsSomething(directory: string, entries: readonly string[]): Promise<string> {
  return `${directory} is not empty (it holds ${[...entries].sort()[0]}); give a new folder, or empty it`;
}

/** The innermost first; what is not empty stays, and all above it. */
async function removeEmpty(made: readonly string[]): Promise<void> {
  for (const directory of [...made].reverse()) {
    const isRemoved = await rmdir(directory).then(
      () => true,
      () => false,
    );
    if (!isRemoved) return;
  }
}

async function refusal(directory: string, { name }: TakeOptions, error: unknown): Promise<unknown> {
  const because = (message: string) => new ConfigError([{ path: name, message: `${directory} ${message}` }]);
  if (error instanceof FolderInUse) return because(inUse(error));
  if (error instanceof ConfigError || !(error instanceof Error) || !('syscall' in error)) return error;
  const target = await readlink(directory).catch(() => null);
  if (target !== null && !(await exists(directory)))
    return because(`is a symbolic link to ${target}, which is not there; make that folder, or give another one`);
  return because(`cannot be used (${inWords(error as NodeJS.ErrnoException)}); give another folder`);
}

function inUse({ claim }: FolderInUse): string {
  if (claim === null)
    return 'is just being taken by another process; give another folder, or try again in some minutes';
  if (claim.pid === process.pid && claim.space === processSpace())
    return 'is in use: this program writes it already; give another folder, or wait until that ends';
  return (
    `is in use: process ${claim.pid} on ${claim.host} has been writing it since ${claim.since}; ` +
    'give another folder, or wait until it ends'
  );
}

const exists = (file: string): Promise<boolean> =>
  stat(file).then(
    () => true,
    () => false,
  );

/**
 * Whether another folder can take the place of this one, or it another's, which is only found out at the end otherwise.
 * @throws ConfigError for a symbolic link, the current folder or one above it, and where a disk is mounted
 */
export async function requireMovable(directory: string, name: string): Promise<void> {
  const refuse = (why: string, next: string): never => {
    throw new ConfigError([{ path: name, message: `${directory} ${why}, which cannot be moved or replaced; ${next}` }]);
  };
  const found = await lstat(directory).catch(() => null);
  if (found === null) return;
  if (found.isSymbolicLink()) refuse(`is a symbolic link to ${await readlink(directory)}`, 'give the folder itself');
  const real = await realpath(directory);
  const cwd = await realpath(process.cwd());
  if (cwd === real) refuse('is the current folder', 'give another one, or start from elsewhere');
  if (isBelow(cwd, real)) refuse('holds the current folder', 'give another one, or start from elsewhere');
  const above = await stat(path.dirname(real));
  if (above.dev !== found.dev) refuse('is where another disk is mounted', 'give a folder in it');
}

function isBelow(inner: string, outer: string): boolean {
  const relative = path.relative(outer, inner);
  return relative !== '..' && !relative.startsWith(`..${path.sep}`) && !path.isAbsolute(relative);
}
