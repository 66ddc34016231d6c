/** A script in a process of its own: what it is given, what it says, and how it ended. */
import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';

export type ChildOptions<Message> = {
  readonly args?: readonly string[];
  /** Its whole environment; this process's own where it is left out. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Sent to it at once, as a message. */
  readonly job?: object;
  /** Ended by SIGKILL after this. */
  readonly timeoutMs?: number;
  /** What it prints: kept back, with stderr in the result, or printed with what this process prints. */
  readonly output: 'collected' | 'inherited';
  /** Sends it SIGTERM. */
  readonly signal?: AbortSignal;
  /** Sees its messages up to the last one, which is the first that `isLast` says so of; left out, the first. */
  readonly onMessage?: (message: Message) => void;
  readonly isLast?: (message: Message) => boolean;
};

export type ChildEnd<Message> = {
  /** Null where it ended without a last message; then `code` or `signal` tell how. */
  readonly message: Message | null;
  readonly stderr: string;
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
};

/**
 * Runs `script` until its last message, then ends it: nothing of it is needed any more, and webgpu 0.6.2 was seen to hang
 * while a process took its device down.
 */
export function runScript<Message>(script: URL | string, options: ChildOptions<Message>): Promise<ChildEnd<Message>> {
  const { args = [], env, job, timeoutMs, output, signal, onMessage, isLast = () => true } = options;
  const collected = output === 'collected';
  const child = fork(typeof script === 'string' ? script : fileURLToPath(script), args, {
    stdio: collected ? ['ignore', 'ignore', 'pipe', 'ipc'] : ['ignore', 'inherit', 'inherit', 'ipc'],
    ...(env !== undefined && { env: { ...env } }),
    ...(timeoutMs !== undefined && { timeout: timeoutMs, killSignal: 'SIGKILL' }),
    // flags of this process are for its own script
    ...(collected && { execArgv: [] }),
  });
  const stop = (): void => {
    child.kill('SIGTERM');
  };
  signal?.addEventListener('abort', stop, { once: true });
  let stderr = '';
  let last: Message | null = null;
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  child.on('message', (message: Message) => {
    if (!isLast(message)) return onMessage?.(message);
    last ??= message;
    child.kill('SIGKILL');
  });
  if (job !== undefined) child.send(job);
  const ended = new Promise<ChildEnd<Message>>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, how) => resolve({ message: last, stderr, code, signal: how }));
  });
  return ended.finally(() => signal?.removeEventListener('abort', stop));
}
