#!/usr/bin/env node
/** The program `nibble`. It imports none of its own code before it can say why its code cannot be loaded. */

import { existsSync } from 'node:fs';
import { dirname, isAbsolute, join } from 'node:path';

const MENDABLE = 2;

try {
  await import('./process.ts');
} catch (error) {
  const why = reasonOf(error as NodeJS.ErrnoException);
  if (why === null) throw error;
  process.stderr.write(`nibble: ${why}\n`);
  process.exit(MENDABLE);
}

/** Node's loader opens hundreds of small files at once, and finds no package that was left out. */
function reasonOf({ code, message }: NodeJS.ErrnoException): string | null {
  if (code === 'EMFILE' || code === 'ENFILE') return tooManyFiles(code);
  if (code !== 'ERR_MODULE_NOT_FOUND') return null;
  const missing = message.split(' imported from ')[0] ?? message;
  if (isThere(missing)) return tooManyFiles('EMFILE');
  return `its code cannot be loaded: ${missing}; install it again, with its dependencies`;
}

function tooManyFiles(code: string): string {
  return `its code cannot be loaded: too many files are open at once (${code}); raise the limit, such as with \`ulimit -n 1024\``;
}

/** A loader that may open no more files says of a package that it is not there: it could not read its package.json. */
function isThere(message: string): boolean {
  const file = /'(.+)'/.exec(message)?.[1];
  if (file === undefined || !isAbsolute(file)) return false;
  return existsSync(file) || existsSync(join(dirname(file), 'package.json'));
}
