/** What both endpoints share: from checked sequences to one body, or to a stream of chunks. */
import type { FinishReason } from '../generate/request.ts';
import type { Batcher } from './batcher.ts';
import { ApiError, badRequest } from './errors.ts';
import type { SequenceEvent } from './job.ts';
import type { Metrics } from './metrics.ts';
import type { CommonRequest } from './parameters.ts';
import type { Sequence } from './sequences.ts';
import type { ServedModel } from './served-model.ts';
import { eventStream } from './sse.ts';
import type { TokenTexts } from './token-texts.ts';

/** What endpoints need of the server. */
export type ServerParts = {
  readonly served: ServedModel;
  readonly batcher: Batcher;
  readonly metrics: Metrics;
  readonly texts: TokenTexts;
  /** What a failure is to a client; the log hears of those that are the server's own. */
  readonly asApiError: (error: unknown) => ApiError;
};

export type Usage = {
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
  readonly total_tokens: number;
};

/** What the events of a sequence turn into, in order; none where an event shows nothing. */
export type Piece = {
  readonly index: number;
  readonly text: string;
  /** In the endpoint's own form; null where none were asked for. */
  readonly logprobs: unknown;
  readonly finishReason: 'stop' | 'length' | null;
};

export type Form = {
  /** The pieces of an event. */
  readonly piecesOf: (event: SequenceEvent) => readonly Piece[];
  /** Chunks before the first event. */
  readonly opening: readonly object[];
  readonly chunkOf: (piece: Piece) => object;
  readonly bodyOf: (choices: readonly (readonly Piece[])[], usage: Usage) => object;
  readonly usageChunkOf: (usage: Usage) => object;
};

/** Runs the sequences and answers as the request wants. @throws ApiError */
export async function answer(
  { batcher, metrics, asApiError }: ServerParts,
  request: CommonRequest,
  sequences: readonly Sequence[],
  form: Form,
  signal: AbortSignal,
): Promise<Response> {
  requireStream(request);
  const job = batcher.submit(sequences, signal);
  const usage = new Counter(sequences, metrics);
  const pieces = async function* (): AsyncGenerator<Piece, void> {
    try {
      for await (const event of job) {
        usage.count(event);
        yield* form.piecesOf(event);
      }
    } finally {
      usage.end();
    }
  };
  const withUsage = request.stream_options?.include_usage === true;
  if (request.stream === true)
    return eventStream({
      events: chunks(form, pieces(), usage, withUsage),
      asApiError,
      onLeave: () => job.leave(),
    });
  const choices: Piece[][] = sequences.map(() => []);
  for await (const piece of pieces()) choices[piece.index]?.push(piece);
  return Response.json(form.bodyOf(choices, usage.value));
}

function requireStream({ stream, stream_options: options }: CommonRequest): void {
  if (stream !== true && (options ?? null) !== null)
    throw badRequest('stream_options is given, and stream is not true', 'stream_options');
}

async function* chunks(
  form: Form,
  pieces: AsyncIterable<Piece>,
  usage: Counter,
  withUsage: boolean,
): AsyncGenerator<object, void> {
  const marked = (chunk: object): object => (withUsage ? { ...chunk, usage: null } : chunk);
  for (const chunk of form.opening) yield marked(chunk);
  for await (const piece of pieces) yield marked(form.chunkOf(piece));
  if (withUsage) yield form.usageChunkOf(usage.value);
}

/** Counts tokens and time as they pass. Choices of one prompt share it. */
class Counter {
  readonly #metrics: Metrics;
  readonly #started = performance.now();
  readonly #prompt: number;
  #completion = 0;
  #isFirst = true;

  constructor(sequences: readonly Sequence[], metrics: Metrics) {
    this.#metrics = metrics;
    this.#prompt = sequences
      .filter(({ number }) => number === 0)
      .reduce((sum, { promptIds }) => sum + promptIds.length, 0);
    metrics.promptTokens.add({}, this.#prompt);
  }

  count(event: SequenceEvent): void {
    if (event.type !== 'token') return;
    if (this.#isFirst) this.#metrics.firstToken.observe((performance.now() - this.#started) / 1000);
    this.#isFirst = false;
    this.#completion++;
    this.#metrics.generatedTokens.add({}, 1);
  }

  end(): void {
    this.#metrics.duration.observe((performance.now() - this.#started) / 1000);
  }

  get value(): Usage {
    const [prompt_tokens, completion_tokens] = [this.#prompt, this.#completion];
    return { prompt_tokens, completion_tokens, total_tokens: prompt_tokens + completion_tokens };
  }
}

/** @throws ApiError for a sequence that was ended from outside */
export function finishOf(reason: FinishReason): 'stop' | 'length' {
  if (reason === 'cancelled') throw new ApiError(503, 'the request was ended');
  return reason;
}

/** An id such as chatcmpl-5f0c…. */
export function newId(prefix: string): string {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return `${prefix}-${Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')}`;
}

export const nowSeconds = (): number => Math.floor(Date.now() / 1000);
