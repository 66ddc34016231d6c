/** What the scripts of this folder share: arguments, the Python side, and the file of figures. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, release, tmpdir, type } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const HERE = fileURLToPath(new URL('.', import.meta.url));

/** --python PROGRAM (with torch, transformers and bitsandbytes), --scratch DIR (kept), --out FOLDER of the figures. */
export function options() {
  const { values } = parseArgs({
    options: {
      python: { type: 'string', default: 'python3' },
      scratch: { type: 'string' },
      out: { type: 'string', default: path.join(HERE, '../../results/fidelity') },
    },
  });
  return values;
}

/** Runs `work` with a scratch folder that is gone afterwards, unless --scratch names one. */
export async function withScratch({ scratch }, work) {
  const folder = scratch ?? mkdtempSync(path.join(tmpdir(), 'nibble-fidelity-'));
  mkdirSync(folder, { recursive: true });
  try {
    return await work(folder);
  } finally {
    if (scratch === undefined) rmSync(folder, { recursive: true });
  }
}

/** Runs a script of this folder and returns what it prints. */
export function python({ python: program }, script, ...args) {
  const stdio = ['ignore', 'pipe', 'inherit'];
  return execFileSync(program, [path.join(HERE, script), ...args], { encoding: 'utf8', stdio, maxBuffer: 2 ** 28 });
}

/** The largest difference over the largest value; NaN, which misses every bound, when any element is or the lengths differ. */
export function relativeError(got, want) {
  if (got.length !== want.length) return Number.NaN;
  let [worst, largest] = [0, 0];
  for (let i = 0; i < want.length; i++) {
    worst = Math.max(worst, Math.abs(got[i] - want[i])); // Math.max keeps a NaN
    largest = Math.max(largest, Math.abs(want[i]));
  }
  return worst / largest;
}

/** Prints the figures and writes FOLDER/NAME.json. Exit code 1 when one is past its bound. */
export function record({ out }, name, { row, title, adapter, versions, figures }) {
  const { version: webgpu } = JSON.parse(
    readFileSync(path.join(HERE, '../../node_modules/webgpu/package.json'), 'utf8'),
  );
  const environment = {
    os: `${type()} ${release()}`,
    cpu: cpus()[0]?.model ?? 'unknown',
    node: process.versions.node,
    ...(adapter === undefined ? {} : { webgpu, adapter }),
    ...versions,
  };
  const measured = new Date().toISOString().slice(0, 10);
  const command = `npm run build && node bench/fidelity/${name}.mjs --python PYTHON`;
  mkdirSync(out, { recursive: true });
  const file = path.join(out, `${name}.json`);
  writeFileSync(file, `${JSON.stringify({ row, title, command, measured, environment, figures }, null, 2)}\n`);
  for (const { what, reached, bound, unit } of figures)
    console.log(
      `${bound === null || reached <= bound ? '  ' : '! '}${what}: ${reached} ${unit}${bound === null ? '' : ` (bound ${bound})`}`,
    );
  process.exitCode = figures.every(({ reached, bound }) => bound === null || reached <= bound) ? 0 : 1;
}
