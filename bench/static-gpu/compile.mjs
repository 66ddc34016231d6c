/** Compiles the pipelines of the planned steps on null GPUs, each chip in a process of its own. */
import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { DeviceError } from './from-nibble.mjs';

/** @import { Compiled } from './types.d.ts' */

const WORKER = fileURLToPath(new URL('worker.mjs', import.meta.url));
/** A line of progress at most this often. */
const TELL_EVERY_MS = 5_000;

/**
 * @param {{ on: string, chip: string, folder: string, job: import('./worker.mjs').Job, tell: (line: string) => void }} options
 *   `on`: starts a program on a chip. `folder`: where the compiler's output goes
 * @returns {Promise<Compiled>}
 * @throws DeviceError where the null GPU does not do its work
 */
export async function compileOn({ on, chip, folder, job, tell }) {
  mkdirSync(folder, { recursive: true });
  const file = path.join(folder, 'job.json');
  writeFileSync(file, JSON.stringify(job));
  const started = performance.now();
  let told = started;
  const seconds = () => `${Math.round((performance.now() - started) / 1e3)} s`;
  await new Promise((resolve, reject) => {
    const child = spawn(on, [chip, process.execPath, WORKER, file], {
      env: { ...process.env, STATISTICS_FOLDER: folder },
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    });
    let said = '';
    child.stderr?.on('data', (chunk) => {
      said += chunk;
    });
    child.on('message', (/** @type {{ done?: number, of?: number, notice?: string }} */ { done, of, notice }) => {
      if (notice !== undefined) tell(`${chip}: ${notice}`);
      if (done === undefined || (performance.now() - told < TELL_EVERY_MS && done !== of)) return;
      told = performance.now();
      tell(`${chip}: ${done} of ${of} pipelines compiled (${seconds()})`);
    });
    child.on('error', (error) =>
      reject(new DeviceError(`${chip}: the null GPU could not be started: ${error.message}`)),
    );
    child.on('close', (code, signal) => {
      if (code === 0) resolve(undefined);
      else reject(new DeviceError(`${chip}: compiling ended with ${signal ?? code}: ${lastWords(said)}`));
    });
  });
  return JSON.parse(readFileSync(path.join(folder, 'compiled.json'), 'utf8'));
}

/** What a failed process said last; drivers warn at length before. @param {string} said */
function lastWords(said) {
  const lines = said.split('\n').filter((line) => line.trim() !== '' && !/^(warning|unknown drm)/i.test(line));
  return (
    lines.slice(-12).join('\n') ||
    'it said nothing. Does /tmp have room, and is the installation whole? Remove its folder to unpack it again.'
  );
}
