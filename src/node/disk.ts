/** Whether what a command will write can be written, asked before the work: room on the disk, and files of their own. */
import { open, rm, stat, statfs } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { ConfigError, DataError } from '../errors.ts';
import { formatBytes } from '../report/format.ts';
import { inWords, temporaryName } from './files.ts';

/** Free bytes of the disk where a directory is, or will be. */
export type FreeBytes = (directory: string) => Promise<number>;

/** For this user. Infinity where the system does not say. */
export async function freeBytesAt(directory: string): Promise<number> {
  const at = resolve(directory);
  const found = await statfs(at).catch((error: NodeJS.ErrnoException) => error);
  if (!(found instanceof Error)) return found.bavail * found.bsize;
  const parent = dirname(at);
  return found.code === 'ENOENT' && parent !== at ? freeBytesAt(parent) : Number.POSITIVE_INFINITY;
}

/** Bytes of what will be written, by what it is. */
export type WrittenBytes = Readonly<Record<string, number>>;

/** @throws DataError that shows what is needed, part by part */
export async function requireRoom(directory: string, parts: WrittenBytes, freeBytes: FreeBytes): Promise<void> {
  const free = await freeBytes(directory);
  const listed = Object.entries(parts).filter(([, bytes]) => bytes > 0);
  const needed = listed.reduce((sum, [, bytes]) => sum + bytes, 0);
  if (needed <= free) return;
  const sum = listed.map(([what, bytes]) => `${what} ${formatBytes(bytes)}`).join(', ');
  throw new DataError(
    directory,
    `needs ${formatBytes(needed)} on the disk (${sum}), ${formatBytes(free)} are free. Make room, or give a folder on another disk.`,
  );
}

/** Whether a file can be written, or replaced; `name` is what messages call it. Leaves nothing. @throws ConfigError */
export async function requireWritable(file: string, name: string): Promise<void> {
  const refuse = (message: string): never => {
    throw new ConfigError([{ path: name, message: `${file} ${message}` }]);
  };
  const found = await stat(file).catch(() => null);
  if (found !== null && !found.isFile()) refuse('is there and is no file; give the name of a file');
  const folder = dirname(resolve(file));
  const above = await stat(folder).catch(() => null);
  if (above === null) refuse(`cannot be written: there is no folder ${folder}; make it, or give another file`);
  // only a file that was made shows that one can be
  const trial = temporaryName(resolve(file));
  await open(trial, 'wx').then(
    async (handle) => {
      await handle.close();
      await rm(trial, { force: true });
    },
    (error: NodeJS.ErrnoException) => refuse(`cannot be written (${inWords(error)}); give another file`),
  );
}
