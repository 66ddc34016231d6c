/** The lines of a file of any size, read piece by piece. */
import { DataError } from '../errors.ts';
import { type FileReader, place } from '../formats/reader.ts';
import { contentOf, PIECE_BYTES } from './bytes.ts';

/** A line without its end (LF or CRLF), numbered from 1. */
export type Line = { readonly text: string; readonly number: number };

/** Reads lines, unpacked where the file is gzip. DataError when the file is absent or not UTF-8. */
export async function* readLines(reader: FileReader, path: string, pieceBytes = PIECE_BYTES): AsyncGenerator<Line> {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  const where = (number: number): string => `${place(reader, path)}:${number + 1}`;
  let number = 0;
  let rest = '';
  for await (const piece of contentOf(reader, path, pieceBytes)) {
    const lines = (rest + decode(decoder, piece, where(number))).split('\n');
    rest = lines.pop()!;
    for (const line of lines) yield { text: withoutReturn(line), number: ++number };
  }
  rest += decode(decoder, null, where(number));
  if (rest !== '') yield { text: withoutReturn(rest), number: ++number };
}

/** Decodes a piece; null ends the text. */
function decode(decoder: InstanceType<typeof TextDecoder>, piece: Uint8Array | null, where: string): string {
  try {
    return piece === null ? decoder.decode() : decoder.decode(piece, { stream: true });
  } catch (cause) {
    throw new DataError(where, 'is not UTF-8 text here or somewhat further on. Save the file as UTF-8.', { cause });
  }
}

function withoutReturn(line: string): string {
  return line.endsWith('\r') ? line.slice(0, -1) : line;
}
