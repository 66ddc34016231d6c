/** The lines of a file of any size, read piece by piece. */
import { DataError } from '../errors.ts';
import { type FileReader, place } from '../formats/reader.ts';

const PIECE_BYTES = 1 << 20;
/** Bytes that a line, or what else holds one row, may have: some million tokens, which no row of training needs. */
export const MOST_ROW_BYTES = 16 * 2 ** 20;
/** A longer line is measured up to here, for the message. */
const MOST_MEASURED_BYTES = 2 ** 30;
const MIB = 2 ** 20;
const LINE_FEED = 0x0a;

/**
 * Reads lines, numbered from 1, without their ends (LF or CRLF).
 * DataError when the file is absent or not UTF-8, or a line is longer than MOST_ROW_BYTES.
 */
export async function* readLines(
  reader: FileReader,
  path: string,
  pieceBytes = PIECE_BYTES,
): AsyncGenerator<{ text: string; number: number }> {
  const size = await reader.size(path);
  const rest = new Rest();
  let number = 0;
  for (let at = 0; at < size; at += pieceBytes) {
    const piece = new Uint8Array(Math.min(pieceBytes, size - at));
    await reader.read(path, at, piece);
    const first = piece.indexOf(LINE_FEED);
    const lineBytes = rest.bytes + (first < 0 ? piece.byteLength : first);
    if (lineBytes > MOST_ROW_BYTES) throw await tooLong(reader, path, number + 1, at - rest.bytes);
    const end = at + pieceBytes >= size ? piece.byteLength : piece.lastIndexOf(LINE_FEED) + 1;
    // where no line ends here, the rest grows, and is looked at once, when its line ends
    if (end === 0) rest.add(piece);
    else {
      const text = decode(
        rest.joinedWith(piece.subarray(0, end)),
        number === 0,
        `${place(reader, path)}:${number + 1}`,
      );
      rest.add(piece.subarray(end));
      const lines = text.split('\n');
      // behind the last line feed
      if (lines.at(-1) === '') lines.pop();
      for (const line of lines) yield { text: withoutReturn(line), number: ++number };
    }
  }
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

/** The error of a line that begins at byte `start`. */
async function tooLong(reader: FileReader, path: string, number: number, start: number): Promise<DataError> {
  const end = Math.min(await reader.size(path), start + MOST_MEASURED_BYTES);
  let at = start;
  for (let found = -1; at < end && found < 0; at += found < 0 ? PIECE_BYTES : found) {
    const piece = new Uint8Array(Math.min(PIECE_BYTES, end - at));
    await reader.read(path, at, piece);
    found = piece.indexOf(LINE_FEED);
  }
  const bytes = Math.min(at, end) - start;
  const most = bytes < MOST_MEASURED_BYTES ? '' : 'at least ';
  return new DataError(
    `${place(reader, path)}:${number}`,
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
