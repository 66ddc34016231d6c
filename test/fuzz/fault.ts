/** Runs one input and says whether the reader behaved: it took it, refused it in words of ours, or is at fault. */
import { ConfigError, DataError, DeviceError } from '../../src/errors.ts';
import type { Reader } from './reader.ts';

export type Verdict = { readonly kind: 'accepted' | 'refused' } | { readonly kind: 'fault'; readonly what: string };

const MOST_MS = 10_000;
const MOST_BYTES = 2 ** 30;
/** A message is read by a person: 20 problems, each a few lines. */
const MOST_CHARACTERS = 20_000;

export async function judge(reader: Reader, input: unknown): Promise<Verdict> {
  const started = performance.now();
  const memory = peakBytes();
  let refused = true;
  let fault: string | null = null;
  try {
    await reader.read(input);
    refused = false;
  } catch (error) {
    fault = faultOf(error);
  }
  const ms = performance.now() - started;
  if (ms > MOST_MS) fault = `took ${Math.round(ms)} ms`;
  if (peakBytes() - memory > MOST_BYTES) fault = `took ${peakBytes() - memory} bytes more than before`;
  if (fault !== null) return { kind: 'fault', what: fault };
  return { kind: refused ? 'refused' : 'accepted' };
}

/** The most that the process ever held. */
const peakBytes = (): number => process.resourceUsage().maxRSS * 1024;

function faultOf(error: unknown): string | null {
  const isOurs = error instanceof ConfigError || error instanceof DataError || error instanceof DeviceError;
  if (!isOurs) return error instanceof Error ? (error.stack ?? error.message) : `threw ${String(error)}`;
  if (error.message.length > MOST_CHARACTERS) return `a message of ${error.message.length} characters: ${error.name}`;
  if (/[^\n\P{Cc}]/u.test(error.message)) return `a message with control characters: ${JSON.stringify(error.message)}`;
  return /\bundefined\b|\[object Object\]/.test(error.message) && !error.message.includes('got undefined')
    ? `a message with a hole: ${error.message}`
    : null;
}
