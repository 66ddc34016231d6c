#!/usr/bin/env node
/**
 * Packs everything that gpu-host.sh needs on a Linux x64 machine without network: nibble as built, what its tests import, the
 * packages of both, this Node, and the Vulkan loader.
 */
import { execFileSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { readArguments, refuse } from '../shared/options.mjs';
import { commitOf, ROOT } from '../shared/record.mjs';

const FOLDER = 'nibble-gpu-host';
const OWN = [
  'package.json',
  'package-lock.json',
  'tsconfig.json',
  'vitest.config.ts',
  'dist',
  'build',
  'shaders',
  'schemas',
  'src',
  'bench',
  'test/kernels',
  'test/gpu',
  'test/ref',
  'test/formats/files.ts',
  'test/wasm/helpers.ts',
  'test/swiftshader',
  'test/setup.ts',
];
/** What runs beside nibble's own dependencies: the kernel tests. */
const TESTING = ['vitest', 'fast-check'];
/** Charts and texts are for reports and quick suites: they are made elsewhere, and would be half of the packages. */
const LEFT_OUT = /^(vega|vega-lite|@stdlib\/.*)$/;
const LEFT_OUT_FILES =
  /\.map$|webgpu\/dist\/(darwin|win32|linux-arm64)|chromium\/bin\/(chromium|al2|fonts)|\.(d\.ts|md)$/;
/** The loader, and what NVIDIA's Vulkan driver loads beside it; slim images lack some. */
const LIBRARIES =
  /^(libvulkan\.so\.1|lib(EGL|GL|GLX|GLdispatch|OpenGL|GLESv2)\.so\.\d|lib(X11|Xext|Xau|Xdmcp|xcb|bsd|md)\.so\.\d+)$/;

const USAGE = `usage: npm run build && node bench/gpu-host/pack.mjs FILE.tar.gz   (or .tgz, .tar.xz)`;
const [target] = readArguments(USAGE, {}).positionals;
if (target === undefined || !/\.(tar\.gz|tgz|tar\.xz)$/.test(target)) refuse(`wanted the archive to write\n${USAGE}`);
if (!existsSync(path.join(ROOT, 'dist/cli/main.js'))) refuse('dist/ is missing: npm run build first');

/**
 * Folders below node_modules that these packages need, as Node would find them.
 * @param {readonly string[]} names
 */
function packageFolders(names) {
  const locked = JSON.parse(readFileSync(path.join(ROOT, 'package-lock.json'), 'utf8')).packages;
  /** @type {Set<string>} */
  const found = new Set();
  const visit = (/** @type {string} */ name, /** @type {string} */ from) => {
    if (LEFT_OUT.test(name)) return;
    for (let base = from; ; base = base.slice(0, Math.max(0, base.lastIndexOf('/node_modules/')))) {
      const folder = `${base === '' ? '' : `${base}/`}node_modules/${name}`;
      if (locked[folder] !== undefined && existsSync(path.join(ROOT, folder))) {
        if (found.has(folder)) return;
        found.add(folder);
        const { dependencies, optionalDependencies } = locked[folder];
        for (const next of Object.keys({ ...dependencies, ...optionalDependencies })) visit(next, folder);
        return;
      }
      if (base === '') return;
    }
  };
  for (const name of names) visit(name, '');
  return [...found];
}

const work = mkdtempSync(path.join(os.tmpdir(), 'nibble-pack-'));
try {
  const into = path.join(work, FOLDER);
  const take = (/** @type {string} */ from, /** @type {string} */ to) => {
    mkdirSync(path.dirname(to), { recursive: true });
    cpSync(realpathSync(from), to, {
      recursive: true,
      dereference: true,
      filter: (file) => !LEFT_OUT_FILES.test(file),
    });
  };
  const { dependencies, optionalDependencies } = JSON.parse(readFileSync(path.join(ROOT, 'package.json'), 'utf8'));
  const packages = packageFolders([...Object.keys({ ...dependencies, ...optionalDependencies }), ...TESTING]);
  for (const name of [...OWN.filter((file) => existsSync(path.join(ROOT, file))), ...packages])
    take(path.join(ROOT, name), path.join(into, name));
  take(process.execPath, path.join(into, 'bin/node'));
  const libraries = execFileSync('/sbin/ldconfig', ['-p'], { encoding: 'utf8' })
    .split('\n')
    .flatMap((line) => {
      const [, name = '', file = ''] = /^\s+(\S+) .*x86-64.* => (.*)$/.exec(line) ?? [];
      return LIBRARIES.test(name) ? [{ name, file }] : [];
    });
  for (const { name, file } of libraries) take(file, path.join(into, 'lib', name));
  const commit = commitOf(ROOT, '--dirty');
  writeFileSync(path.join(into, 'packed.json'), `${JSON.stringify({ commit, at: new Date().toISOString() })}\n`);
  const flags = target.endsWith('.xz') ? ['--use-compress-program=xz -T0', '-cf'] : ['-czf'];
  execFileSync('tar', ['-C', work, ...flags, path.resolve(target), FOLDER], { stdio: 'inherit' });
  const mib = (statSync(target).size / 2 ** 20).toFixed(1);
  console.log(`${target}: ${mib} MiB, ${packages.length} packages, ${libraries.length} libraries, commit ${commit}`);
} finally {
  rmSync(work, { recursive: true });
}
