/** Requests to the hub: made again where it is busy, silent or gone, and what its refusals mean. */
import { setTimeout as pause } from 'node:timers/promises';
import type { HubAccess } from './hub-access.ts';

/** Tries in a row without any progress. */
const TRIES = 4;
const TOO_MANY = 429;
const TIMED_OUT = 408;
const LONGEST_WAIT_MS = 60_000;

/** The hub said no: asking again would change nothing. */
export class HubRefusal extends Error {
  readonly status: number;
  /** The hub's own code, such as GatedRepo or RevisionNotFound; empty where it has none. */
  readonly code: string;

  constructor(response: Response) {
    super(`${response.url.replace(/\?.*/, '')}: HTTP ${response.status}`);
    this.status = response.status;
    this.code = response.headers.get('x-error-code') ?? '';
  }
}

/** The hub could not be asked, or stopped answering; the message ends a sentence about it. */
export class HubUnreachable extends Error {}

/** It may answer if it is asked again. */
class Transient extends Error {
  readonly waitMs: number | null;
  constructor(message: string, waitMs: number | null = null, options?: ErrorOptions) {
    super(message, options);
    this.waitMs = waitMs;
  }
}

/** What one try is given: where it tells that bytes came, which starts both counts again. */
export type Attempt = { readonly signal: AbortSignal; heard(progressed: boolean): void };

/**
 * Does `work` until it succeeds, at most TRIES times without progress.
 * @throws HubRefusal, HubUnreachable; the signal's reason; whatever else `work` throws that is no failure of the network
 */
export async function withTries<T>(
  access: HubAccess,
  what: string,
  work: (attempt: Attempt) => Promise<T>,
): Promise<T> {
  const { signal, timeoutMs, pauseMs, endpoint, onEvent } = access;
  let failures = 0;
  for (;;) {
    signal.throwIfAborted();
    const silence = new AbortController();
    const stop = (): void => silence.abort(signal.reason);
    signal.addEventListener('abort', stop, { once: true });
    const isSilent = (): void => silence.abort(new Transient(`was silent for ${timeoutMs / 1000} s`));
    let timer = setTimeout(isSilent, timeoutMs);
    const heard = (progressed: boolean): void => {
      clearTimeout(timer);
      timer = setTimeout(isSilent, timeoutMs);
      if (progressed) failures = 0;
    };
    try {
      return await work({ signal: silence.signal, heard });
    } catch (error) {
      signal.throwIfAborted();
      const failure = transientOf(silence.signal.aborted ? silence.signal.reason : error);
      if (failure === null) throw error;
      failures++;
      if (failures >= TRIES)
        throw new HubUnreachable(`${endpoint} ${failure.message} (${what}, tried ${TRIES} times)`, { cause: error });
      const waitMs = failure.waitMs ?? pauseMs * 2 ** (failures - 1);
      const next = `trying again in ${(waitMs / 1000).toFixed(waitMs < 1000 ? 1 : 0)} s (${failures + 1} of ${TRIES})`;
      onEvent({ type: 'note', text: `${endpoint} ${failure.message}: ${what}, ${next}` });
      await pause(waitMs, undefined, { signal }).catch(() => signal.throwIfAborted());
    } finally {
      clearTimeout(timer);
      signal.removeEventListener('abort', stop);
    }
  }
}

/** As fetch, for one try. The token goes to the hub alone: fetch drops it where a redirect leaves its host. */
export async function request(
  { endpoint, token }: HubAccess,
  url: string,
  { signal, heard }: Attempt,
  headers: Readonly<Record<string, string>> = {},
): Promise<Response> {
  const isHub = new URL(url).origin === new URL(endpoint).origin;
  const authorization: Record<string, string> = token !== null && isHub ? { authorization: `Bearer ${token}` } : {};
  const response = await fetch(url, { headers: { ...headers, ...authorization }, signal });
  heard(false);
  if (response.ok || response.status === 416) return response;
  await response.body?.cancel();
  const { status } = response;
  if (status >= 500 || status === TOO_MANY || status === TIMED_OUT)
    throw new Transient(`answers ${status}`, retryAfter(response));
  throw new HubRefusal(response);
}

function retryAfter(response: Response): number | null {
  const seconds = Number(response.headers.get('retry-after') ?? Number.NaN);
  return Number.isFinite(seconds) ? Math.min(1000 * seconds, LONGEST_WAIT_MS) : null;
}

/** For a body that ended before its time. */
export const cutOff = (): Error => new Transient('closed the connection');

/** Failures of the network: fetch throws a TypeError with the system's error, or undici's, as its cause. */
function transientOf(error: unknown): Transient | null {
  if (error instanceof Transient) return error;
  if (!(error instanceof TypeError) || !(error.cause instanceof Error)) return null;
  const { code = '', message } = error.cause as NodeJS.ErrnoException;
  return new Transient(IN_WORDS[code] ?? `cannot be reached (${code || message})`);
}

const IN_WORDS: Readonly<Record<string, string>> = {
  ENOTFOUND: 'cannot be reached: no such host (ENOTFOUND)',
  EAI_AGAIN: 'cannot be reached: its name cannot be looked up (EAI_AGAIN)',
  ECONNREFUSED: 'cannot be reached: it refuses connections (ECONNREFUSED)',
  ECONNRESET: 'closed the connection',
  UND_ERR_SOCKET: 'closed the connection',
  UND_ERR_CONNECT_TIMEOUT: 'cannot be reached: no answer in time',
};
