/** Unpacks SwiftShader and a Vulkan loader from npm's @sparticuz/chromium, for machines without Vulkan. */
import { createHash } from 'node:crypto';
import {
  createReadStream,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
} from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createBrotliDecompress } from 'node:zlib';
import { DeviceError, optionalPackages } from '../errors.ts';
import { cacheHome } from './cache-home.ts';
import { distrust } from './trusted-folder.ts';

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
  const dir = await unpacked(archive, `swiftshader-${version}`);
  return { loader: path.join(dir, LOADER), icd: path.join(dir, ICD) };
}

/** The user's cache keeps it for the next time; where others could write there, this process has a folder to itself. */
async function unpacked(archive: string, name: string): Promise<string> {
  const refusals: string[] = [];
  try {
    const cache = cacheHome();
    const dir = cache === null ? null : await unpackedIn(path.join(cache, 'nibble'), archive, name);
    const why = dir === null ? 'this user has no home folder' : distrust(dir);
    if (dir !== null && why === null) return dir;
    refusals.push(why as string);
  } catch (error) {
    refusals.push((error as Error).message);
  }
  try {
    return await unpackedIn(privateFolder(), archive, name);
  } catch (error) {
    refusals.push((error as Error).message);
  }
  throw new DeviceError(
    `the software driver cannot be unpacked; set XDG_CACHE_HOME to a folder that you alone can write\n${refusals.join('\n')}`,
  );
}

async function unpackedIn(root: string, archive: string, name: string): Promise<string> {
  const dir = path.join(root, name);
  if (!existsSync(dir)) await unpackTo(archive, dir);
  return realpathSync(dir);
}

let own: string | null = null;

/** Makes a folder whose name nobody can guess, for this user alone; it goes with the process. */
function privateFolder(): string {
  if (own !== null) return own;
  const made = mkdtempSync(path.join(os.tmpdir(), 'nibble-'));
  process.once('exit', () => rmSync(made, { recursive: true, force: true }));
  own = made;
  return made;
}

function archivePath(): string {
  try {
    const entry = createRequire(import.meta.url).resolve('@sparticuz/chromium');
    const root = entry.slice(0, entry.lastIndexOf(`${path.sep}chromium${path.sep}`) + `${path.sep}chromium`.length);
    return path.join(root, 'bin', 'swiftshader.tar.br');
  } catch (error) {
    throw new DeviceError(
      'no GPU was found, and the software driver is not installed: run `npm install` without --omit=optional, or ' +
        "install Mesa's Vulkan driver",
      { cause: error },
    );
  }
}

/** Unpacks beside the target and renames, so that another process never sees half of it. */
async function unpackTo(archive: string, dir: string): Promise<void> {
  const { extract } = await optionalPackages(import('tar-stream'), 'tar-stream', 'the software driver');
  mkdirSync(path.dirname(dir), { recursive: true, mode: 0o700 });
  const temporary = mkdtempSync(`${dir}-`);
  const files = extract();
  const writing = (async () => {
    for await (const entry of files) {
      if (entry.header.type !== 'file') entry.resume();
      else
        await writeFile(path.join(temporary, path.basename(entry.header.name)), entry as AsyncIterable<Uint8Array>, {
          mode: 0o600,
        });
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
