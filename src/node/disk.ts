/** Room on the disk for what a command will write, asked before the work. */
import { statfs } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { DataError } from '../errors.ts';
import { formatBytes } from '../report/format.ts';

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
