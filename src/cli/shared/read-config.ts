/** Reads a command's arguments into a resolved configuration. */
import {
  type ConfigSources,
  loadSuite,
  loadTrainConfig,
  MOST_CONFIG_BYTES,
  type Purpose,
  type ResolvedConfig,
  type ResolvedSuite,
  type SourceFile,
  sizeProblem,
  type TrainSettings,
} from '../../config/index.ts';
import { DataError } from '../../errors.ts';
import { decodeUtf8 } from '../../formats/reader.ts';
import { inWords } from '../../node/files.ts';
import { readRegular, requireRegular } from '../../node/regular-file.ts';
import type { CliContext } from './context.ts';
import { givenSettings } from './setting-options.ts';
import { isStandardInput, readStandardInput, STANDARD_INPUT } from './standard-input.ts';
import { CONFIG_VARIABLE, isConfigText } from './variables.ts';

/** Reads a text file of the size that a configuration may have, or standard input where `path` is -. @throws DataError */
export async function readSource(path: string, context: Pick<CliContext, 'stdin' | 'signal'>): Promise<SourceFile> {
  if (isStandardInput(path)) {
    const bytes = await readStandardInput(context, MOST_CONFIG_BYTES, 'a configuration');
    return { path: STANDARD_INPUT, text: decodeUtf8(bytes, STANDARD_INPUT) };
  }
  try {
    const problem = sizeProblem((await requireRegular(path)).size);
    if (problem !== null) throw new DataError(path, problem);
    return { path, text: decodeUtf8(await readRegular(path), path) };
  } catch (error) {
    if (error instanceof DataError) throw error;
    const code = (error as NodeJS.ErrnoException).code;
    const why = code === 'ENOENT' ? 'there is no such file' : inWords(error as NodeJS.ErrnoException);
    throw new DataError(path, `cannot be read: ${why}; check the path (relative to ${process.cwd()})`, {
      cause: error,
    });
  }
}

/** The settings of NIBBLE_CONFIG, where a command is given no file. @throws DataError */
async function givenSource(context: CliContext, path: string | undefined): Promise<SourceFile | undefined> {
  const variable = context.env[CONFIG_VARIABLE] ?? '';
  if (path !== undefined) {
    if (variable !== '') tellNotices(context, [{ path: CONFIG_VARIABLE, message: `not read, since ${path} is given` }]);
    return readSource(path, context);
  }
  if (variable === '') return undefined;
  return isConfigText(variable) ? { path: CONFIG_VARIABLE, text: variable } : readSource(variable, context);
}

type ReadOptions = {
  readonly purpose?: Purpose;
  readonly isStrict?: boolean;
  /** Defaults in the place of the settings' own. */
  readonly usual?: TrainSettings;
};

/**
 * Resolves file (or NIBBLE_CONFIG), environment and flags, and prints what was read differently from what was written.
 * @param isStrict leaves to the run what `strict` makes errors of
 * @throws ConfigError, DataError
 */
export async function readTrainConfig(
  context: CliContext,
  path: string | undefined,
  options: Readonly<Record<string, unknown>>,
  { purpose = 'train', isStrict = false, usual = {} }: ReadOptions = {},
): Promise<ResolvedConfig> {
  const sources: ConfigSources = { env: context.env, flags: givenSettings(options), usual };
  const file = await givenSource(context, path);
  const config = loadTrainConfig(file === undefined ? sources : { ...sources, file }, purpose);
  const { notices, values } = config;
  tellNotices(context, isStrict && values.strict ? notices.filter(({ isFollowed }) => isFollowed) : notices);
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
