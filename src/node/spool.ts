/** A spool on the disk, for quantized weights until their files are written. */
import { open } from 'node:fs/promises';
import { DataError } from '../errors.ts';
import type { SpoolStore } from '../model/quantize/spool.ts';

type FileStore = SpoolStore & { close(): Promise<void> };

/**
 * Opens a new file as a spool.
 * @throws DataError when it cannot be made; later writes throw it too, and name a full disk
 */
export async function openFileStore(path: string): Promise<FileStore> {
  const handle = await open(path, 'wx+').catch((cause: unknown) => refuse(path, cause));
  return {
    write: async (position, bytes) => {
      for (let done = 0; done < bytes.byteLength; ) {
        const { bytesWritten } = await handle
          .write(bytes, done, bytes.byteLength - done, position + done)
          .catch((cause: unknown) => refuse(path, cause));
        done += bytesWritten;
      }
    },
    read: async (position, into) => {
      for (let done = 0; done < into.byteLength; ) {
        const { bytesRead } = await handle.read(into, done, into.byteLength - done, position + done);
        if (bytesRead === 0) throw new DataError(path, `ends at byte ${position + done}: another program cut it off.`);
        done += bytesRead;
      }
    },
    close: () => handle.close(),
  };
}

function refuse(path: string, cause: unknown): never {
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : String(cause);
  const next = code === 'ENOSPC' ? 'The disk is full: make room on it.' : 'Give a folder that can be written.';
  throw new DataError(path, `cannot be written (${code}). ${next}`, { cause });
}
