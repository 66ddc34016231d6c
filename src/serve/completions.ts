/** POST /v1/completions: text that goes on from a prompt, or what the model thinks of the prompt itself. */
import type { TokenLogprob } from '../generate/request.ts';
import { answer, type Form, finishOf, newId, nowSeconds, type Piece, type ServerParts } from './answer.ts';
import { badRequest } from './errors.ts';
import type { SequenceEvent } from './job.ts';
import type { CompletionRequest } from './parameters.ts';
import { requireShort, requireTokens, type Sequence, sequencesOf, turnOfOthers } from './sequences.ts';
import { servedAs } from './served-model.ts';
import { charactersOf, type TokenTexts } from './token-texts.ts';

/** OpenAI's default of max_tokens here. */
const DEFAULT_NEW_TOKENS = 16;

type PromptInput = { readonly ids: readonly number[]; readonly text: string };

/** OpenAI's form for the tokens of a text. */
export type CompletionLogprobs = {
  readonly tokens: readonly string[];
  readonly token_logprobs: readonly (number | null)[];
  readonly top_logprobs: readonly (Readonly<Record<string, number>> | null)[];
  readonly text_offset: readonly number[];
};

/** @throws ApiError */
export async function complete(parts: ServerParts, request: CompletionRequest, signal: AbortSignal): Promise<Response> {
  const { adapter, name } = servedAs(parts.served, request.model);
  requireChoices(request);
  const given = givenPrompts(request);
  const choices = request.n ?? 1;
  // before any work is put into it
  parts.batcher.requireRoom(given.length * choices);
  if (given.length === 0) throw badRequest('prompt is empty, wanted at least one', 'prompt');
  requireTokens(given, parts.served);
  const prompts = await tokensOf(given, parts, request);
  const logprobs = request.logprobs ?? null;
  const echo = request.echo === true;
  const maxNewTokens = request.max_tokens ?? DEFAULT_NEW_TOKENS;
  if (maxNewTokens === 0 && !echo) throw badRequest('max_tokens is 0, which only echo has a use for', 'max_tokens');
  const wanted = {
    adapter,
    maxNewTokens,
    logprobs,
    promptLogprobs: echo ? logprobs : null,
    continues: true,
    param: 'prompt' as const,
  };
  const sequences = sequencesOf(
    parts.served,
    request,
    prompts.map(({ ids }) => ids),
    wanted,
  );
  const promptOf = ({ index }: Sequence): PromptInput => prompts[Math.floor(index / choices)] as PromptInput;
  const writer = new CompletionWriter(parts.texts, request, echo ? promptOf : null);
  return answer(parts, request, sequences, formOf(name, writer), signal);
}

function requireChoices({ best_of, n }: CompletionRequest): void {
  if (best_of !== null && best_of !== undefined && best_of !== (n ?? 1))
    throw badRequest(
      `best_of is ${best_of}, which this server does not follow where it is not n (${n ?? 1}); leave it out`,
      'best_of',
      'unsupported_parameter',
    );
}

/** The prompts as they were given, one by one. */
function givenPrompts({ prompt }: CompletionRequest): readonly (string | readonly number[])[] {
  return typeof prompt === 'string' || isIds(prompt) ? [prompt] : prompt;
}

/** Cuts prompts into tokens; others have their turn in between. @throws ApiError */
async function tokensOf(
  given: readonly (string | readonly number[])[],
  { served }: ServerParts,
  { add_special_tokens, skip_special_tokens }: CompletionRequest,
): Promise<PromptInput[]> {
  const addSpecialTokens = add_special_tokens ?? true;
  const skipSpecialTokens = skip_special_tokens ?? true;
  const prompts: PromptInput[] = [];
  for (const each of given) {
    if (prompts.length > 0) await turnOfOthers();
    if (typeof each === 'string') {
      requireShort(each.length, served.context, 'prompt');
      prompts.push({ ids: served.tokenizer.encode(each, { addSpecialTokens }), text: each });
    } else prompts.push({ ids: each, text: served.tokenizer.decode(each, { skipSpecialTokens }) });
  }
  return prompts;
}

const isIds = (list: readonly unknown[]): list is readonly number[] => list.every((entry) => typeof entry === 'number');

/** Turns events into pieces of text with their log-probabilities. */
class CompletionWriter {
  readonly #texts: TokenTexts;
  readonly #request: CompletionRequest;
  readonly #promptOf: ((sequence: Sequence) => PromptInput) | null;
  /** Characters of each text so far. */
  readonly #length = new Map<Sequence, number>();

  /** @param promptOf the prompt that a text begins with; null without echo */
  constructor(texts: TokenTexts, request: CompletionRequest, promptOf: ((sequence: Sequence) => PromptInput) | null) {
    this.#texts = texts;
    this.#request = request;
    this.#promptOf = promptOf;
  }

  piecesOf(event: SequenceEvent): Piece[] {
    const { request: sequence } = event;
    const pieces = this.#beginning(event);
    if (event.type === 'prompt') return pieces;
    const at = this.#length.get(sequence) ?? 0;
    this.#length.set(sequence, at + charactersOf(event.text));
    const { index } = sequence;
    if (event.type === 'end')
      pieces.push({ index, text: event.text, logprobs: null, finishReason: finishOf(event.finishReason) });
    else if (event.text !== '' || event.logprob !== null) {
      const logprobs = event.logprob === null ? null : this.#logprobs([event.logprob], [event.id], [at]);
      pieces.push({ index, text: event.text, logprobs, finishReason: null });
    }
    return pieces;
  }

  /** With echo, the prompt, before anything else of its sequence. */
  #beginning(event: SequenceEvent): Piece[] {
    const { request: sequence } = event;
    if (this.#promptOf === null || this.#length.has(sequence)) return [];
    const { ids, text } = this.#promptOf(sequence);
    this.#length.set(sequence, charactersOf(text));
    const offsets = () => this.#texts.offsetsOf(ids, this.#request.skip_special_tokens ?? true);
    const logprobs = event.type === 'prompt' ? this.#logprobs(event.logprobs, ids, offsets()) : null;
    return [{ index: sequence.index, text, logprobs, finishReason: null }];
  }

  #logprobs(
    found: readonly (TokenLogprob | null)[],
    ids: readonly number[],
    offsets: readonly number[],
  ): CompletionLogprobs {
    return {
      tokens: ids.map((id) => this.#texts.nameOf(id)),
      token_logprobs: found.map((each) => each?.logprob ?? null),
      top_logprobs: found.map((each) => (each === null ? null : this.#texts.topOf(each))),
      text_offset: offsets,
    };
  }
}

function formOf(model: string, writer: CompletionWriter): Form {
  const head = { id: newId('cmpl'), object: 'text_completion', created: nowSeconds(), model };
  const choiceOf = ({ index, text, logprobs, finishReason }: Piece) => ({
    index,
    text,
    logprobs,
    finish_reason: finishReason,
  });
  return {
    piecesOf: (event) => writer.piecesOf(event),
    opening: [],
    chunkOf: (piece) => ({ ...head, choices: [choiceOf(piece)] }),
    usageChunkOf: (usage) => ({ ...head, choices: [], usage }),
    bodyOf: (choices, usage) => ({ ...head, choices: choices.map((pieces) => choiceOf(joined(pieces))), usage }),
  };
}

/** A whole choice of its pieces. */
function joined(pieces: readonly Piece[]): Piece {
  const parts = pieces.flatMap(({ logprobs }) => (logprobs === null ? [] : [logprobs as CompletionLogprobs]));
  const logprobs: CompletionLogprobs = {
    tokens: parts.flatMap(({ tokens }) => tokens),
    token_logprobs: parts.flatMap(({ token_logprobs }) => token_logprobs),
    top_logprobs: parts.flatMap(({ top_logprobs }) => top_logprobs),
    text_offset: parts.flatMap(({ text_offset }) => text_offset),
  };
  return {
    index: (pieces[0] as Piece).index,
    text: pieces.map(({ text }) => text).join(''),
    logprobs: parts.length === 0 ? null : logprobs,
    finishReason: pieces.at(-1)?.finishReason ?? null,
  };
}
