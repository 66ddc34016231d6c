/**
 * An engine without a GPU: what follows a sequence is a function of all its tokens and its adapter, kept by its first page. A
 * sequence that gets another's place, pages or adapter gets another text.
 */
import type { Decoder, NextToken, SequenceState } from '../../src/generate/engine.ts';

export type FakeOptions = {
  readonly vocabulary: number;
  readonly rows?: number;
  readonly pages?: number;
  readonly context: number;
  /** Called before each step. */
  readonly beforeStep?: () => Promise<void> | void;
  /** Adapters whose logits are no numbers. */
  readonly unfit?: readonly number[];
};

export class FakeEngine implements Decoder {
  readonly settings: Decoder['settings'];
  readonly #options: FakeOptions;
  readonly #hashes = new Map<number, number>();
  #prompt: { readonly ids: Uint32Array; readonly adapter: number } = { ids: new Uint32Array(), adapter: 0 };

  constructor(options: FakeOptions) {
    const { rows = 4, context } = options;
    const pagesPerRow = Math.ceil(context / 16);
    this.#options = options;
    this.settings = {
      computeDtype: 'f32',
      prefillLengths: [context],
      batchSizes: [rows],
      cache: { pages: options.pages ?? rows * pagesPerRow, pagesPerRow },
      scoresPrompts: true,
    };
  }

  async prefill(ids: Uint32Array<ArrayBuffer>, { pages, adapter }: SequenceState): Promise<Float32Array> {
    await this.#options.beforeStep?.();
    const hash = ids.reduce(mixed, adapter + 1);
    this.#hashes.set(pages[0] as number, hash);
    this.#prompt = { ids, adapter };
    return this.#logits(hash, adapter);
  }

  async *promptLogits(count: number): AsyncGenerator<Float32Array[], void> {
    const { ids, adapter } = this.#prompt;
    for (let i = 0; i < count; i++) yield [this.#logits(ids.subarray(0, i + 1).reduce(mixed, adapter + 1), adapter)];
  }

  async decode(next: readonly NextToken[]): Promise<Float32Array[]> {
    await this.#options.beforeStep?.();
    return next.map(({ token, pages, adapter }) => {
      const hash = mixed(this.#hashes.get(pages[0] as number) ?? 0, token);
      this.#hashes.set(pages[0] as number, hash);
      return this.#logits(hash, adapter);
    });
  }

  takeFlags(): number {
    return 0;
  }

  #logits(hash: number, adapter: number): Float32Array {
    if (this.#options.unfit?.includes(adapter)) return new Float32Array(this.#options.vocabulary).fill(Number.NaN);
    // between -4 and 4
    return Float32Array.from({ length: this.#options.vocabulary }, (_, id) => (mixed(hash, id) % 8000) / 1000 - 4);
  }
}

/** A step of FNV-1a, and a shuffle of its bits. */
function mixed(hash: number, value: number): number {
  let h = Math.imul((hash ^ value) >>> 0, 0x01000193) >>> 0;
  h = Math.imul(h ^ (h >>> 15), 0x2c1b3c6d) >>> 0;
  return (h ^ (h >>> 13)) >>> 0;
}
