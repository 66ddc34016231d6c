import { expect, test } from 'vitest';
import { generateCommand } from '../../src/cli/generate/command.ts';
import { nibble } from './fakes.ts';

test('help leaves out the empty list of a flag that may be given several times, and keeps other defaults', async () => {
  const { stdout } = await nibble(['generate', '--help'], [(c) => generateCommand(c, () => Promise.resolve())]);
  expect(stdout).toMatch(/--prompt <text>\s+a text to write on after; may be given several times\n/);
  expect(stdout).not.toContain('(default: [])');
  expect(stdout).toMatch(/--batch_size <value>[^-]*default\s+8\)/);
});
