/** Keeps quantized weights until the header of their file can be written: it names sizes that are known only at the end. */
import type { Chunks } from '../../formats/reader.ts';

/** Bytes that can be written and read at any position. */
export interface SpoolStore {
  write(position: number, bytes: Uint8Array): Promise<void>;
  read(position: number, into: Uint8Array): Promise<void>;
}

/** A range of bytes of a spool. */
export type Spooled = { readonly at: number; readonly bytes: number };

const CHUNK_BYTES = 4 * 2 ** 20;

/** Hands out ranges of a store, one behind the other. */
export class Spool {
  readonly #store: SpoolStore;
  #end = 0;

  constructor(store: SpoolStore) {
    this.#store = store;
  }

  reserve(bytes: number): Spooled {
    const range = { at: this.#end, bytes };
    this.#end += bytes;
    return range;
  }

  write(range: Spooled, offset: number, bytes: Uint8Array): Promise<void> {
    return this.#store.write(range.at + offset, bytes);
  }

  async append(bytes: Uint8Array): Promise<Spooled> {
    const range = this.reserve(bytes.byteLength);
    await this.write(range, 0, bytes);
    return range;
  }

  /** Reads a range from its start to its end. A chunk is valid until the next one is asked for. */
  async *chunks({ at, bytes }: Spooled): AsyncGenerator<Uint8Array> {
    const buffer = new Uint8Array(Math.min(bytes, CHUNK_BYTES));
    for (let done = 0; done < bytes; done += CHUNK_BYTES) {
      const chunk = buffer.subarray(0, Math.min(CHUNK_BYTES, bytes - done));
      await this.#store.read(at + done, chunk);
      yield chunk;
    }
  }
}

/** Makes a store in memory, for browsers and tests. */
export function memoryStore(): SpoolStore {
  let held = new Uint8Array(0);
  return {
    write: async (position, bytes) => {
      const end = position + bytes.byteLength;
      if (end > held.byteLength) {
        const grown = new Uint8Array(Math.max(end, 2 * held.byteLength));
        grown.set(held);
        held = grown;
      }
      held.set(bytes, position);
    },
    read: async (position, into) => into.set(held.subarray(position, position + into.byteLength)),
  };
}

/** Makes the `data` of a tensor to write. */
export function spooledData(spool: Spool, range: Spooled): () => Chunks {
  return () => spool.chunks(range);
}
