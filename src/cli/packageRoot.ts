/** The package this file was installed with: src/cli and dist/cli are equally deep in it. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** Absolute path of the folder that holds package.json. */
export function packageRoot(): string {
  return fileURLToPath(new URL('../..', import.meta.url));
}

export function packageVersion(): string {
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
    version: string;
  };
  return version;
}
