/**
 * Builds build/*.wasm and dist/ unless nothing they are made from has changed: `node scripts/build.mjs [--force]`.
 * npm runs it after `npm ci` (prepare), and before the tests and the benchmark.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../', import.meta.url));
const at = (/** @type {string[]} */ ...names) => path.join(root, ...names);

/**
 * @typedef {object} Part what is made together
 * @property {readonly string[]} sources files and folders that it is made of
 * @property {readonly string[]} products files that are there once it is made
 * @property {readonly string[]} cleared folders that are emptied first
 * @property {readonly string[]} steps scripts of package.json that make it
 * @property {string} stamp file with the hash of the sources it was made of
 */

const COMMAND = 'dist/cli/main.js';
const TOOLS = ['typescript', 'assemblyscript'];
/** @type {readonly Part[]} */
const PARTS = [
  {
    sources: ['assembly', 'asconfig.json', 'package-lock.json'],
    products: ['build/nibble.wasm', 'build/nibble.debug.wasm'],
    cleared: [],
    steps: ['build:wasm'],
    stamp: at('build', 'wasm-built-from.sha256'),
  },
  {
    sources: [
      ...['src', 'assembly', 'shaders', 'scripts/build-assets.mjs', 'asconfig.json'],
      ...['tsconfig.json', 'tsconfig.build.json', 'package-lock.json'],
    ],
    products: [COMMAND, 'dist/bench/worker.js', 'dist/index.js', 'dist/core.js', 'dist/shaders.js'],
    // what was made of sources that are gone would be packed with the rest
    cleared: ['dist'],
    steps: ['build:ts', 'build:assets'],
    stamp: at('build', 'built-from.sha256'),
  },
];

/** @param {string} name */
function filesOf(name) {
  if (!statSync(at(name)).isDirectory()) return [name];
  return readdirSync(at(name), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.relative(root, path.join(entry.parentPath, entry.name)));
}

/**
 * A hash of the paths and contents of all that a part is made of.
 * @param {Part} part
 */
function hashOf({ sources, steps }) {
  const hash = createHash('sha256').update(`${process.version} ${steps}\n`);
  for (const file of sources.flatMap(filesOf).sort()) {
    const content = readFileSync(at(file));
    hash.update(`${file} ${content.length}\n`).update(content);
  }
  return hash.digest('hex');
}

/** @param {Part} part */
function make(part) {
  const { products, cleared, steps, stamp } = part;
  const hash = hashOf(part);
  const isMade = products.every((file) => existsSync(at(file))) && existsSync(stamp);
  if (isMade && readFileSync(stamp, 'utf8') === hash && !process.argv.includes('--force')) return;
  rmSync(stamp, { force: true });
  for (const folder of cleared) rmSync(at(folder), { recursive: true, force: true });
  for (const step of steps) {
    const { status } = spawnSync('npm', ['run', '--silent', step], {
      cwd: root,
      stdio: 'inherit',
      shell: process.platform === 'win32',
    });
    if (status !== 0) process.exit(status ?? 1);
  }
  mkdirSync(path.dirname(stamp), { recursive: true });
  writeFileSync(stamp, hash);
}

const missing = TOOLS.filter((tool) => !existsSync(at('node_modules', tool)));
if (missing.length > 0) {
  console.error(`nibble: not built, ${missing.join(' and ')} are not installed; npm ci without --omit=dev brings them`);
  // An install that leaves the tools out is no mistake.
  process.exit(process.env.npm_lifecycle_event === 'prepare' ? 0 : 1);
}

for (const part of PARTS) make(part);
// npm does this when it links the command, and npx links it once for a folder, however often dist/ is made anew.
chmodSync(at(COMMAND), 0o755);
