/**
 * Requests of any length on one engine, several at once: a request starts as soon as a row of the batch and all the pages it may
 * need are free, and leaves when it ends. What a request gets does not depend on its neighbours.
 */
import { DataError } from '../errors.ts';
import { cachedTokens } from './build.ts';
import { PAGE_TOKENS } from './cache.ts';
import type { Decoder } from './engine.ts';
import { PagePool, pagesFor } from './pages.ts';
import type { FinishReason, GenerationEvent, GenerationRequest, TokenLogprob } from './request.ts';
import { drawn, likeliest, logProbabilities, mostLikely, processed, uniformAt } from './sampling.ts';

type Running<Request> = {
  readonly request: Request;
  readonly pages: readonly number[];
  readonly seen: Set<number>;
  readonly tokenIds: number[];
  readonly logprobs: TokenLogprob[];
};

/** A request whose logits cannot be drawn from. It has ended by then; the others go on at the next step. */
export class UnfitLogits extends DataError {
  readonly request: GenerationRequest;

  constructor(request: GenerationRequest, place: number) {
    super(
      'the model',
      `gives logits that are not finite for token ${place + 1}. Are its weights whole? With compute_dtype float16, set float32.`,
    );
    this.request = request;
  }
}

export class Scheduler<Request extends GenerationRequest> {
  readonly #engine: Decoder;
  readonly #pool: PagePool;
  readonly #rows: number;
  readonly #waiting: Request[] = [];
  #running: Running<Request>[] = [];
  readonly #cancelled = new Set<Request>();

  constructor(engine: Decoder) {
    this.#engine = engine;
    this.#pool = new PagePool(engine.settings.cache.pages);
    this.#rows = engine.settings.batchSizes.at(-1) as number;
  }

  /** Puts a request at the end of the queue. It has to be one that the engine was made for. */
  add(request: Request): void {
    this.#waiting.push(request);
  }

  /** Ends a request at the next step, wherever it is. */
  cancel(request: Request): void {
    this.#cancelled.add(request);
  }

  /** Requests that wait, those that are under way, and pages of the cache that these hold. */
  get load(): { readonly waiting: number; readonly running: number; readonly pages: number } {
    const { pages, free } = this.#pool;
    return { waiting: this.#waiting.length, running: this.#running.length, pages: pages - free };
  }

  get isIdle(): boolean {
    return this.#waiting.length === 0 && this.#running.length === 0;
  }

  /** Starts what can start, then takes one token further all that run. @throws DeviceError, UnfitLogits */
  async *step(): AsyncGenerator<GenerationEvent<Request>, void> {
    yield* this.#dropCancelled();
    yield* this.#startWaiting();
    const running = this.#running;
    if (running.length === 0) return;
    const next = running.map(({ request, pages, tokenIds }) => {
      const position = request.promptIds.length + tokenIds.length - 1;
      return { pages, adapter: request.adapter, token: tokenIds.at(-1) as number, position };
    });
    const logits = await this.#engine.decode(next);
    // a row that is not reached, since one before it is unfit, is decoded again at the next step
    for (const [i, row] of running.entries()) yield* this.#advance(row, logits[i] as Float32Array);
  }

  /** Steps until nothing is left to do. */
  async *run(): AsyncGenerator<GenerationEvent<Request>, void> {
    while (!this.isIdle) yield* this.step();
  }

  *#dropCancelled(): Generator<GenerationEvent<Request>, void> {
    for (const request of [...this.#cancelled]) {
      this.#cancelled.delete(request);
      const row = this.#running.find((r) => r.request === request);
      const at = this.#waiting.indexOf(request);
      if (at >= 0) this.#waiting.splice(at, 1);
      if (row !== undefined) yield this.#end(row, 'cancelled');
      else if (at >= 0) yield endOf({ request, pages: [], seen: new Set(), tokenIds: [], logprobs: [] }, 'cancelled');
    }
  }

  async *#startWaiting(): AsyncGenerator<GenerationEvent<Request>, void> {
    while (this.#running.length < this.#rows) {
      // a prompt can take long: who left meanwhile need not wait for all of them
      yield* this.#dropCancelled();
      const [request] = this.#waiting;
      if (request === undefined) return;
      const { promptIds, maxNewTokens, adapter } = request;
      const tokens = cachedTokens({ prompt: promptIds.length, maxNewTokens });
      const pages = this.#pool.take(pagesFor(tokens, PAGE_TOKENS));
      if (pages === null) return;
      this.#waiting.shift();
      const row: Running<Request> = { request, pages, seen: new Set(promptIds), tokenIds: [], logprobs: [] };
      this.#running.push(row);
      const logits = await this.#engine.prefill(Uint32Array.from(promptIds), { pages, adapter });
      if ((request.promptLogprobs ?? null) !== null) yield* this.#scorePrompt(row);
      if (maxNewTokens === 0) yield this.#end(row, 'length');
      else yield* this.#advance(row, logits);
    }
  }

  async *#scorePrompt(row: Running<Request>): AsyncGenerator<GenerationEvent<Request>, void> {
    const { request } = row;
    const { promptIds, promptLogprobs } = request;
    const logprobs: (TokenLogprob | null)[] = [null];
    for await (const rows of this.#engine.promptLogits(promptIds.length - 1))
      for (const logits of rows) {
        const found = logprobOf(logits, promptIds[logprobs.length] as number, promptLogprobs as number);
        if (!Number.isFinite(found.logprob)) this.#failed(row, logprobs.length);
        logprobs.push(found);
      }
    yield { type: 'prompt', request, text: '', logprobs };
  }

  #failed(row: Running<Request>, place: number): never {
    this.#end(row, 'cancelled');
    throw new UnfitLogits(row.request, place);
  }

  /** Chooses the token that follows, and ends the row where it is the last. */
  *#advance(row: Running<Request>, logits: Float32Array): Generator<GenerationEvent<Request>, void> {
    const { request, seen, tokenIds, logprobs } = row;
    const { eosIds, text: stream } = request;
    const id = choose(request, logits, seen, tokenIds.length) ?? this.#failed(row, tokenIds.length);
    const logprob = request.logprobs === null ? null : logprobOf(logits, id, request.logprobs);
    tokenIds.push(id);
    seen.add(id);
    if (logprob !== null) logprobs.push(logprob);
    const isEnd = eosIds.includes(id);
    yield { type: 'token', request, id, text: stream?.push(id) ?? '', logprob };
    if (isEnd || stream?.stopped === true) yield this.#end(row, 'stop');
    else if (tokenIds.length >= request.maxNewTokens) yield this.#end(row, 'length');
  }

  #end(row: Running<Request>, reason: FinishReason): GenerationEvent<Request> {
    this.#running = this.#running.filter((other) => other !== row);
    this.#pool.give(row.pages);
    return endOf(row, reason);
  }
}

function endOf<Request extends GenerationRequest>(
  { request, tokenIds, logprobs }: Running<Request>,
  finishReason: FinishReason,
): GenerationEvent<Request> {
  const text = request.text?.end() ?? '';
  return { type: 'end', request, finishReason, text, tokenIds, logprobs: request.logprobs === null ? null : logprobs };
}

/** The next token; null where logits are not finite. */
function choose(
  request: GenerationRequest,
  logits: Float32Array,
  seen: Iterable<number>,
  place: number,
): number | null {
  const { sampling, eosIds, minNewTokens, seed, number } = request;
  const scores = processed(logits, sampling, seen, place < minNewTokens ? eosIds : []);
  const best = likeliest(scores);
  if (!Number.isFinite(scores[best])) return null;
  return sampling.doSample ? drawn(scores, sampling, uniformAt(seed, number, place)) : best;
}

function logprobOf(logits: Float32Array, id: number, count: number): TokenLogprob {
  const ids = mostLikely(logits, count);
  const [own, ...others] = logProbabilities(logits, [id, ...ids]) as [number, ...number[]];
  return { id, logprob: own, top: ids.map((other, i) => ({ id: other, logprob: others[i] as number })) };
}
