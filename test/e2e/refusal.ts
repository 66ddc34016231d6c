/** Checks that all refusals share: one message, exit code 2, and existing files left as they are. */
import { existsSync, statSync } from 'node:fs';
import { expect } from 'vitest';
import { contentOf, nibbleTrain } from './nibble.ts';

/** Parts that the message must contain. */
export type Says = readonly (string | RegExp)[];

/** Returns the only message on stderr, without the notes and progress before it. */
function complaint(stderr: string): string {
  const at = stderr.indexOf('nibble: ');
  expect(at, stderr).toBeGreaterThanOrEqual(0);
  expect(stderr.indexOf('nibble: ', at + 1), stderr).toBe(-1);
  expect(stderr).not.toMatch(/\n\s+at .*:\d+:\d+/);
  return stderr.slice(at);
}

/**
 * Expects `nibble train ARGV` to be refused, and `root` and the directory `model`, where it exists, to stay as they
 * are.
 */
export async function expectRefusal(root: string, argv: readonly string[], says: Says, model: string): Promise<void> {
  const watched = [root, ...(existsSync(model) && statSync(model).isDirectory() ? [model] : [])];
  const before = watched.map(contentOf);
  const { code, stdout, stderr } = await nibbleTrain(...argv);
  const message = complaint(stderr);
  expect([code, stdout], stderr).toEqual([2, '']);
  for (const part of says) {
    if (typeof part === 'string') expect(message).toContain(part);
    else expect(message).toMatch(part);
  }
  expect(watched.map(contentOf)).toEqual(before);
}
