/** Does the work of `nibble bench publish` and `nibble bench index`. */
import { rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { writeIndex } from '../../bench/index-page.ts';
import { publishedCopy } from '../../bench/publish.ts';
import { fileName } from '../../config/index.ts';
import { DataError } from '../../errors.ts';
import { inWords } from '../../node/files.ts';
import { requireMovable, takeFolder } from '../../node/output-folder.ts';
import type { CliContext } from '../shared/context.ts';
import type { BenchIndexArgs, BenchPublishArgs } from './publish-commands.ts';

/** Holds what is published here, below a clone or a project. */
const HOME = 'results';

/**
 * Copies results/local/RUN to results/NAME, where git sees it, and writes the index of results/ anew.
 * @throws ConfigError, DataError where nothing was published
 */
export async function publish(
  { folder: given, name, sources }: BenchPublishArgs,
  { stdout }: CliContext,
): Promise<void> {
  const published = fileName('--as', name ?? path.basename(path.resolve(given)));
  await requireMovable(given, 'folder');
  const parent = path.dirname(path.resolve(given));
  const home = path.basename(parent) === 'local' ? path.dirname(parent) : path.resolve(HOME);
  const target = path.join(home, published);
  const occupied = async () => `${target} is there already, nothing was published; give another name with --as`;
  const folder = await takeFolder(given, { name: 'folder', contents: 'any' });
  try {
    const place = await takeFolder(target, { name: '--as', contents: 'none', occupied });
    try {
      const copy = await publishedCopy(given, target, { name: published, sources });
      await place.replaceBy(copy).catch(async (cause: NodeJS.ErrnoException) => {
        await rm(copy, { recursive: true, force: true });
        throw new DataError(target, `${copy} cannot be moved here (${inWords(cause)}); nothing was published`, {
          cause,
        });
      });
    } finally {
      await place.release();
    }
  } finally {
    await folder.release();
  }
  await writeIndex(home);
  stdout.write(`${target}\n`);
}

/** Writes the index of a folder of results. @throws DataError */
export async function indexResults({ folder }: BenchIndexArgs, { stdout }: CliContext): Promise<void> {
  const found = await stat(folder).catch(() => null);
  if (found?.isDirectory() !== true)
    throw new DataError(folder, 'there is no such folder; give the one that nibble bench publish writes to');
  stdout.write(`${await writeIndex(folder)}\n`);
}
