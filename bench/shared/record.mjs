/** Writes what was measured, with what it was measured on, as the JSON file that pages are made of. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, release, type } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('../../', import.meta.url));

/**
 * @param {string} [folder] a checkout, or a copy that bench/gpu-host/pack.mjs made of one
 * @param {string[]} flags further ones of git describe, such as --dirty
 * @returns {string} its commit, short; `unknown` where there is neither git nor a note of it
 */
export function commitOf(folder = ROOT, ...flags) {
  const note = path.join(folder, 'packed.json');
  if (existsSync(note)) return JSON.parse(readFileSync(note, 'utf8')).commit ?? 'unknown';
  if (!existsSync(path.join(folder, '.git'))) return 'unknown';
  const git = ['-C', folder, 'describe', '--always', '--exclude=*', ...flags];
  return execFileSync('git', git, { encoding: 'utf8' }).trim();
}

/** @returns {string} version of npm's `webgpu`, which brings Dawn */
export function webgpuVersion() {
  return JSON.parse(readFileSync(path.join(ROOT, 'node_modules/webgpu/package.json'), 'utf8')).version;
}

/**
 * @typedef {object} Measurement
 * @property {number} row of the page that it belongs to
 * @property {string} title
 * @property {string} command makes it again
 * @property {string} [adapter] driver that kernels ran on; absent where none did
 * @property {import('./clock.mjs').LoadWatch} [load]
 * @property {Readonly<Record<string, string | number>>} [versions] further entries of the environment
 * @property {readonly import('./records.mjs').Figure[]} figures
 * @property {string} [remark] Markdown below its table
 * @property {readonly import('./records.mjs').Curve[]} [curves]
 */

/**
 * @param {string} file folders on the way to it are made
 * @param {Measurement} measurement
 */
export function writeRecord(file, { row, title, command, adapter, load, versions = {}, figures, ...rest }) {
  const environment = {
    commit: commitOf(),
    os: `${type()} ${release()}`,
    cpu: cpus()[0]?.model ?? 'unknown',
    ...(load === undefined ? {} : { 'load average': String(load) }),
    node: process.versions.node,
    ...(adapter === undefined ? {} : { webgpu: webgpuVersion(), adapter }),
    ...versions,
  };
  const measured = new Date().toISOString().slice(0, 10);
  mkdirSync(path.dirname(path.resolve(file)), { recursive: true });
  writeFileSync(file, `${JSON.stringify({ row, title, command, measured, environment, figures, ...rest }, null, 2)}\n`);
}
