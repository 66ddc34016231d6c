/** Where code is loaded from: nobody else can write there, or the folder is this process's own. */
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { cacheHome } from '../../src/node/cache-home.ts';
import { unpackSwiftShader } from '../../src/node/swiftshader.ts';
import { distrust, type FileOwner } from '../../src/node/trusted-folder.ts';
import { tuningDirectory } from '../../src/node/tuning.ts';

const root = realpathSync(mkdtempSync(path.join(os.tmpdir(), 'nibble-trusted-')));
afterAll(() => rmSync(root, { recursive: true }));

const ME = 1000;
const OTHER = 1001;
const WORLD = 0o777;

/** A folder with one file, as `owners` describe what lies on the way; all else is root's, and the folder itself mine. */
function judged(owners: Readonly<Record<string, readonly [uid: number, mode: number]>>): string | null {
  const directory = path.join(root, 'a', 'b');
  mkdirSync(directory, { recursive: true });
  writeFileSync(path.join(directory, 'lib.so'), '');
  const look = (file: string): FileOwner => {
    const name = path.relative(root, file) || '.';
    const [uid, mode] = owners[name] ?? (name.startsWith('..') ? [0, 0o755] : [ME, 0o755]);
    return { uid, mode, isSymbolicLink: () => false };
  };
  return distrust(directory, ME, look);
}

describe('a folder is trusted', () => {
  it.each([
    ['that is mine, below root', {}],
    ["that is root's throughout", { 'a/b': [0, 0o755], 'a/b/lib.so': [0, 0o644] }],
    ['below one that all may write, where a sticky bit keeps them apart', { '.': [0, 0o1777] }],
  ] as const)('%s', (_, owners) => {
    expect(judged(owners)).toBe(null);
  });

  it.each([
    ['the folder is another user’s', { 'a/b': [OTHER, 0o755] }, 'a/b belongs to user 1001'],
    ['a file in it is', { 'a/b/lib.so': [OTHER, 0o644] }, 'lib.so belongs to user 1001'],
    ['a folder above it is', { a: [OTHER, 0o755] }, 'a belongs to user 1001'],
    ['all may write there', { 'a/b': [ME, WORLD] }, 'a/b can be written by others (mode 777)'],
    ['all may write there, sticky or not', { 'a/b': [ME, 0o1777] }, 'a/b can be written by others (mode 1777)'],
    ['its group may write a file', { 'a/b/lib.so': [ME, 0o664] }, 'lib.so can be written by others (mode 664)'],
    ['all may rename a folder above it', { a: [ME, WORLD] }, 'a can be written by others'],
  ] as const)('and not where %s', (_, owners, says) => {
    expect(judged(owners)).toContain(says);
  });

  it('and not where a file in it is a link, or where the real modes say so', () => {
    const directory = path.join(root, 'real');
    mkdirSync(directory, { mode: 0o700 });
    expect(distrust(directory)).toBe(null);
    chmodSync(directory, WORLD);
    expect(distrust(directory)).toContain('can be written by others (mode 777)');
    chmodSync(directory, 0o700);
    symlinkSync('/tmp', path.join(directory, 'lib.so'));
    expect(distrust(directory)).toContain('lib.so is a symbolic link');
  });
});

describe('the cache folder', () => {
  const usual = path.join(os.homedir(), '.cache');
  it.each([
    ['/somewhere', '/somewhere'],
    ['', usual],
    ['relative', usual],
    ['./relative', usual],
    [undefined, usual],
  ])('of XDG_CACHE_HOME=%j is %s', (value, expected) => {
    expect(cacheHome({ XDG_CACHE_HOME: value })).toBe(expected);
    expect(tuningDirectory({ XDG_CACHE_HOME: value })).toBe(path.join(expected, 'nibble', 'kernels'));
  });
});

describe.skipIf(process.platform !== 'linux' || process.arch !== 'x64')('the software driver', () => {
  const cache = () => path.join(root, 'cache');
  beforeEach(() => vi.stubEnv('XDG_CACHE_HOME', cache()));
  afterEach(() => vi.unstubAllEnvs());

  it('is unpacked into the cache for this user alone, and found there again', async () => {
    const { loader, icd } = await unpackSwiftShader();
    expect(loader.startsWith(`${cache()}${path.sep}nibble`)).toBe(true);
    expect(existsSync(icd)).toBe(true);
    for (const file of [loader, path.dirname(loader), cache()]) expect(statSync(file).mode & 0o022, file).toBe(0);
    expect((await unpackSwiftShader()).loader).toBe(loader);
  });

  it('is not taken from where others may have put it: a folder that all can write, a planted link', async () => {
    const { loader } = await unpackSwiftShader();
    const dir = path.dirname(loader);
    writeFileSync(loader, 'planted');
    chmodSync(dir, WORLD);
    const elsewhere = await unpackSwiftShader();
    expect(elsewhere.loader.startsWith(root)).toBe(false);
    expect(statSync(path.dirname(path.dirname(elsewhere.loader))).mode & 0o077).toBe(0);
    expect(readFileSync(elsewhere.loader).subarray(1, 4).toString()).toBe('ELF');

    chmodSync(dir, 0o700);
    rmSync(loader);
    symlinkSync(path.join(root, 'a', 'b', 'lib.so'), loader);
    expect((await unpackSwiftShader()).loader).toBe(elsewhere.loader);
  });
});
