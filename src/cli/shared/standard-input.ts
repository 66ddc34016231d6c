/** Standard input in the place of a file: what - stands for. */
import { addAbortSignal, Readable } from 'node:stream';
import { DataError } from '../../errors.ts';
import type { CliContext } from './context.ts';

/** Its name in messages. */
export const STANDARD_INPUT = 'standard input';
const MIB = 2 ** 20;

export function isStandardInput(path: string): boolean {
  return path === '-';
}

/**
 * Reads all of it.
 * @param what that has at most `most` bytes, for the message
 * @throws DataError for more than that, or where it cannot be read; the signal's reason
 */
export async function readStandardInput(
  { stdin, signal }: Pick<CliContext, 'stdin' | 'signal'>,
  most: number,
  what: string,
): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  try {
    for await (const chunk of addAbortSignal(signal, Readable.from(stdin))) {
      chunks.push(Buffer.from(chunk as Uint8Array));
      bytes += chunks.at(-1)!.byteLength;
      if (bytes > most)
        throw new DataError(STANDARD_INPUT, `has more than ${most / MIB} MiB, too much for ${what}. Give a file.`);
    }
  } catch (cause) {
    signal.throwIfAborted();
    if (cause instanceof DataError) throw cause;
    throw new DataError(STANDARD_INPUT, `cannot be read (${(cause as NodeJS.ErrnoException).code}). Give a file.`, {
      cause,
    });
  }
  return Buffer.concat(chunks);
}
