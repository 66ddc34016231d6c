/** Runs a script in a process of its own and reports its messages and how it ended. */
import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';

type ChildOptions<Message> = {
  readonly args?: readonly string[];
  /** Whole environment of the child; by default this process's own. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Message that the child gets at once. */
  readonly job?: object;
  /** Milliseconds after which SIGKILL ends the child. */
  readonly timeoutMs?: number;
  /** Whether its output is kept back, with stderr in the result, or printed along with this process's own. */
  readonly output: 'collected' | 'inherited';
  /** Has SIGTERM sent to the child. */
  readonly signal?: AbortSignal;
  /** Called with each message before the last one. */
  readonly onMessage?: (message: Message) => void;
  /** Says which message is the last; by default the first is. */
  readonly isLast?: (message: Message) => boolean;
};

export type ChildEnd<Message> = {
  /** The last message; null where the child ended without one, and `code` or `signal` tell how. */
  readonly message: Message | null;
  readonly stderr: string;
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
};

/**
 * Runs `script` until its last message, then kills it: it has nothing left to do, and webgpu 0.6.2 was seen to hang
 * while a process took its device down.
 * @throws the error of a process that cannot be started
 */
export function runScript<Message>(script: URL | string, options: ChildOptions<Message>): Promise<ChildEnd<Message>> {
  const { args = [], env, job, timeoutMs, output, signal, onMessage, isLast = () => true } = options;
  const collected = output === 'collected';
  const child = fork(typeof script === 'string' ? script : fileURLToPath(script), args, {
    stdio: collected ? ['ignore', 'ignore', 'pipe', 'ipc'] : ['ignore', 'inherit', 'inherit', 'ipc'],
    ...(env !== undefined && { env: { ...env } }),
    ...(timeoutMs !== undefined && { timeout: timeoutMs, killSignal: 'SIGKILL' }),
    // flags of this process are meant for its own script
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
