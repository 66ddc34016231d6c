/** The lines of a file of any size, read piece by piece. */
import { DataError } from '../errors.ts';
import { type FileReader, place } from '../formats/reader.ts';
import { contentOf, PIECE_BYTES } from './bytes.ts';

/** A line without its end (LF or CRLF), numbered from 1. */
export type Line = { readonly text: string; readonly number: number };

/** Bytes that a line, or what else holds one row, may have: some million tokens, which no row of training needs. */
export const MOST_ROW_BYTES = 16 * 2 ** 20;
/** A longer line is measured up to here, for the message. */
const MOST_MEASURED_BYTES = 2 ** 30;
const MIB = 2 ** 20;
const LINE_FEED = 0x0a;

/**
 * Reads lines, unpacked where the file is gzip.
 * DataError when the file is absent or not UTF-8, or a line is longer than MOST_ROW_BYTES.
 */
export async function* readLines(reader: FileReader, path: string, pieceBytes = PIECE_BYTES): AsyncGenerator<Line> {
  const rest = new Rest();
  let number = 0;
  const linesOf = (bytes: Uint8Array): string[] => {
    const lines = decode(bytes, number === 0, `${place(reader, path)}:${number + 1}`).split('\n');
    // behind the last line feed
    if (lines.at(-1) === '') lines.pop();
    return lines;
  };
  const pieces = contentOf(reader, path, pieceBytes);
  for await (const piece of pieces) {
    const first = piece.indexOf(LINE_FEED);
    const lineBytes = rest.bytes + (first < 0 ? piece.byteLength : first);
    if (lineBytes > MOST_ROW_BYTES)
      throw tooLong(`${place(reader, path)}:${number + 1}`, first < 0 ? await measured(pieces, lineBytes) : lineBytes);
    const end = piece.lastIndexOf(LINE_FEED) + 1;
    // where no line ends here, the rest grows, and is looked at once, when its line ends
    if (end === 0) rest.add(piece);
    else {
      const lines = linesOf(rest.joinedWith(piece.subarray(0, end)));
      rest.add(piece.subarray(end));
      for (const line of lines) yield { text: withoutReturn(line), number: ++number };
    }
  }
  if (rest.bytes > 0)
    for (const line of linesOf(rest.joinedWith(new Uint8Array())))
      yield { text: withoutReturn(line), number: ++number };
}

/** The pieces of a line whose end has not come yet. */
class Rest {
  #pieces: Uint8Array[] = [];
  bytes = 0;

  add(piece: Uint8Array): void {
    this.#pieces.push(piece);
    this.bytes += piece.byteLength;
  }

  /** Empties the rest into one array with `end` behind it. */
  joinedWith(end: Uint8Array): Uint8Array {
    const whole = new Uint8Array(this.bytes + end.byteLength);
    let at = 0;
    for (const piece of [...this.#pieces, end]) {
      whole.set(piece, at);
      at += piece.byteLength;
    }
    this.#pieces = [];
    this.bytes = 0;
    return whole;
  }
}

/** Bytes of a line of which `bytes` are read, and which goes on in the pieces. */
async function measured(pieces: AsyncIterable<Uint8Array>, bytes: number): Promise<number> {
  let length = bytes;
  for await (const piece of pieces) {
    const found = piece.indexOf(LINE_FEED);
    length += found < 0 ? piece.byteLength : found;
    if (found >= 0 || length >= MOST_MEASURED_BYTES) break;
  }
  return Math.min(length, MOST_MEASURED_BYTES);
}

function tooLong(where: string, bytes: number): DataError {
  const most = bytes < MOST_MEASURED_BYTES ? '' : 'at least ';
  return new DataError(
    where,
    `has ${most}${(bytes / MIB).toFixed(1)} MiB, needs ${MOST_ROW_BYTES / MIB} MiB or less in a line. Write each row on a line of its own, and cut long texts.`,
  );
}

function decode(bytes: Uint8Array, isStart: boolean, where: string): string {
  try {
    // a byte order mark stands at the start of a file
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: !isStart }).decode(bytes);
  } catch (cause) {
    throw new DataError(where, 'is not UTF-8 text here or somewhat further on. Save the file as UTF-8.', { cause });
  }
}

function withoutReturn(line: string): string {
  return line.endsWith('\r') ? line.slice(0, -1) : line;
}
