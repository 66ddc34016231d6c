/**
 * Requests of many clients on one engine. Each gets its own events; they join and leave the batch that is under way, and who leaves
 * early frees its place and its cache at the next step.
 */
import type { Decoder } from '../generate/engine.ts';
import type { GenerationEvent } from '../generate/request.ts';
import { Scheduler, UnfitLogits } from '../generate/scheduler.ts';
import { flagMessages } from '../kernels/flags.ts';
import { ApiError, badRequest, tryLater } from './errors.ts';
import { Job } from './job.ts';
import type { Sequence } from './sequences.ts';

export type BatcherOptions = {
  /** Sequences that may wait. */
  readonly maxQueue: number;
  /** Seconds after which a job is ended. */
  readonly requestTimeout: number;
  /** Called once with each thing that kernels found on the way. */
  readonly onFlags: (text: string) => void;
  /** Called when the engine fails: no request can be answered any more. */
  readonly onFailure: (error: unknown) => void;
};

/** What metrics and /health tell. */
export type BatcherState = {
  readonly running: number;
  readonly waiting: number;
  readonly pagesUsed: number;
  readonly pages: number;
  readonly status: 'ready' | 'draining' | 'failed';
};

/** Seconds that a client is told to wait: a sequence of a full batch has mostly ended by then. */
const RETRY_SECONDS = 1;
const DRAINING_RETRY_SECONDS = 10;

export class Batcher {
  readonly #scheduler: Scheduler<Sequence>;
  readonly #engine: Decoder;
  readonly #options: BatcherOptions;
  readonly #jobs = new Map<Sequence, Job>();
  readonly #told = new Set<string>();
  readonly #idle: (() => void)[] = [];
  #status: BatcherState['status'] = 'ready';
  #isRunning = false;

  constructor(engine: Decoder, options: BatcherOptions) {
    this.#engine = engine;
    this.#scheduler = new Scheduler(engine);
    this.#options = options;
  }

  get state(): BatcherState {
    const { waiting, running, pages } = this.#scheduler.load;
    return { waiting, running, pagesUsed: pages, pages: this.#engine.settings.cache.pages, status: this.#status };
  }

  /** Starts sequences. Who no longer wants them aborts the signal, or stops reading. @throws ApiError where they are turned away */
  submit(sequences: readonly Sequence[], signal: AbortSignal): Job {
    this.#requireRoom(sequences.length);
    const job = new Job(sequences, {
      signal,
      seconds: this.#options.requestTimeout,
      onLeave: (left) => {
        for (const sequence of left) this.#scheduler.cancel(sequence);
      },
    });
    for (const sequence of sequences) {
      this.#jobs.set(sequence, job);
      this.#scheduler.add(sequence);
    }
    if (!this.#isRunning) void this.#run();
    return job;
  }

  #requireRoom(count: number): void {
    if (this.#status === 'failed') throw tryLater(503, 'the server has failed and is ending', DRAINING_RETRY_SECONDS);
    if (this.#status === 'draining') throw tryLater(503, 'the server is ending', DRAINING_RETRY_SECONDS);
    const most = (this.#engine.settings.batchSizes.at(-1) as number) + this.#options.maxQueue;
    if (count > most) throw badRequest(`the request asks for ${count} choices; this server takes ${most} at once`, 'n');
    if (this.#jobs.size + count > most)
      throw tryLater(
        429,
        `${this.#jobs.size} sequences are under way or wait, and no more than ${most} may`,
        RETRY_SECONDS,
      );
  }

  /** Takes no more requests, and waits for those there are; after some seconds it ends them. */
  async drain(seconds: number): Promise<void> {
    if (this.#status === 'ready') this.#status = 'draining';
    const timer = setTimeout(
      () => this.#failAll(tryLater(503, 'the server has ended', DRAINING_RETRY_SECONDS)),
      seconds * 1000,
    );
    while (this.#isRunning) await new Promise<void>((resolve) => this.#idle.push(resolve));
    clearTimeout(timer);
  }

  async #run(): Promise<void> {
    this.#isRunning = true;
    try {
      while (!this.#scheduler.isIdle) await this.#step();
    } catch (error) {
      this.#status = 'failed';
      this.#failAll(new ApiError(500, 'the server failed; its log says why', { code: 'internal_error' }));
      this.#options.onFailure(error);
    } finally {
      this.#isRunning = false;
      for (const resolve of this.#idle.splice(0)) resolve();
    }
  }

  async #step(): Promise<void> {
    try {
      for await (const event of this.#scheduler.step()) this.#deliver(event);
      this.#tellFlags();
    } catch (error) {
      if (!(error instanceof UnfitLogits)) throw error;
      const sequence = error.request as Sequence;
      this.#jobs.get(sequence)?.fail(new ApiError(500, error.message, { code: 'model_error' }));
      this.#jobs.delete(sequence);
    }
  }

  #tellFlags(): void {
    for (const text of flagMessages(this.#engine.takeFlags())) {
      if (this.#told.has(text)) continue;
      this.#told.add(text);
      this.#options.onFlags(`${text}: set compute_dtype float32`);
    }
  }

  #deliver(event: GenerationEvent<Sequence>): void {
    const job = this.#jobs.get(event.request);
    if (event.type === 'end') this.#jobs.delete(event.request);
    job?.push(event);
  }

  #failAll(error: ApiError): void {
    for (const job of new Set(this.#jobs.values())) job.fail(error);
  }
}
