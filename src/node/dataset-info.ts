/** Names of datasets as LLaMA-Factory has them: what its dataset_info.json says of the file that a name stands for. */
import { stat } from 'node:fs/promises';
import path from 'node:path';
import { z } from 'zod';
import type { DatasetSource } from '../config/index.ts';
import { show } from '../config/show.ts';
import type { ConfigProblem } from '../errors.ts';
import { parseJson } from '../formats/json.ts';
import { nodeReader } from './files.ts';

const INFO_FILE = 'dataset_info.json';
/** The columns that each formatting has where an entry names none. */
const COLUMNS: Readonly<Record<'alpaca' | 'sharegpt', Readonly<Record<string, string>>>> = {
  alpaca: { prompt: 'instruction', query: 'input', response: 'output' },
  sharegpt: { messages: 'conversations' },
};
/** What LLaMA-Factory's default tags stand for. */
const SHAREGPT_ROLES = { user: ['human'], assistant: ['gpt'] };
const TYPES = { alpaca: 'alpaca', sharegpt: 'conversations' } as const;

const entryType = z.looseObject({
  file_name: z.string().min(1),
  formatting: z.enum(['alpaca', 'sharegpt']).default('alpaca'),
  columns: z.record(z.string(), z.string()).default({}),
});

/**
 * Replaces a name that is no file by the file that `directory`/dataset_info.json gives it, and says how its rows are read.
 * A set whose path exists, or that the file does not know, stays as it is.
 */
export async function fileOfName(
  set: DatasetSource,
  directory: string,
  at: string,
  problems: ConfigProblem[],
): Promise<DatasetSource> {
  const isThere = async (file: string): Promise<boolean> => (await stat(file).catch(() => null)) !== null;
  const file = path.join(directory, INFO_FILE);
  if ((await isThere(set.path)) || !(await isThere(file))) return set;
  const info = parseJson(await nodeReader(directory).readText(INFO_FILE), file) as Record<string, unknown> | null;
  if (info === null || !Object.hasOwn(info, set.path)) return set;
  const entry = entryType.safeParse(info[set.path]);
  const refuse = (message: string): DatasetSource => {
    problems.push({ path: at, message: `${set.path} in ${file} ${message}` });
    return set;
  };
  if (!entry.success)
    return refuse(
      `is ${show(info[set.path])}; wanted a file_name in ${directory}, formatted as alpaca or sharegpt: download the data there`,
    );
  const { file_name, formatting, columns } = entry.data;
  const renamed = Object.entries(columns).filter(([column, name]) => COLUMNS[formatting][column] !== name);
  if (renamed.length > 0)
    return refuse(
      `reads ${renamed.map(([column, name]) => `${column} from ${show(name)}`).join(', ')}, which nibble does not; rename ` +
        `the columns to ${Object.values(COLUMNS[formatting]).join(', ')}`,
    );
  const roles = set.roles ?? (formatting === 'sharegpt' ? SHAREGPT_ROLES : undefined);
  const where = path.join(directory, file_name);
  return { ...set, path: where, type: set.type ?? TYPES[formatting], ...(roles === undefined ? {} : { roles }) };
}
