/** What a record says of the code that made it: a checkout of its own, and never of somebody else's around it. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeEach, expect, test, vi } from 'vitest';

const place = vi.hoisted(() => ({ root: '' }));
vi.mock('../../src/node/package-root.ts', () => ({
  packageRoot: () => place.root,
  packageManifest: () => ({ version: '1.2.3', dependencies: {} }),
}));
const { codeInfo } = await import('../../src/node/environment.ts');

const home = realpathSync(mkdtempSync(path.join(os.tmpdir(), 'nibble-code-')));
afterAll(() => rmSync(home, { recursive: true }));

const IDENTITY = ['-c', 'user.name=test', '-c', 'user.email=test@localhost', '-c', 'commit.gpgsign=false'];
function git(...args: string[]): string {
  const { status, stdout, stderr } = spawnSync('git', [...IDENTITY, ...args], { cwd: checkout, encoding: 'utf8' });
  if (status !== 0) throw new Error(stderr);
  return stdout.trim();
}

let checkout = '';
let number = 0;
beforeEach(() => {
  checkout = path.join(home, String(number++));
  mkdirSync(path.join(checkout, 'inner'), { recursive: true });
  writeFileSync(path.join(checkout, 'package-lock.json'), '{}\n');
  writeFileSync(path.join(checkout, 'inner', 'package-lock.json'), '{}\n');
});

/** SHA-256 of `{}` and a newline. */
const LOCK_SHA256 = 'ca3d163bab055381827226140568f3bef7eaac187cebd76878e0b63e9e442356';
const NONE = { git_commit: null, git_branch: null, git_dirty: null };

test('a checkout has its commit and branch, and is dirty once something is not committed', async () => {
  git('init', '--initial-branch', 'work');
  git('add', '.');
  git('commit', '--message', 'first');
  place.root = checkout;
  const clean = { version: '1.2.3', git_commit: git('rev-parse', 'HEAD'), git_branch: 'work', git_dirty: false };
  expect(await codeInfo()).toEqual({ ...clean, lockfile_sha256: LOCK_SHA256 });
  writeFileSync(path.join(checkout, 'new.txt'), '');
  expect(await codeInfo()).toEqual({ ...clean, git_dirty: true, lockfile_sha256: LOCK_SHA256 });
});

test('a package inside another project says nothing of that', async () => {
  git('init', '--initial-branch', 'work');
  git('add', '.');
  git('commit', '--message', 'first');
  place.root = path.join(checkout, 'inner');
  expect(await codeInfo()).toMatchObject(NONE);
});

test('without git and without a lockfile there is nothing to say', async () => {
  rmSync(path.join(checkout, 'package-lock.json'));
  place.root = checkout;
  expect(await codeInfo()).toEqual({ version: '1.2.3', ...NONE, lockfile_sha256: null });
});
