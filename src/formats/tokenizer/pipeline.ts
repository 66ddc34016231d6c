/** tokenizer.json as Rust's `tokenizers` runs it: added tokens, normalizer, pre-tokenizer, model, post-processor. */
import { show } from '../../config/show.ts';
import { DataError } from '../../errors.ts';
import type { JsonObject } from '../json.ts';
import { withinTime } from '../time-limit.ts';
import { type AddedToken, AddedTokens } from './added-tokens.ts';
import { bpeOf } from './bpe.ts';
import { type Decoder, decoderOf } from './decoders.ts';
import { type Model, wordLevelOf, wordPieceOf } from './model.ts';
import { normalizerOf } from './normalizers.ts';
import { type Encoding, type OffsetRules, offsetRulesOf, offsetsOf } from './offsets.ts';
import { type PostProcessor, postProcessorOf } from './post-processors.ts';
import { type PreTokenizer, preTokenizerOf } from './pre-tokenizers.ts';
import { Part } from './read.ts';
import { unigramOf } from './unigram.ts';

/** Text that is not Unicode has no ids: transformers fails at it, and a replacement character would be another text. */
const LONE_SURROGATE = /\p{Surrogate}/u;

/** A text may take as long as its patterns need to be called endless: a slow machine reads a million characters in some seconds. */
const LIMIT_MS = 10_000;
const LIMIT_MS_PER_CHARACTER = 0.01;

export class Pipeline {
  readonly added: AddedTokens;
  readonly #file: string;
  readonly #model: Model;
  readonly #preTokenizer: PreTokenizer | null;
  readonly #postProcessor: PostProcessor;
  readonly #decoder: Decoder;
  readonly #offsetRules: OffsetRules;
  #tokens: Map<number, string> | null = null;

  /** Reads everything but `added_tokens`, which are the caller's to add. @throws DataError */
  constructor(json: JsonObject, file: string) {
    const part = new Part(json, file);
    const version = part.text('version', '1.0');
    if (version !== '1.0') throw part.error('version', `is ${show(version)}, needs "1.0".`);
    const normalizer = normalizerOf(part.objectOrNull('normalizer'));
    checkFirst(part);
    this.#file = file;
    this.#preTokenizer = preTokenizerOf(part.objectOrNull('pre_tokenizer'));
    this.#postProcessor = postProcessorOf(part.objectOrNull('post_processor'));
    this.#decoder = decoderOf(part.objectOrNull('decoder'));
    this.#model = modelOf(part.object('model'));
    this.#offsetRules = offsetRulesOf(json);
    const { vocabulary } = this.#model;
    this.added = new AddedTokens({ size: vocabulary.size, idOf: (token) => vocabulary.get(token) }, normalizer);
  }

  /** Ids of a text, within the special tokens of the post-processor unless told otherwise. @throws DataError */
  encode(text: string, addSpecialTokens: boolean): number[] {
    if (LONE_SURROGATE.test(text))
      throw new DataError(
        this.#file,
        'is given a text with half of a surrogate pair (\\ud800 to \\udfff alone). Mend the text.',
      );
    const ids = this.#guarded(text.length, () => this.#idsOf(text));
    return addSpecialTokens ? this.#postProcessor(ids) : ids;
  }

  /** Ids of a text without the special tokens of the post-processor, and where in the text each stands. @throws DataError */
  encodeWithOffsets(text: string): Encoding {
    const ids = this.encode(text, false);
    this.#tokens ??= new Map(Array.from(this.#model.vocabulary, ([token, id]) => [id, token]));
    const parts = { added: this.added, preTokenizer: this.#preTokenizer, model: this.#model, tokens: this.#tokens };
    const { starts, ends } = offsetsOf(text, parts, this.#offsetRules);
    return { ids, starts, ends };
  }

  /** V8 keeps a place to return to for each character of a match: some millions without a border overflow it. */
  #guarded<T>(characters: number, work: () => T): T {
    const given = `is given a text of ${characters.toLocaleString('en-US')} characters`;
    const limitMs = Math.round(LIMIT_MS + LIMIT_MS_PER_CHARACTER * characters);
    const late = (): Error =>
      new DataError(
        this.#file,
        `${given}, and its patterns took more than ${Math.round(limitMs / 1000)} s for it: one of them may never end. Mend the ` +
          'pattern (pre_tokenizer, normalizer or decoder), or tokenize the rows with transformers and give input_ids.',
      );
    try {
      return withinTime(limitMs, work, late);
    } catch (cause) {
      if (!(cause instanceof RangeError)) throw cause;
      throw new DataError(this.#file, `${given} with a stretch too long for its patterns. Cut the text.`, { cause });
    }
  }

  #idsOf(text: string): number[] {
    const ids: number[] = [];
    for (const found of this.added.extract(text)) {
      if ('id' in found) ids.push(found.id);
      else
        for (const piece of this.#preTokenizer?.([found]) ?? [found])
          for (const id of this.#model.encode(piece.text)) ids.push(id);
    }
    return ids;
  }

  /** The special tokens that the post-processor puts around every text. */
  around(): readonly number[] {
    return this.#postProcessor([]);
  }

  /** Ids without a token are passed over, as in Rust. */
  decode(ids: readonly number[], skipSpecialTokens: boolean): string {
    this.#tokens ??= new Map(Array.from(this.#model.vocabulary, ([token, id]) => [id, token]));
    const tokens: string[] = [];
    for (const id of ids) {
      const added = this.added.get(id);
      if (added?.special === true && skipSpecialTokens) continue;
      const token = added === undefined ? this.#tokens.get(id) : this.added.normalizedForm(added);
      if (token !== undefined) tokens.push(token);
    }
    const characters = tokens.reduce((sum, token) => sum + token.length, 0);
    return this.#guarded(characters, () => this.#decoder(tokens).join(''));
  }

  /** The token of the highest id, the added ones included; null for an empty vocabulary. */
  last(): readonly [token: string, id: number] | null {
    let last: readonly [string, number] | null = null;
    for (const entry of this.#model.vocabulary) if (last === null || entry[1] > last[1]) last = entry;
    for (const [id, { content }] of this.added.entries()) if (last === null || id > last[1]) last = [content, id];
    return last;
  }

  /** An added token that shares its id with a token of the model: what Rust gives when the vocabulary has gaps. */
  collision(): readonly [added: AddedToken, token: string, id: number] | null {
    this.#tokens ??= new Map(Array.from(this.#model.vocabulary, ([token, id]) => [id, token]));
    for (const [id, added] of this.added.entries()) {
      const token = this.#tokens.get(id);
      if (token !== undefined && token !== added.content) return [added, token, id];
    }
    return null;
  }
}

function modelOf(part: Part): Model {
  switch (typeof part.json.type === 'string' ? part.json.type : kindOf(part)) {
    case 'BPE':
      return bpeOf(part);
    case 'Unigram':
      return unigramOf(part);
    case 'WordLevel':
      return wordLevelOf(part);
    case 'WordPiece':
      return wordPieceOf(part);
    default:
      throw part.unsupported('type', `is ${show(part.json.type)}, a model`);
  }
}

/** Files of old versions of the library do not name the model's kind. */
function kindOf(part: Part): string {
  if (part.has('merges')) return 'BPE';
  if (Array.isArray(part.json.vocab)) return 'Unigram';
  return part.has('continuing_subword_prefix') ? 'WordPiece' : 'WordLevel';
}

/** Where the whole text begins is known in the text as it is written; these normalizers move it. */
const MOVES_START = ['Prepend', 'Strip'];

function checkFirst(part: Part): void {
  const preTokenizer = part.objectOrNull('pre_tokenizer');
  const asks = (step: Part | undefined): boolean =>
    step?.json.type === 'Metaspace' && step.json.prepend_scheme === 'first';
  if (preTokenizer === null) return;
  const first = preTokenizer.json.type === 'Sequence' ? preTokenizer.objects('pretokenizers')[0] : preTokenizer;
  const normalizer = part.objectOrNull('normalizer');
  if (!asks(first) || normalizer === null) return;
  const steps = normalizer.json.type === 'Sequence' ? normalizer.objects('normalizers') : [normalizer];
  const moving = steps.find((step) => MOVES_START.includes(String(step.json.type)));
  if (moving !== undefined)
    throw moving.unsupported(null, 'moves the start of the text, before a Metaspace of prepend_scheme "first"');
}
