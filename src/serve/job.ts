/** The events of one request's sequences, from the batch to its client. */
import type { GenerationEvent } from '../generate/request.ts';
import { ApiError } from './errors.ts';
import type { Sequence } from './sequences.ts';

export type SequenceEvent = GenerationEvent<Sequence>;

export type JobOptions = {
  readonly signal: AbortSignal;
  /** After these the job fails. */
  readonly seconds: number;
  /** Told of the sequences that nobody wants any more. */
  readonly onLeave: (sequences: readonly Sequence[]) => void;
};

/** Ends with the last sequence, with a failure, or when its reader leaves. */
export class Job implements AsyncIterable<SequenceEvent> {
  readonly #open: Set<Sequence>;
  readonly #options: JobOptions;
  readonly #timer: ReturnType<typeof setTimeout>;
  readonly #onAbort = (): void => this.leave();
  #events: SequenceEvent[] = [];
  #error: ApiError | null = null;
  #wake: (() => void) | null = null;

  constructor(sequences: readonly Sequence[], options: JobOptions) {
    this.#open = new Set(sequences);
    this.#options = options;
    this.#timer = setTimeout(() => this.fail(tooSlow(options.seconds)), options.seconds * 1000);
    options.signal.addEventListener('abort', this.#onAbort);
    if (options.signal.aborted) queueMicrotask(this.#onAbort);
  }

  push(event: SequenceEvent): void {
    if (this.#error !== null) return;
    this.#events.push(event);
    if (event.type === 'end') this.#open.delete(event.request);
    if (this.#open.size === 0) this.#settle();
    this.#wake?.();
  }

  /** Ends the job for its reader; what is left of it is cancelled. */
  fail(error: ApiError): void {
    if (this.#error !== null || this.#open.size === 0) return;
    this.#error = error;
    this.#leave();
    this.#wake?.();
  }

  /** Ends the job for a client that is gone. */
  leave(): void {
    this.fail(new ApiError(499, 'the client is gone'));
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<SequenceEvent, void> {
    try {
      for (;;) {
        for (const event of this.#events.splice(0)) yield event;
        if (this.#events.length > 0) continue;
        if (this.#error !== null) throw this.#error;
        if (this.#open.size === 0) return;
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    } finally {
      this.#leave();
    }
  }

  #leave(): void {
    const left = [...this.#open];
    this.#settle();
    if (left.length > 0) this.#options.onLeave(left);
    this.#open.clear();
  }

  #settle(): void {
    clearTimeout(this.#timer);
    this.#options.signal.removeEventListener('abort', this.#onAbort);
  }
}

function tooSlow(seconds: number): ApiError {
  return new ApiError(504, `the request was not done after ${seconds} s`, {
    code: 'timeout',
    // it would take as long again
    headers: { 'x-should-retry': 'false' },
  });
}
