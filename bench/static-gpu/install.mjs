/** Unpacks the null GPUs once, and again where what is compiled with them has changed. */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { DeviceError } from './from-nibble.mjs';

const SCRIPT = fileURLToPath(new URL('install.sh', import.meta.url));
const PARTS = [
  'install.sh',
  'driver/statistics-layer.c',
  'driver/statistics-layer.json',
  'driver/nouveau-classes.c',
  '../../scripts/install-lavapipe-subgroup-matrix.sh',
];
const DEFAULT_FOLDER = fileURLToPath(new URL('../../build/static-gpu', import.meta.url));

/**
 * @param {string | undefined} asked
 * @param {(line: string) => void} tell
 * @returns {Promise<string>} the program that starts another one on a chip: `on CHIP PROGRAM`
 * @throws DeviceError where this machine cannot have them, with the reason
 */
export async function installed(asked, tell) {
  const folder = path.resolve(asked ?? process.env.NIBBLE_STATIC_GPU ?? DEFAULT_FOLDER);
  const version = versionOf(process.execPath);
  const stamp = path.join(folder, 'installed');
  if (!existsSync(stamp) || readFileSync(stamp, 'utf8') !== version) {
    tell(`unpacking Mesa 26.1 and its null GPUs into ${folder} (about 350 MB, once)`);
    const started = performance.now();
    rmSync(stamp, { force: true });
    mkdirSync(folder, { recursive: true });
    await run('bash', [SCRIPT, folder]);
    writeFileSync(stamp, version);
    tell(`unpacked in ${Math.round((performance.now() - started) / 1e3)} s`);
  }
  return path.join(folder, 'on');
}

/** The scripts name the Node that they were made with. @param {string} node */
function versionOf(node) {
  const hash = createHash('sha256').update(node);
  for (const part of PARTS) hash.update(readFileSync(new URL(part, import.meta.url)));
  return hash.digest('hex');
}

/** @param {string} command @param {readonly string[]} args @returns {Promise<void>} */
function run(command, args) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ['ignore', 'ignore', 'pipe'] });
    let said = '';
    child.stderr.on('data', (chunk) => {
      said += chunk;
    });
    child.on('error', (error) =>
      reject(new DeviceError(`static-gpu: ${command} could not be started: ${error.message}`)),
    );
    child.on('close', (code) =>
      code === 0 ? resolve() : reject(new DeviceError(said.trim() || `static-gpu: ${command} ended with ${code}`)),
    );
  });
}
