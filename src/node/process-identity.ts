/** Which process this is among all that may see the same disk, and whether another one still runs. */
import { execFile } from 'node:child_process';
import { readFileSync, readlinkSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import os from 'node:os';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Where process numbers mean the same: one start of one machine and, in Linux, one namespace of processes. */
export function processSpace(): string {
  const boot = textOr(() => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim());
  const namespace = textOr(() => readlinkSync('/proc/self/ns/pid'));
  return [os.hostname(), boot, namespace].filter(Boolean).join(' ');
}

function textOr(read: () => string): string {
  try {
    return read();
  } catch {
    return '';
  }
}

/** When a process of this machine started, in the system's own words; null where none runs or the system does not say. */
export async function startOf(pid: number): Promise<string | null> {
  if (process.platform === 'linux') return startInProc(pid);
  if (process.platform === 'win32') return null;
  return run('ps', ['-o', 'lstart=', '-p', String(pid)]).then(
    ({ stdout }) => stdout.trim() || null,
    () => null,
  );
}

/** proc(5): the name in parentheses may hold anything; state is the first field behind it, the start in ticks the 20th. */
async function startInProc(pid: number): Promise<string | null> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => null);
  if (text === null) return null;
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const hasEnded = fields[0] === 'Z' || fields[0] === 'X';
  return hasEnded ? null : (fields[19] ?? null);
}

/** Whether a process of this number runs, be it another one than before. */
export function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
