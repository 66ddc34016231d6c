/** Where quantized weights wait until the file they go into can be laid out: its header names sizes known only at the end. */
import type { Chunks } from '../../formats/reader.ts';

/** Bytes that can be written and read at any position. */
export interface SpoolStore {
  write(position: number, bytes: Uint8Array): Promise<void>;
  read(position: number, into: Uint8Array): Promise<void>;
}

/** A stretch of a spool. */
export type Spooled = { readonly at: number; readonly bytes: number };

const CHUNK_BYTES = 4 * 2 ** 20;

/** Hands out stretches of a store, one behind the other. */
export class Spool {
  readonly #store: SpoolStore;
  #end = 0;

  constructor(store: SpoolStore) {
    this.#store = store;
  }

  reserve(bytes: number): Spooled {
    const stretch = { at: this.#end, bytes };
    this.#end += bytes;
    return stretch;
  }

  write(stretch: Spooled, offset: number, bytes: Uint8Array): Promise<void> {
    return this.#store.write(stretch.at + offset, bytes);
  }

  async append(bytes: Uint8Array): Promise<Spooled> {
    const stretch = this.reserve(bytes.byteLength);
    await this.write(stretch, 0, bytes);
    return stretch;
  }

  /** The stretch from its start to its end. A chunk is valid until the next one is asked for. */
  async *chunks({ at, bytes }: Spooled): AsyncGenerator<Uint8Array> {
    const buffer = new Uint8Array(Math.min(bytes, CHUNK_BYTES));
    for (let done = 0; done < bytes; done += CHUNK_BYTES) {
      const chunk = buffer.subarray(0, Math.min(CHUNK_BYTES, bytes - done));
      await this.#store.read(at + done, chunk);
      yield chunk;
    }
  }
}

/** A store in memory, for a browser and for tests. */
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

/** A function that gives chunks, as tensors to be written want it. */
export function spooledData(spool: Spool, stretch: Spooled): () => Chunks {
  return () => spool.chunks(stretch);
}
