/** Names that become files or folders: suites and their arms, and what a run is published as. */
import { z } from 'zod';
import { ConfigError } from '../errors.ts';
import { show } from './show.ts';

/** File systems end at 255 bytes; a seed, a time and an ending follow the name. */
const MAX_LENGTH = 100;
const PATTERN = /^[A-Za-z0-9](?:[\w.-]*[\w-])?$/;
/** Windows takes these for devices, whatever ending follows. */
const DEVICE = /^(con|prn|aux|nul|com\d|lpt\d)(\.|$)/i;

export const FILE_NAME_PATTERN = PATTERN.source;
export const FILE_NAME_IN_WORDS =
  `a name for a folder: at most ${MAX_LENGTH} letters, digits, hyphens, underscores and dots, ` +
  'a letter or digit first and no dot last';

const isFileName = (name: string): boolean => name.length <= MAX_LENGTH && PATTERN.test(name) && !DEVICE.test(name);

/** The type of a setting that is such a name. */
export const fileNameType = z.string().regex(PATTERN).max(MAX_LENGTH).refine(isFileName).brand<'FileName'>();
/** A name that stays in its folder on every system, alone or with an ending or a number behind it. */
export type FileName = z.infer<typeof fileNameType>;

/** Says what is wrong with a name; null where it can be a file's. */
export function fileNameProblem(name: string): string | null {
  if (isFileName(name)) return null;
  const device = DEVICE.test(name) ? ' (on Windows it is a device)' : '';
  return `got ${show(name)}${device}, wanted ${FILE_NAME_IN_WORDS}`;
}

/** @throws ConfigError that calls the name `path` */
export function fileName(path: string, name: string): FileName {
  const message = fileNameProblem(name);
  if (message !== null) throw new ConfigError([{ path, message }]);
  return name as FileName;
}

/** Says what is wrong with names that get folders beside one another; macOS and Windows see no difference of case. */
export function siblingProblems(names: readonly string[]): { readonly name: string; readonly message: string }[] {
  const seen = new Map<string, string>();
  return names.flatMap((name) => {
    const other = seen.get(name.toLowerCase());
    seen.set(name.toLowerCase(), name);
    const alike = `${name} and ${other} differ in upper and lower case alone, and each gets a folder; rename one`;
    const message = fileNameProblem(name) ?? (other === undefined ? null : alike);
    return message === null ? [] : [{ name, message }];
  });
}
