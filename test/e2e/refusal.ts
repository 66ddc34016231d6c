/** What every refusal has in common: one message, exit code 2, and nothing of what was there is touched. */
import { existsSync, statSync } from 'node:fs';
import { expect } from 'vitest';
import { contentOf, nibbleTrain } from './nibble.ts';

/** Parts of the one message. */
export type Says = readonly (string | RegExp)[];

/** One message: what commander and we say, without the notes and progress that came before it. */
function complaint(stderr: string): string {
  const at = stderr.indexOf('nibble: ');
  expect(at, stderr).toBeGreaterThanOrEqual(0);
  expect(stderr.indexOf('nibble: ', at + 1), stderr).toBe(-1);
  expect(stderr).not.toMatch(/\n\s+at .*:\d+:\d+/);
  return stderr.slice(at);
}

/** `nibble train ARGV` is refused; `root` and the directory `model`, where there is one, stay as they are. */
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
