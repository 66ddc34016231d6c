/** Real signals to real processes: the first ends the work, the second ends the process, however busy it is. */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';
import ts from 'typescript';
import { describe, expect, test, vi } from 'vitest';
import { abortOnSignals } from '../../src/cli/shared/signals.ts';

const SOURCE = readFileSync(new URL('../../src/cli/shared/signals.ts', import.meta.url), 'utf8');
const { outputText } = ts.transpileModule(SOURCE, {
  compilerOptions: { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext },
});

/**
 * Starts a process that reports its AbortSignal and never ends by itself, since its cleanup hangs as a driver's can.
 */
function busyProcess() {
  const script = `${outputText}
    const { signal } = abortOnSignals(process);
    signal.addEventListener('abort', () => console.log(signal.reason.message, signal.reason.exitCode));
    process.on('exit', () => { for (;;); });
    setInterval(() => undefined, 1000);
    console.log('ready');`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script]);
  let said = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  const ended = new Promise<NodeJS.Signals | number | null>((resolve) =>
    child.once('close', (code, signal) => resolve(signal ?? code)),
  );
  const says = async (text: string) => {
    for (let i = 0; i < 200 && !said.includes(text); i++) await wait(50);
    expect(said).toContain(text);
  };
  return { child, ended, says };
}

/** Longer than the time in which signals.ts takes two signals for one. */
const LATER_MS = 600;

describe.each([
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const)('%s', (name, exitCode) => {
  test('once aborts, twice ends the process at once', async () => {
    const { child, ended, says } = busyProcess();
    await says('ready');
    child.kill(name);
    await says(`stopped by ${name} ${exitCode}`);
    await wait(LATER_MS);
    expect(child.exitCode ?? child.signalCode).toBe(null);
    child.kill(name);
    expect(await ended).toBe(name);
  });
});

test('a Ctrl-C that npx passes on a second time is one; later nobody listens', () => {
  vi.useFakeTimers();
  try {
    const listeners = new Map<string, () => void>();
    const { signal } = abortOnSignals({
      on: (event, listener) => listeners.set(event, listener),
      off: (event) => listeners.delete(event),
    });
    const aborted = vi.fn();
    signal.addEventListener('abort', aborted);
    listeners.get('SIGINT')?.();
    vi.advanceTimersByTime(100);
    listeners.get('SIGINT')?.();
    expect(aborted).toHaveBeenCalledTimes(1);
    expect([...listeners.keys()]).toEqual(['SIGINT', 'SIGTERM']);
    vi.advanceTimersByTime(200);
    expect(listeners.size).toBe(0);
  } finally {
    vi.useRealTimers();
  }
});
