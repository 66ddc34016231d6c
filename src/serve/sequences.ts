/** The sequences that a request asks for: each prompt as often as it wants choices, as the scheduler takes them. */
import type { GenerationDefaults } from '../generate/generation-config.ts';
import type { GenerationRequest } from '../generate/request.ts';
import { mostCharacters } from '../generate/resolve.ts';
import type { Sampling } from '../generate/sampling.ts';
import { TextStream } from '../generate/text-stream.ts';
import { badRequest } from './errors.ts';
import type { CommonRequest } from './parameters.ts';
import type { ServedModel } from './served-model.ts';

/** A sequence with its place in the answer. */
export type Sequence = GenerationRequest & { readonly index: number; readonly text: TextStream };

export type Wanted = {
  readonly adapter: number;
  /** Null for what the context leaves room for. */
  readonly maxNewTokens: number | null;
  readonly logprobs: number | null;
  readonly promptLogprobs: number | null;
  /** Whether the text goes on from the prompt's, space and all. */
  readonly continues: boolean;
  /** Where the request has its prompt, for messages. */
  readonly param: 'prompt' | 'messages';
};

/** Tokens of the prompt that are decoded with the first of the text: vLLM takes as many. */
const TOKENS_BEFORE = 5;

/** Numbers of 32 bits that seeds are. */
const SEEDS = 2 ** 32;

/** Lists the sequences of a request, all choices of the first prompt first. @throws ApiError where one does not fit the context */
export function sequencesOf(
  served: ServedModel,
  request: CommonRequest,
  prompts: readonly (readonly number[])[],
  { maxNewTokens, continues, param, ...wanted }: Wanted,
): Sequence[] {
  const choices = request.n ?? 1;
  if (maxNewTokens !== null && (request.min_tokens ?? 0) > maxNewTokens)
    throw badRequest(
      `min_tokens is ${request.min_tokens}, above the ${maxNewTokens} tokens that are generated at most (max_tokens)`,
      'min_tokens',
    );
  const sampling = samplingOf(request, served.defaults);
  const seed = request.seed === null || request.seed === undefined ? anySeed() : remainder(request.seed, SEEDS);
  const stop = typeof request.stop === 'string' ? [request.stop] : (request.stop ?? []);
  const skipSpecialTokens = request.skip_special_tokens ?? true;
  return prompts.flatMap((promptIds, prompt) => {
    const textOptions = { stop, skipSpecialTokens, before: continues ? promptIds.slice(-TOKENS_BEFORE) : [] };
    const most = newTokensOf(served, promptIds, maxNewTokens, param);
    return Array.from(
      { length: choices },
      (_, choice): Sequence => ({
        promptIds,
        maxNewTokens: most,
        minNewTokens: request.min_tokens ?? served.defaults.min_new_tokens ?? 0,
        eosIds: request.ignore_eos === true ? [] : served.eosIds,
        sampling,
        seed,
        number: choice,
        text: new TextStream(served.tokenizer, textOptions),
        index: prompt * choices + choice,
        ...wanted,
      }),
    );
  });
}

const anySeed = (): number => crypto.getRandomValues(new Uint32Array(1))[0] as number;
const remainder = (value: number, by: number): number => ((value % by) + by) % by;

/** What the request leaves out is the model's, and else OpenAI's: drawn from all tokens at temperature 1. */
function samplingOf(request: CommonRequest, model: GenerationDefaults): Sampling {
  const temperature = request.temperature ?? model.temperature ?? 1;
  return {
    doSample: temperature > 0,
    temperature,
    topK: request.top_k ?? model.top_k ?? 0,
    topP: request.top_p ?? model.top_p ?? 1,
    minP: request.min_p ?? model.min_p ?? 0,
    repetitionPenalty: request.repetition_penalty ?? model.repetition_penalty ?? 1,
  };
}

/** Refuses a text that no context of this length holds, without cutting it into tokens: that can take seconds. @throws ApiError */
export function requireShort(characters: number, context: number, param: string): void {
  if (characters > mostCharacters(context))
    throw badRequest(
      `the context is ${context} tokens, and no text of ${characters} characters fits it. Shorten it`,
      param,
      'context_length_exceeded',
    );
}

/** Requires tokens that the model has. @throws ApiError */
export function requireTokens(prompts: readonly (string | readonly number[])[], { vocabulary }: ServedModel): void {
  for (const prompt of prompts) {
    const stray = typeof prompt === 'string' ? undefined : prompt.find((id) => id >= vocabulary);
    if (stray !== undefined)
      throw badRequest(`the prompt has token ${stray}; the model has ${vocabulary}, counted from 0`, 'prompt');
  }
}

/** Lets what waits on the event loop go first. */
export const turnOfOthers = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 0));

/** @throws ApiError for a prompt that is empty, or too long with what is to follow */
function newTokensOf(
  { context }: ServedModel,
  promptIds: readonly number[],
  asked: number | null,
  param: Wanted['param'],
): number {
  const count = promptIds.length;
  if (count === 0)
    throw badRequest('the prompt is empty, and the tokenizer begins a text with no token of its own', param);
  const least = asked ?? 1;
  if (count + least > context)
    throw badRequest(
      `the context is ${context} tokens; this request has ${count} in its prompt and wants ${asked ?? 'at least 1'} more. Shorten either`,
      param,
      'context_length_exceeded',
    );
  return asked ?? context - count;
}
