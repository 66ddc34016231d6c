/** nibble-tune/core reaches no Node module: a bundle for the browser would fail on one. */
import { expect, test } from 'vitest';
import { bundle } from './bundle.ts';

test('core bundles for a browser', async () => {
  const { text, files } = await bundle("export * from '../../src/core.ts';");
  // an entry that lost its exports would bundle as well, so count its files
  expect(files.filter((file) => file.startsWith('src/')).length).toBeGreaterThan(80);
  expect(text).toContain('quantize4bit');
  expect(text).not.toMatch(/\bfrom\s*["']node:|require\(["']node:/);
  expect(text).not.toMatch(/from\s*["'](webgpu|@sparticuz)/);
});

test('what needs Node does not', async () => {
  await expect(bundle("export * from '../../src/index.ts';")).rejects.toThrow(/Could not resolve "(?:node:)?fs[/"]/);
  await expect(bundle("import 'node:fs';")).rejects.toThrow('Could not resolve "node:fs"');
});
