/** A request and its result, as the scheduler takes and gives them. */
import type { Sampling } from './sampling.ts';
import type { TextStream } from './text-stream.ts';

export type GenerationRequest = {
  readonly promptIds: readonly number[];
  /** Number of its adapter among the engine's, from 1; 0 for the base. */
  readonly adapter: number;
  /** 0 generates nothing: the prompt alone is scored. */
  readonly maxNewTokens: number;
  /** Ends of text do not come before this many tokens. */
  readonly minNewTokens: number;
  /** Tokens that end the text. */
  readonly eosIds: readonly number[];
  readonly sampling: Sampling;
  readonly seed: number;
  /** Tells requests of one seed apart. */
  readonly number: number;
  /** How many alternatives of each token are named with their log-probabilities; null names none, nor the token's own. */
  readonly logprobs: number | null;
  /** As `logprobs`, for the tokens of the prompt; not asked for where absent. */
  readonly promptLogprobs?: number | null;
  /** Null where the model has no tokenizer. */
  readonly text: TextStream | null;
};

/** A token and what the model gave it, before penalties and temperature: natural logarithms. */
export type TokenLogprob = {
  readonly id: number;
  readonly logprob: number;
  readonly top: readonly { readonly id: number; readonly logprob: number }[];
};

/** `stop`: an end of text or a stop string came; `length`: max_new_tokens or the context did; `cancelled`: nobody wants more. */
export type FinishReason = 'stop' | 'length' | 'cancelled';

export type GenerationEvent<Request> =
  | {
      /** Comes before the first token, where `promptLogprobs` asks for it. */
      readonly type: 'prompt';
      readonly request: Request;
      readonly text: '';
      /** Of each token of the prompt; null for the first, which follows nothing. */
      readonly logprobs: readonly (TokenLogprob | null)[];
    }
  | {
      readonly type: 'token';
      readonly request: Request;
      readonly id: number;
      /** Text that is certain by now. */
      readonly text: string;
      readonly logprob: TokenLogprob | null;
    }
  | {
      readonly type: 'end';
      readonly request: Request;
      readonly finishReason: FinishReason;
      /** The rest of the text. */
      readonly text: string;
      readonly tokenIds: readonly number[];
      readonly logprobs: readonly TokenLogprob[] | null;
    };
