/** Reads a command's arguments into a resolved configuration. */
import {
  type ConfigSources,
  loadSuite,
  loadTrainConfig,
  type Purpose,
  type ResolvedConfig,
  type ResolvedSuite,
  type SourceFile,
} from '../../config/index.ts';
import { DataError } from '../../errors.ts';
import { readRegular, requireRegular } from '../../node/regular-file.ts';
import type { CliContext } from './context.ts';
import { givenSettings } from './setting-options.ts';
import { isStandardInput, readStandardInput, STANDARD_INPUT } from './standard-input.ts';

/** A configuration of many thousand lines; what is longer is a file of another kind, and would take minutes to read as YAML. */
const MOST_BYTES = 2 ** 20;

/** Reads a text file, or standard input where `path` is -. @throws DataError that says what to check */
export async function readSource(path: string, context: Pick<CliContext, 'stdin' | 'signal'>): Promise<SourceFile> {
  if (isStandardInput(path)) {
    const bytes = await readStandardInput(context, MOST_BYTES, 'a configuration');
    return { path: STANDARD_INPUT, text: Buffer.from(bytes).toString('utf8') };
  }
  try {
    const { size } = await requireRegular(path);
    if (size > MOST_BYTES)
      throw new DataError(
        path,
        `has ${(size / 2 ** 20).toFixed(1)} MiB, and a configuration at most ${MOST_BYTES / 2 ** 20}. Is it the right file?`,
      );
    return { path, text: (await readRegular(path)).toString('utf8') };
  } catch (error) {
    if (error instanceof DataError) throw error;
    const code = (error as NodeJS.ErrnoException).code;
    const why = code === 'ENOENT' ? 'there is no such file' : String(code);
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
  const config = loadTrainConfig(
    path === undefined ? sources : { ...sources, file: await readSource(path, context) },
    purpose,
  );
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
