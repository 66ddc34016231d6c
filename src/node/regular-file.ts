/** What reads like a file and is none, a FIFO or a device, may never begin or never end: refused before it is opened. */
import type { Stats } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { DataError } from '../errors.ts';

type Kinds = Pick<Stats, 'isFile' | 'isDirectory' | 'isFIFO' | 'isSocket' | 'isCharacterDevice' | 'isBlockDevice'>;

/** Names the kind of what is neither a file nor a directory; null for those two. */
export function specialKind(found: Kinds): string | null {
  if (found.isFile() || found.isDirectory()) return null;
  if (found.isFIFO()) return 'a FIFO (a pipe)';
  if (found.isSocket()) return 'a socket';
  return found.isCharacterDevice() || found.isBlockDevice() ? 'a device' : 'no file';
}

/** What to do instead of giving a FIFO or a device; the way through standard input is there for some files only. */
export const WRITE_IT_FIRST = 'Write what it gives to a file, and give that.';

/** Follows links. @throws DataError for what is no regular file, the system's error for what is not there */
export async function requireRegular(file: string): Promise<Stats> {
  const found = await stat(file);
  if (found.isDirectory()) throw new DataError(file, 'is a directory, needs a file.');
  const kind = specialKind(found);
  if (kind !== null) throw new DataError(file, `is ${kind}, needs a file. ${WRITE_IT_FIRST}`);
  return found;
}

/** The bytes of a regular file. @throws as requireRegular, and the system's error for what cannot be read */
export async function readRegular(file: string): Promise<Buffer> {
  await requireRegular(file);
  return readFile(file);
}
