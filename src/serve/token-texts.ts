/** What single tokens are called where log-probabilities are listed, and where they stand in a text. */
import type { TextTokenizer } from '../formats/tokenizer.ts';
import type { TokenLogprob } from '../generate/request.ts';
import { TextStream } from '../generate/text-stream.ts';

/** What a decoder writes for bytes that are no whole character. */
const UNFINISHED = '\ufffd';

export type NamedToken = { readonly text: string; readonly isText: boolean; readonly logprob: number };

export class TokenTexts {
  readonly #tokenizer: TextTokenizer;
  readonly #known = new Map<number, string>();
  /** Decoders may treat the first token of a text in another way: each is decoded behind this one. */
  readonly #anchor: readonly number[];
  readonly #anchorText: string;

  constructor(tokenizer: TextTokenizer) {
    this.#tokenizer = tokenizer;
    this.#anchor = tokenizer.encode('a', { addSpecialTokens: false }).slice(-1);
    this.#anchorText = tokenizer.decode(this.#anchor);
  }

  /** Text of a token; `token_id:N` for one that is only part of a character, as vLLM can name all. */
  nameOf(id: number): string {
    const known = this.#known.get(id);
    if (known !== undefined) return known;
    const both = this.#tokenizer.decode([...this.#anchor, id]);
    const text = both.startsWith(this.#anchorText) ? both.slice(this.#anchorText.length) : this.#tokenizer.decode([id]);
    const name = text.includes(UNFINISHED) ? `token_id:${id}` : text;
    this.#known.set(id, name);
    return name;
  }

  named({ id, logprob }: { readonly id: number; readonly logprob: number }): NamedToken {
    const text = this.nameOf(id);
    return { text, isText: text !== `token_id:${id}`, logprob };
  }

  /** Names of the likeliest tokens with their log-probabilities, and of the token itself; of two with one name the likelier. */
  topOf({ id, logprob, top }: TokenLogprob): Record<string, number> {
    const found = new Map<string, number>();
    for (const each of [...top, { id, logprob }]) {
      const name = this.nameOf(each.id);
      if (!found.has(name)) found.set(name, each.logprob);
    }
    return Object.fromEntries(found);
  }

  /** Characters before each of the tokens in their text. */
  offsetsOf(ids: readonly number[], skipSpecialTokens: boolean): number[] {
    const stream = new TextStream(this.#tokenizer, { stop: [], skipSpecialTokens });
    let length = 0;
    return ids.map((id) => {
      const at = length;
      length += charactersOf(stream.push(id));
      return at;
    });
  }
}

/** Length in Unicode's characters, as Python counts. */
export function charactersOf(text: string): number {
  let count = 0;
  for (const _ of text) count++;
  return count;
}
