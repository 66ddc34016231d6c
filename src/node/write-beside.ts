/** Writes a folder beside its target, and puts it in the target's place once it is complete. */
import { randomBytes } from 'node:crypto';
import { mkdir, rm } from 'node:fs/promises';
import { resolve } from 'node:path';
import { DataError } from '../errors.ts';
import { inWords } from './files.ts';
import type { TakenFolder } from './output-folder.ts';

/**
 * Removes what it wrote when it ends early; a killed process leaves a folder whose name says that it is not complete.
 * @param write fills the folder that it is given
 */
export async function writeBeside<T>(folder: TakenFolder, write: (partial: string) => Promise<T>): Promise<T> {
  const { directory: out } = folder;
  const partial = `${resolve(out)}.partial-${randomBytes(4).toString('hex')}`;
  await mkdir(partial).catch((cause: NodeJS.ErrnoException) => {
    throw new DataError(out, `cannot be written (${cause.code}). Give a folder that can be written.`, { cause });
  });
  try {
    const result = await write(partial);
    await folder.replaceBy(partial).catch((cause: NodeJS.ErrnoException) => {
      throw new DataError(out, `cannot be replaced (${inWords(cause)}). Give a new folder.`, { cause });
    });
    return result;
  } finally {
    await rm(partial, { recursive: true, force: true });
  }
}
