/** Claims on file systems without hard links: made in two steps, with the same rules. */
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, expect, test, vi } from 'vitest';
import { takeFolder } from '../../src/node/output-folder.ts';

vi.mock('node:fs/promises', async (original) => ({
  ...(await original<typeof import('node:fs/promises')>()),
  link: () => Promise.reject(Object.assign(new Error('operation not permitted'), { code: 'EPERM' })),
}));

const root = mkdtempSync(path.join(os.tmpdir(), 'nibble-links-'));
afterAll(() => rmSync(root, { recursive: true }));

test('one of many that ask at once has the folder, and gives it back empty', async () => {
  const directory = path.join(root, 'run');
  mkdirSync(directory);
  const take = () => takeFolder(directory, { name: 'output_dir', contents: 'none' });
  const asked = await Promise.allSettled(Array.from({ length: 10 }, take));
  const held = asked.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
  expect(held).toHaveLength(1);
  expect(readdirSync(directory)).toEqual(['.nibble-claim.json']);
  await held[0]?.release();
  expect(readdirSync(directory)).toEqual([]);
});
