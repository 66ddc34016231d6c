/** What the scripts of this folder share: medians, and the record that `npm run performance` makes its page of. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, release, type } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

export function median(values) {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** The commit of a checkout, short. */
export function commitOf(folder) {
  return execFileSync('git', ['-C', folder, 'rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim();
}

/** The median of what the load was at each call: other work on the machine, and this measurement's own. */
export class LoadWatch {
  #seen = [loadavg()[0]];
  look() {
    this.#seen.push(loadavg()[0]);
  }
  toString() {
    return `${median(this.#seen).toFixed(1)} on ${cpus().length} cores`;
  }
}

/**
 * Writes a record: its row of the Must-show list, title, command, further entries of the environment, figures
 * `{what, reached, bound, unit, least?, note?}`; with `least` a figure has to be at least its bound, otherwise at most.
 */
export function writeRecord(file, { row, title, command, adapter, load, versions = {}, figures, ...rest }) {
  const webgpu = JSON.parse(readFileSync(path.join(ROOT, 'node_modules/webgpu/package.json'), 'utf8')).version;
  const environment = {
    commit: commitOf(ROOT),
    os: `${type()} ${release()}`,
    cpu: cpus()[0]?.model ?? 'unknown',
    'load average': String(load),
    node: process.versions.node,
    ...(adapter === undefined ? {} : { webgpu, adapter }),
    ...versions,
  };
  const measured = new Date().toISOString().slice(0, 10);
  mkdirSync(path.dirname(path.resolve(file)), { recursive: true });
  writeFileSync(file, `${JSON.stringify({ row, title, command, measured, environment, figures, ...rest }, null, 2)}\n`);
}
