/** Unpacks SwiftShader and a Vulkan loader from npm's @sparticuz/chromium, for machines without Vulkan. */
import { createHash } from 'node:crypto';
import { createReadStream, existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createBrotliDecompress } from 'node:zlib';
import { extract } from 'tar-stream';
import { DeviceError } from '../errors.ts';

export type SwiftShader = { readonly loader: string; readonly icd: string };

const LOADER = 'libvulkan.so.1';
const ICD = 'vk_swiftshader_icd.json';

/**
 * Unpacks the driver once into the user's cache and returns the paths of its loader and its manifest.
 * @throws DeviceError when the package is not installed, the platform is not Linux x64, or no cache folder can be
 * written
 */
export async function unpackSwiftShader(): Promise<SwiftShader> {
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    throw new DeviceError(
      `no GPU was found, and the bundled software driver is for linux-x64, not ${process.platform}-${process.arch}: install a Vulkan driver`,
    );
  }
  const archive = archivePath();
  const version = createHash('sha256').update(readFileSync(archive)).digest('hex').slice(0, 16);
  const refusals: string[] = [];
  for (const root of cacheRoots()) {
    const dir = path.join(root, 'nibble', `swiftshader-${version}`);
    try {
      if (!existsSync(dir)) await unpackTo(archive, dir);
      return { loader: path.join(dir, LOADER), icd: path.join(dir, ICD) };
    } catch (error) {
      refusals.push(`${root}: ${(error as Error).message}`);
    }
  }
  throw new DeviceError(
    `the software driver cannot be unpacked; set XDG_CACHE_HOME to a folder that can be written\n${refusals.join('\n')}`,
  );
}

/** Cache folders to try; the second for containers, whose user often cannot write the home folder. */
function cacheRoots(): string[] {
  return [process.env.XDG_CACHE_HOME ?? path.join(os.homedir(), '.cache'), os.tmpdir()];
}

function archivePath(): string {
  try {
    const entry = createRequire(import.meta.url).resolve('@sparticuz/chromium');
    const root = entry.slice(0, entry.lastIndexOf(`${path.sep}chromium${path.sep}`) + `${path.sep}chromium`.length);
    return path.join(root, 'bin', 'swiftshader.tar.br');
  } catch (error) {
    throw new DeviceError('no GPU was found, and the software driver is not installed: run `npm ci` without --omit', {
      cause: error,
    });
  }
}

/** Unpacks beside the target and renames, so that another process never sees half of it. */
async function unpackTo(archive: string, dir: string): Promise<void> {
  mkdirSync(path.dirname(dir), { recursive: true });
  const temporary = mkdtempSync(`${dir}-`);
  const files = extract();
  const writing = (async () => {
    for await (const entry of files) {
      if (entry.header.type !== 'file') entry.resume();
      else await writeFile(path.join(temporary, path.basename(entry.header.name)), entry as AsyncIterable<Uint8Array>);
    }
  })();
  await Promise.all([pipeline(createReadStream(archive), createBrotliDecompress(), files), writing]);
  try {
    renameSync(temporary, dir);
  } catch (error) {
    rmSync(temporary, { recursive: true, force: true });
    if (!existsSync(dir)) throw error;
  }
}
