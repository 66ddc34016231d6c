/** Reads a command's arguments into a resolved configuration. */
import { readFile, stat } from 'node:fs/promises';
import {
  type ConfigSources,
  loadSuite,
  loadTrainConfig,
  type Purpose,
  type ResolvedConfig,
  type ResolvedSuite,
  type SourceFile,
  sizeProblem,
} from '../../config/index.ts';
import { DataError } from '../../errors.ts';
import { decodeUtf8 } from '../../formats/reader.ts';
import { inWords } from '../../node/files.ts';
import type { CliContext } from './context.ts';
import { givenSettings } from './setting-options.ts';

/** Reads a text file of the size that a configuration may have. @throws DataError that says what to check */
export async function readSource(path: string): Promise<SourceFile> {
  try {
    const problem = sizeProblem((await stat(path)).size);
    if (problem !== null) throw new DataError(path, problem);
    return { path, text: decodeUtf8(await readFile(path), path) };
  } catch (error) {
    if (error instanceof DataError) throw error;
    const code = (error as NodeJS.ErrnoException).code;
    const why =
      code === 'ENOENT'
        ? 'there is no such file'
        : code === 'EISDIR'
          ? 'it is a directory, wanted a file'
          : inWords(error as NodeJS.ErrnoException);
    throw new DataError(path, `cannot be read: ${why}; check the path (relative to ${process.cwd()})`, {
      cause: error,
    });
  }
}

/**
 * Resolves file, environment and flags, and prints what was read differently from what was written.
 * @throws ConfigError, DataError
 */
export async function readTrainConfig(
  context: CliContext,
  path: string | undefined,
  options: Readonly<Record<string, unknown>>,
  purpose: Purpose = 'train',
): Promise<ResolvedConfig> {
  const sources: ConfigSources = { env: context.env, flags: givenSettings(options) };
  const config = loadTrainConfig(path === undefined ? sources : { ...sources, file: await readSource(path) }, purpose);
  tellNotices(context, config.notices);
  return config;
}

/** Resolves a suite file with environment and flags likewise. @throws ConfigError */
export async function readSuite(
  context: CliContext,
  file: SourceFile,
  options: Readonly<Record<string, unknown>>,
): Promise<ResolvedSuite> {
  const suite = loadSuite({ file, env: context.env, flags: givenSettings(options) });
  tellNotices(context, suite.notices);
  return suite;
}

function tellNotices(context: CliContext, notices: ResolvedConfig['notices']): void {
  for (const { path, message } of notices) context.stderr.write(`note: ${path}: ${message}\n`);
}
