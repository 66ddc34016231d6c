/** A file that a run adds to while it runs, so that the run can be watched. */
import { appendFile } from 'node:fs/promises';
import { inWords } from './files.ts';

export type GrowingFile = {
  /** Adds to the end of the file; what cannot be written is told once, and the run goes on. */
  add(content: string | Uint8Array): void;
  /** Waits until everything is written. */
  close(): Promise<void>;
};

/** @param note is told that the file cannot be written */
export function growingFile(file: string, note: (text: string) => void): GrowingFile {
  let last: Promise<void> = Promise.resolve();
  let isLost = false;
  const append = async (content: string | Uint8Array): Promise<void> => {
    if (isLost) return;
    await appendFile(file, content).catch((error: NodeJS.ErrnoException) => {
      isLost = true;
      note(`${file} cannot be written (${inWords(error)}); the run goes on without it`);
    });
  };
  return {
    add: (content) => {
      last = last.then(() => append(content));
    },
    close: () => last,
  };
}
