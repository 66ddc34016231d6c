/** Compiler output that drivers wrote for nibble's own shaders, captured with Mesa 26.1.6 by `npm run static-gpu -- --keep FOLDER`. */
import { readFileSync } from 'node:fs';

export const captured = (name: string): string =>
  readFileSync(new URL(`captured/${name}.txt`, import.meta.url), 'utf8');
