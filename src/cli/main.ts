#!/usr/bin/env node
/** The program `nibble`. It imports nothing before it can say why its code cannot be loaded. */

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
  if (code === 'EMFILE' || code === 'ENFILE')
    return `its code cannot be loaded: too many files are open at once (${code}); raise the limit, such as with \`ulimit -n 1024\``;
  if (code === 'ERR_MODULE_NOT_FOUND')
    return `its code cannot be loaded: ${message.split(' imported from ')[0]}; install it again, with its dependencies`;
  return null;
}
