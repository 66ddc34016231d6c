/** The bytes of a file of any size, piece by piece, unpacked where they are compressed by gzip. */
import { DataError } from '../errors.ts';
import { type FileReader, place } from '../formats/reader.ts';

export const PIECE_BYTES = 1 << 20;
const GZIP = [0x1f, 0x8b];

/** Whether a file begins as gzip does. */
export function isGzip(head: Uint8Array): boolean {
  return GZIP.every((byte, i) => head[i] === byte);
}

/** The first bytes of a file, as they lie there. @throws DataError where it is absent */
export async function headOf(reader: FileReader, path: string, bytes: number): Promise<Uint8Array> {
  const head = new Uint8Array(Math.min(bytes, await reader.size(path)));
  await reader.read(path, 0, head);
  return head;
}

/** The content of a file. @throws DataError where it is absent, or damaged gzip */
export async function* contentOf(
  reader: FileReader,
  path: string,
  pieceBytes = PIECE_BYTES,
): AsyncGenerator<Uint8Array> {
  if (!isGzip(await headOf(reader, path, GZIP.length))) return yield* piecesOf(reader, path, pieceBytes);
  const pieces = piecesOf(reader, path, pieceBytes);
  const packed = new ReadableStream<Uint8Array<ArrayBuffer>>({
    pull: async (controller) => {
      const { done, value } = await pieces.next();
      if (done) controller.close();
      else controller.enqueue(value);
    },
  });
  const unpacked = packed.pipeThrough(new DecompressionStream('gzip')).getReader();
  try {
    for (;;) {
      const { done, value } = await unpacked.read();
      if (done) return;
      yield value;
    }
  } catch (cause) {
    if (cause instanceof DataError) throw cause;
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new DataError(place(reader, path), `is gzip that is cut off or damaged (${reason}). Fetch it again.`, {
      cause,
    });
  } finally {
    await unpacked.cancel().catch(() => undefined);
  }
}

async function* piecesOf(
  reader: FileReader,
  path: string,
  pieceBytes: number,
): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  const size = await reader.size(path);
  for (let at = 0; at < size; at += pieceBytes) {
    const piece = new Uint8Array(Math.min(pieceBytes, size - at));
    await reader.read(path, at, piece);
    yield piece;
  }
}
