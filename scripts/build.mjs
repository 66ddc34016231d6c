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

const SOURCES = [
  'src',
  'assembly',
  'shaders',
  'scripts/build-assets.mjs',
  'asconfig.json',
  'tsconfig.json',
  'tsconfig.build.json',
  'package-lock.json',
];
const COMMAND = 'dist/cli/main.js';
const PRODUCTS = [
  COMMAND,
  'dist/bench/worker.js',
  'dist/index.js',
  'dist/core.js',
  'dist/shaders.js',
  'build/nibble.wasm',
  'build/nibble.debug.wasm',
];
const TOOLS = ['typescript', 'assemblyscript'];
const STAMP = at('build', 'built-from.sha256');
const STEPS = ['build:wasm', 'build:ts', 'build:assets'];

/** @param {string} name */
function filesOf(name) {
  if (!statSync(at(name)).isDirectory()) return [name];
  return readdirSync(at(name), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.relative(root, path.join(entry.parentPath, entry.name)));
}

/** A hash of the paths and contents of all that the build reads. */
function hashOfSources() {
  const hash = createHash('sha256').update(`${process.version} ${STEPS}\n`);
  for (const file of SOURCES.flatMap(filesOf).sort()) {
    const content = readFileSync(at(file));
    hash.update(`${file} ${content.length}\n`).update(content);
  }
  return hash.digest('hex');
}

const missing = TOOLS.filter((tool) => !existsSync(at('node_modules', tool)));
if (missing.length > 0) {
  console.error(`nibble: not built, ${missing.join(' and ')} are not installed; npm ci without --omit=dev brings them`);
  // An install that leaves the tools out is no mistake.
  process.exit(process.env.npm_lifecycle_event === 'prepare' ? 0 : 1);
}

const hash = hashOfSources();
const isBuilt =
  PRODUCTS.every((file) => existsSync(at(file))) && existsSync(STAMP) && readFileSync(STAMP, 'utf8') === hash;
if (!isBuilt || process.argv.includes('--force')) {
  rmSync(STAMP, { force: true });
  // what was made of sources that are gone would be packed with the rest
  rmSync(at('dist'), { recursive: true, force: true });
  for (const step of STEPS) {
    const { status } = spawnSync('npm', ['run', '--silent', step], {
      cwd: root,
      stdio: 'inherit',
      shell: process.platform === 'win32',
    });
    if (status !== 0) process.exit(status ?? 1);
  }
  mkdirSync(path.dirname(STAMP), { recursive: true });
  writeFileSync(STAMP, hash);
}
// npm does this when it links the command, and npx links it once for a folder, however often dist/ is made anew.
chmodSync(at(COMMAND), 0o755);
