/** Runs `nibble train` in the test's process, on directories of its own. */
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll } from 'vitest';
import { configCommand } from '../../src/cli/config/command.ts';
import { trainCommand } from '../../src/cli/train/command.ts';
import { runTrain } from '../../src/cli/train/run.ts';
import { nibble, type Outcome } from '../cli/fakes.ts';

export const GOLDEN = new URL('../golden/', import.meta.url).pathname;

const root = mkdtempSync(path.join(tmpdir(), 'nibble-e2e-'));
afterAll(() => rmSync(root, { recursive: true }));

let made = 0;
/** Makes a new directory with these files; `from` is copied into it first. */
export function directory(files: Readonly<Record<string, string | Uint8Array>> = {}, from?: string): string {
  const at = path.join(root, String(made++));
  mkdirSync(at);
  if (from !== undefined) cpSync(from, at, { recursive: true });
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(path.dirname(path.join(at, name)), { recursive: true });
    writeFileSync(path.join(at, name), content);
  }
  return at;
}

/** Runs `nibble train ARGS` on the device that the tests run on. */
export function nibbleTrain(...args: readonly string[]): Promise<Outcome> {
  const env = { NIBBLE_DEVICE: process.env.NIBBLE_TEST_DEVICE ?? 'auto', NO_COLOR: '1' };
  return nibble(['train', ...args], [(context) => trainCommand(context, runTrain), configCommand], { env });
}

/** Reads every file below a directory into one comparable value. */
export function contentOf(at: string): Record<string, string> {
  const entries = readdirSync(at, { recursive: true, withFileTypes: true });
  const files = entries.filter((e) => e.isFile()).map((e) => path.relative(at, path.join(e.parentPath, e.name)));
  return Object.fromEntries(files.sort().map((f) => [f, readFileSync(path.join(at, f)).toString('base64')]));
}

export type LogRow = Readonly<Record<string, number>>;

export function trainerState(output: string): { global_step: number; log_history: LogRow[] } {
  return JSON.parse(readFileSync(path.join(output, 'trainer_state.json'), 'utf8'));
}
