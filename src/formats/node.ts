/** Files on disk: positional reads, and writes that a crash cannot leave half done. */
import { randomBytes } from 'node:crypto';
import { type FileHandle, mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { DataError } from '../errors.ts';
import { type Chunks, decodeUtf8, type FileReader, type FileWriter, shortRead } from './reader.ts';

/** Reads below a directory. A handle is opened and closed by each call, so none can leak. */
export function nodeReader(root: string): FileReader {
  const at = (path: string): string => resolve(root, path);
  return {
    root,
    exists: async (path) => {
      try {
        return (await stat(at(path))).isFile();
      } catch {
        return false;
      }
    },
    size: async (path) => {
      const found = await stat(at(path)).catch((cause: unknown) => refuse(at(path), cause));
      if (!found.isFile()) throw new DataError(at(path), 'is not a file.');
      return found.size;
    },
    read: async (path, offset, into) => {
      const handle = await open(at(path), 'r').catch((cause: unknown) => refuse(at(path), cause));
      try {
        await readFully(handle, at(path), offset, into);
      } finally {
        await handle.close();
      }
    },
    readText: async (path) => {
      const bytes = await readFile(at(path)).catch((cause: unknown) => refuse(at(path), cause));
      return decodeUtf8(bytes, at(path));
    },
    list: async () => {
      const entries = await readdir(root, { withFileTypes: true }).catch(() => []);
      return entries
        .filter((entry) => !entry.isDirectory())
        .map((entry) => entry.name)
        .sort();
    },
  };
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
 * Writes below a directory, which is made if needed. Each file is written beside its place, flushed to the disk and
 * renamed over it: a crash, a full disk or a throwing producer leaves the old content.
 */
export function nodeWriter(root: string): FileWriter {
  return { root, write: (path, chunks) => writeAtomically(resolve(root, path), chunks) };
}

async function writeAtomically(target: string, chunks: Chunks): Promise<void> {
  const temporary = `${target}.${randomBytes(6).toString('hex')}.tmp`;
  try {
    await mkdir(dirname(target), { recursive: true });
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

async function writeFully(handle: FileHandle, chunk: Uint8Array): Promise<void> {
  let done = 0;
  while (done < chunk.byteLength) {
    const { bytesWritten } = await handle.write(chunk, done, chunk.byteLength - done);
    done += bytesWritten;
  }
}

/** Makes the rename itself durable. Windows cannot open a directory; there the rename is all there is. */
async function syncDirectory(path: string): Promise<void> {
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

/** What the operating system says; a producer of chunks throws errors of its own, which pass through. */
function isSystemError(cause: unknown): cause is NodeJS.ErrnoException {
  return cause instanceof Error && 'syscall' in cause && 'code' in cause;
}

function refuseWrite(file: string, cause: NodeJS.ErrnoException): DataError {
  const next = cause.code === 'ENOSPC' ? 'Make room on the disk.' : 'Give a folder that can be written.';
  return new DataError(file, `cannot be written (${cause.code}); what was there is untouched. ${next}`, { cause });
}

function refuse(file: string, cause: unknown): never {
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : String(cause);
  const reason =
    code === 'ENOENT'
      ? 'no such file.'
      : code === 'EISDIR'
        ? 'is a directory, needs a file.'
        : `cannot be read (${code}).`;
  throw new DataError(file, reason, { cause });
}
