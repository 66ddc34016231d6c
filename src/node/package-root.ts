/** Finds the package that this file belongs to: src/node and dist/node are equally deep in it. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** Absolute path of the folder that holds package.json. */
export function packageRoot(): string {
  return fileURLToPath(new URL('../..', import.meta.url));
}

/** The parsed package.json. */
export function packageManifest(): {
  readonly version: string;
  readonly dependencies: Readonly<Record<string, string>>;
} {
  return JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
}
