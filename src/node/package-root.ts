/** Finds the package that this file belongs to: src/node and dist/node are equally deep in it. */
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

/** Absolute path of the folder that holds package.json. */
export function packageRoot(): string {
  return fileURLToPath(new URL('../..', import.meta.url));
}

/** The parsed package.json. */
export function packageManifest(): {
  readonly name: string;
  readonly version: string;
  readonly repository: { readonly url: string };
  readonly dependencies: Readonly<Record<string, string>>;
  readonly optionalDependencies: Readonly<Record<string, string>>;
} {
  return JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
}

/** Packages that this one stands on, with their versions; optional ones where they are installed. */
export function packageVersions(): Record<string, string> {
  const { dependencies, optionalDependencies } = packageManifest();
  const folders = createRequire(import.meta.url).resolve.paths('webgpu') ?? [];
  const isInstalled = (name: string): boolean => folders.some((folder) => existsSync(path.join(folder, name)));
  const installed = Object.entries(optionalDependencies).filter(([name]) => isInstalled(name));
  return { ...dependencies, ...Object.fromEntries(installed) };
}
