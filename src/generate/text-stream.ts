/** Text of a growing row of tokens, given out as soon as no later token can change it, and cut at stop strings. */
import { min as smallest } from 'simple-statistics';
import type { TextTokenizer } from '../formats/tokenizer.ts';

/** What a decoder writes for bytes that are no whole character yet. */
const UNFINISHED = '\ufffd';

export type TextOptions = {
  readonly stop: readonly string[];
  readonly skipSpecialTokens: boolean;
  /** Tokens that the text goes on from: some decoders leave out a space at the beginning of a text. */
  readonly before?: readonly number[];
};

export class TextStream {
  readonly #decode: (ids: readonly number[]) => string;
  readonly #stop: readonly string[];
  readonly #ids: number[] = [];
  /** Tokens before `#from` are given out; those from `#context` on are decoded with the new ones, which may join them. */
  #context = 0;
  #from = 0;
  #text = '';
  #given = 0;
  #stopped = false;

  constructor(tokenizer: Pick<TextTokenizer, 'decode'>, { stop, skipSpecialTokens, before = [] }: TextOptions) {
    this.#decode = (ids) => tokenizer.decode(ids, { skipSpecialTokens });
    this.#stop = stop.filter((text) => text !== '');
    this.#ids.push(...before);
    this.#from = before.length;
  }

  /** Whether a stop string has come. */
  get stopped(): boolean {
    return this.#stopped;
  }

  /** The text so far, without the stop string. */
  get text(): string {
    return this.#text;
  }

  /** Takes a token in. @returns the text that is certain by now and was not given out yet */
  push(id: number): string {
    this.#ids.push(id);
    const known = this.#decode(this.#ids.slice(this.#context, this.#from));
    const all = this.#decode(this.#ids.slice(this.#context));
    if (all.length <= known.length || all.endsWith(UNFINISHED)) return '';
    this.#take(all.slice(known.length));
    this.#context = this.#from;
    this.#from = this.#ids.length;
    return this.#giveOut(this.#heldBack());
  }

  /** The rest of the text, once no token follows. */
  end(): string {
    if (!this.#stopped) {
      const known = this.#decode(this.#ids.slice(this.#context, this.#from));
      this.#take(this.#decode(this.#ids.slice(this.#context)).slice(known.length));
    }
    return this.#giveOut(0);
  }

  #take(more: string): void {
    const before = this.#text.length;
    this.#text += more;
    const longest = this.#stop.reduce((most, stop) => Math.max(most, stop.length), 0);
    const searched = Math.max(0, before - longest + 1);
    const at = this.#stop.map((stop) => this.#text.indexOf(stop, searched)).filter((found) => found >= 0);
    if (at.length === 0) return;
    this.#stopped = true;
    this.#text = this.#text.slice(0, smallest(at));
  }

  /** Characters at the end that may be the beginning of a stop string. */
  #heldBack(): number {
    if (this.#stopped) return 0;
    const counts = this.#stop.map((stop) => {
      for (let n = Math.min(stop.length - 1, this.#text.length); n > 0; n--)
        if (this.#text.endsWith(stop.slice(0, n))) return n;
      return 0;
    });
    return counts.reduce((most, n) => Math.max(most, n), 0);
  }

  #giveOut(held: number): string {
    const until = Math.max(this.#given, this.#text.length - held);
    const piece = this.#text.slice(this.#given, until);
    this.#given = until;
    return piece;
  }
}
