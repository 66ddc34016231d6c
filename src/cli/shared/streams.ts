/** The one place where standard output and standard error fail: the work hears of the one and goes on without the other. */
import { fstatSync, writeSync } from 'node:fs';
import { DataError } from '../../errors.ts';
import { inWords } from '../../node/files.ts';
import type { CliContext } from './context.ts';

/** Nobody reads standard output any more (`nibble config schema | head`), which is no failure. */
export class OutputClosed extends Error {
  override readonly name = 'AbortError';
}

type Stream = {
  readonly fd: number;
  readonly isTTY?: boolean | undefined;
  readonly columns?: number | undefined;
  write(text: string, done?: () => void): unknown;
  on(event: 'error', listener: (error: NodeJS.ErrnoException) => void): unknown;
};

export type StandardStreams = Pick<CliContext, 'stdout' | 'stderr'> & {
  /** Aborted when standard output cannot be written; the reason is an OutputClosed or a DataError. */
  readonly signal: AbortSignal;
  /** Waits until the system has what was written. */
  flush(): Promise<void>;
};

/** Listens to both streams: an error that nobody hears of ends the process in the middle of its work, its device open. */
export function standardStreams({ stdout, stderr }: { stdout: Stream; stderr: Stream }): StandardStreams {
  const lost = new AbortController();
  let isMute = false;
  const onOutput = (error: NodeJS.ErrnoException): void => {
    if (!lost.signal.aborted) lost.abort(outputError(error));
  };
  stdout.on('error', onOutput);
  stderr.on('error', () => {
    isMute = true;
  });
  const writeOut = isFile(stdout.fd) ? wholeWriter(stdout.fd, onOutput) : (text: string) => stdout.write(text);
  return {
    stdout: shownBy(stdout, (text) => lost.signal.aborted || writeOut(text)),
    stderr: shownBy(stderr, (text) => isMute || stderr.write(text)),
    signal: lost.signal,
    flush: async () => {
      await flushed(stdout, lost.signal.aborted);
      await flushed(stderr, isMute);
    },
  };
}

/** What a terminal is like stays to be seen through it. */
function shownBy(stream: Stream, write: (text: string) => unknown) {
  return {
    write,
    get isTTY() {
      return stream.isTTY;
    },
    get columns() {
      return stream.columns;
    },
  };
}

/** What Node 20 writes to a file is cut without a word where the disk becomes full in the middle of it. */
function isFile(fd: number): boolean {
  try {
    // without bigint, Node 20 finds no dependency of a linked package afterwards where `fd` is a pipe (seen with 20.20.2)
    return fstatSync(fd, { bigint: true }).isFile();
  } catch {
    return false;
  }
}

function wholeWriter(fd: number, onError: (error: NodeJS.ErrnoException) => void): (text: string) => void {
  return (text) => {
    const bytes = Buffer.from(text);
    try {
      for (let done = 0; done < bytes.byteLength; ) done += writeSync(fd, bytes, done);
    } catch (error) {
      onError(error as NodeJS.ErrnoException);
    }
  };
}

function outputError(error: NodeJS.ErrnoException): Error {
  if (error.code === 'EPIPE') return new OutputClosed('standard output was closed', { cause: error });
  return new DataError('standard output', `cannot be written (${inWords(error)}). Send it elsewhere.`, {
    cause: error,
  });
}

function flushed(stream: Stream, isLost: boolean): Promise<void> {
  return isLost ? Promise.resolve() : new Promise((resolve) => stream.write('', () => resolve()));
}
