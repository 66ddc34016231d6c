/** The lines of a file of any size, read piece by piece. */
import { DataError } from '../errors.ts';
import { type FileReader, place } from '../formats/reader.ts';

const PIECE_BYTES = 1 << 20;

/** Reads lines, numbered from 1, without their ends (LF or CRLF). DataError when the file is absent or not UTF-8. */
export async function* readLines(
  reader: FileReader,
  path: string,
  pieceBytes = PIECE_BYTES,
): AsyncGenerator<{ text: string; number: number }> {
  const size = await reader.size(path);
  const decoder = new TextDecoder('utf-8', { fatal: true });
  let number = 0;
  let rest = '';
  for (let at = 0; at < size; at += pieceBytes) {
    const piece = new Uint8Array(Math.min(pieceBytes, size - at));
    await reader.read(path, at, piece);
    const lines = (rest + decode(decoder, piece, at + pieceBytes < size, `${place(reader, path)}:${number + 1}`)).split(
      '\n',
    );
    rest = lines.pop()!;
    for (const line of lines) yield { text: withoutReturn(line), number: ++number };
  }
  if (rest !== '') yield { text: withoutReturn(rest), number: ++number };
}

function decode(decoder: InstanceType<typeof TextDecoder>, piece: Uint8Array, stream: boolean, where: string): string {
  try {
    return decoder.decode(piece, { stream });
  } catch (cause) {
    throw new DataError(where, 'is not UTF-8 text here or somewhat further on. Save the file as UTF-8.', { cause });
  }
}

function withoutReturn(line: string): string {
  return line.endsWith('\r') ? line.slice(0, -1) : line;
}
