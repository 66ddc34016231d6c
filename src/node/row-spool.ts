/** Where rows go that memory does not hold: a file in the user's cache folder that has no name, so that nothing is left of it. */
import { randomBytes } from 'node:crypto';
import { rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import type { ByteStore, RowStoreOptions } from '../data/row-store.ts';
import { cacheHome } from './cache-home.ts';
import { makeDirectories } from './files.ts';
import { openFileStore } from './spool.ts';

/** Options for rows, and what closes the files that they came to need. */
export type RowSpool = RowStoreOptions & { close(): Promise<void> };

/** Opens nothing until rows need it: most datasets stay in memory. */
export function openRowSpool(folder = path.join(cacheHome() ?? os.tmpdir(), 'nibble', 'rows')): RowSpool {
  const open: { readonly file: string; close(): Promise<void> }[] = [];
  const openStore = async (): Promise<ByteStore> => {
    await makeDirectories(folder);
    const file = path.join(folder, `${process.pid}-${randomBytes(6).toString('hex')}.rows`);
    const store = await openFileStore(file);
    open.push({ file, close: () => store.close() });
    // an open file without a name goes with its process, however that ends; Windows keeps the name until `close`
    await rm(file, { force: true }).catch(() => undefined);
    return store;
  };
  const close = async (): Promise<void> => {
    for (const { file, close: closeFile } of open.splice(0)) {
      await closeFile();
      await rm(file, { force: true }).catch(() => undefined);
    }
  };
  return { openStore, close };
}
