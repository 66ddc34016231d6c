/** Files on disk: positional reads, and writes that a crash cannot leave half done. */
import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, mkdir, open, readdir, realpath, rename, rm, rmdir, stat } from 'node:fs/promises';
import { dirname, join, resolve, sep } from 'node:path';
import { DataError } from '../errors.ts';
import {
  type Chunks,
  decodeUtf8,
  type FileReader,
  type FileWriter,
  requireTextSize,
  shortRead,
} from '../formats/reader.ts';
import { readRegular, requireRegular } from './regular-file.ts';
// whoever reads files in Node reads their patterns, too
import './time-limit.ts';

/** A FIFO is opened without waiting for its writer, and read as an empty file. Windows has none. */
const READ_FLAGS = constants.O_RDONLY | (constants.O_NONBLOCK ?? 0);

/**
 * Reads files below a directory. Each call opens and closes a handle of its own, so none can leak.
 * @throws DataError
 */
export function nodeReader(root: string): FileReader {
  const at = (path: string): string => resolve(root, path);
  return {
    root,
    exists: async (path) => {
      try {
        return !(await stat(at(path))).isDirectory();
      } catch {
        return false;
      }
    },
    size: async (path) => {
      const found = await requireRegular(at(path)).catch((cause: unknown) => refuse(at(path), cause));
      return found.size;
    },
    read: async (path, offset, into) => {
      const handle = await open(at(path), READ_FLAGS).catch((cause: unknown) => refuse(at(path), cause));
      try {
        await readFully(handle, at(path), offset, into);
      } finally {
        await handle.close();
      }
    },
    readText: async (path) => {
      const { size } = await requireRegular(at(path)).catch((cause: unknown) => refuse(at(path), cause));
      requireTextSize(at(path), size);
      const bytes = await readRegular(at(path)).catch((cause: unknown) => refuse(at(path), cause));
      return decodeUtf8(bytes, at(path));
    },
    list: async (folder = '.') => {
      const entries = await readdir(at(folder), { withFileTypes: true }).catch(() => []);
      return entries
        .filter((entry) => !entry.isDirectory())
        .map((entry) => entry.name)
        .sort();
    },
    straysTo: (path) => straysTo(root, path),
  };
}

/** A snapshot in Hugging Face's cache is links into the blobs of its repository. */
const HUB_SNAPSHOT = /^(.*[/\\]models--[^/\\]+[/\\])snapshots[/\\][^/\\]+$/;

async function straysTo(root: string, path: string): Promise<string | null> {
  const file = await realpath(resolve(root, path)).catch(() => null);
  if (file === null) return null;
  const home = await realpath(root);
  const repository = HUB_SNAPSHOT.exec(home)?.[1];
  const allowed = [home, ...(repository === undefined ? [] : [join(repository, 'blobs')])];
  return allowed.some((folder) => file.startsWith(folder + sep)) ? null : file;
}

async function readFully(handle: FileHandle, file: string, offset: number, into: Uint8Array): Promise<void> {
  let done = 0;
  while (done < into.byteLength) {
    // the kernel returns at most 2 GiB - 4096 bytes at a time
    const { bytesRead } = await handle.read(into, done, Math.min(into.byteLength - done, 1 << 30), offset + done);
    if (bytesRead === 0) throw shortRead(file, offset, done, into.byteLength);
    done += bytesRead;
  }
}

/**
 * Writes files below a directory, which is made if needed. Each is written beside its place, flushed to the disk and
 * renamed over it: a crash, a full disk or a producer that throws leaves the old content.
 */
export function nodeWriter(root: string): FileWriter {
  return { root, write: (path, chunks) => writeAtomically(resolve(root, path), chunks) };
}

/** A name beside a path, for what is not whole yet. */
export const temporaryName = (target: string): string => `${target}.${randomBytes(6).toString('hex')}.tmp`;

/** Whether a name is one of those: what a process that was killed had begun to write. */
export const isTemporary = (name: string): boolean => /\.[0-9a-f]{12}\.tmp$/.test(name);

async function writeAtomically(target: string, chunks: Chunks): Promise<void> {
  const temporary = temporaryName(target);
  try {
    await makeDirectories(dirname(target));
    const handle = await open(temporary, 'wx');
    try {
      for await (const chunk of chunks) await writeFully(handle, chunk);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, target);
  } catch (cause) {
    await rm(temporary, { force: true }).catch(() => undefined);
    throw isSystemError(cause) ? refuseWrite(target, cause) : cause;
  }
  await syncDirectory(dirname(target));
}

/**
 * Makes a directory and the missing ones above it; returns those it made, the outermost first. mkdir with `recursive`
 * never returns where making a directory is refused with ENOENT, as in /proc (Node 20.20).
 * @throws the system's error, with nothing made
 */
export async function makeDirectories(path: string): Promise<string[]> {
  const made: string[] = [];
  const missing = [resolve(path)];
  for (let at = missing[0] as string; !(await isDirectory(at)) && dirname(at) !== at; at = dirname(at))
    missing.unshift(dirname(at));
  for (const directory of missing.slice(1)) {
    try {
      await mkdir(directory);
      made.push(directory);
    } catch (error) {
      // another process may have made it first
      if (await isDirectory(directory)) continue;
      for (const done of made.reverse()) await rmdir(done).catch(() => undefined);
      throw error;
    }
  }
  return made;
}

async function isDirectory(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
}

async function writeFully(handle: FileHandle, chunk: Uint8Array): Promise<void> {
  let done = 0;
  while (done < chunk.byteLength) {
    const { bytesWritten } = await handle.write(chunk, done, chunk.byteLength - done);
    done += bytesWritten;
  }
}

/** Makes the rename itself durable; does nothing on Windows, which cannot open a directory. */
export async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, 'r').catch(() => undefined);
  if (handle === undefined) return;
  try {
    await handle.sync();
  } catch {
    // some network file systems refuse to flush a directory
  } finally {
    await handle.close();
  }
}

/** Tells the system's errors from those of a producer of chunks, which pass through. */
function isSystemError(cause: unknown): cause is NodeJS.ErrnoException {
  return cause instanceof Error && 'syscall' in cause && 'code' in cause;
}

function refuseWrite(file: string, cause: NodeJS.ErrnoException): DataError {
  const next = cause.code === 'ENOSPC' ? 'Make room on the disk.' : 'Give a folder that can be written.';
  const why = inWords(cause);
  return new DataError(file, `cannot be written (${why}); what was there is untouched. ${next}`, { cause });
}

const WORDS: Readonly<Record<string, string>> = {
  EACCES: 'this user may not',
  EPERM: 'this user may not',
  EEXIST: 'a part of its path is a file, not a folder',
  ENOTDIR: 'a part of its path is a file, not a folder',
  ENOENT: 'no folder can be made there',
  EROFS: 'the file system is read-only',
  ENOSPC: 'the disk is full',
  EDQUOT: 'the quota of the disk is used up',
  EIO: 'the disk failed',
  ELOOP: 'its symbolic links lead in a circle',
  EMFILE: 'too many files are open at once: raise the limit of `ulimit -n`',
  ENFILE: 'too many files are open on this machine',
  ENOMEM: 'there is no memory left',
  ENOTEMPTY: 'something has been put there meanwhile',
  ENAMETOOLONG: 'the name is too long',
};

/** Puts a system error into words, with its code. */
export function inWords({ code, message }: NodeJS.ErrnoException): string {
  const words = WORDS[code ?? ''];
  return words === undefined ? (code ?? message) : `${words}, ${code}`;
}

function refuse(file: string, cause: unknown): never {
  if (cause instanceof DataError) throw cause;
  const error = cause as NodeJS.ErrnoException;
  if (error.code === 'ENOENT') throw new DataError(file, 'no such file.', { cause });
  if (error.code === 'EISDIR') throw new DataError(file, 'is a directory, needs a file.', { cause });
  throw new DataError(file, `cannot be read (${inWords(error)}).`, { cause });
}
