/** Reads the records that a folder holds: of a suite's runs, or of one run of `nibble train`. */
import { readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { show } from '../config/show.ts';
import { DataError } from '../errors.ts';
import { parseJson } from '../formats/json.ts';
import { sha256OfText } from '../node/environment.ts';
import { inWords, nodeReader } from '../node/files.ts';
import { specialKind } from '../node/regular-file.ts';
import { RECORD_FILE } from '../node/run-folder.ts';
import { READ_VERSIONS, type RunRecord, runSchema, SCHEMA_VERSION } from '../results/run-schema.ts';
import { isIntact } from '../results/seal.ts';

/** Ending of the file that holds a run's record in the folder of a suite. */
export const RUN_SUFFIX = '.run.json';

/** Lists the files of records in a folder, sorted. @throws DataError where there is none, or no folder */
export async function runFilesIn(folder: string): Promise<string[]> {
  const names = await readdir(folder).catch((error: NodeJS.ErrnoException) => error);
  if (names instanceof Error) throw new DataError(folder, await whyUnread(folder, names));
  const ofSuite = names.filter((name) => name.endsWith(RUN_SUFFIX)).sort();
  const files = ofSuite.length === 0 ? names.filter((name) => name === RECORD_FILE) : ofSuite;
  if (files.length > 0) return files.map((name) => path.join(folder, name));
  throw new DataError(
    folder,
    `holds no *${RUN_SUFFIX}, as nibble bench run writes them, and no ${RECORD_FILE} of nibble train. Give the folder of either.`,
  );
}

async function whyUnread(folder: string, error: NodeJS.ErrnoException): Promise<string> {
  const found = await stat(folder).catch(() => null);
  if (found === null)
    return `there is no such folder${path.isAbsolute(folder) ? '' : ` in ${process.cwd()}`}. Give the one that nibble bench run printed.`;
  if (!found.isDirectory()) return `is ${specialKind(found) ?? 'a file'}. Give the folder of a run or suite.`;
  return `cannot be read (${inWords(error)}).`;
}

/** One run file, checked. @throws DataError naming the file and what is wrong in it */
export async function readRun(file: string): Promise<RunRecord> {
  const json = await readJson(file);
  const version = (json as { schema_version?: unknown } | null)?.schema_version;
  if (typeof version === 'number' && !READ_VERSIONS.includes(version))
    throw new DataError(
      file,
      `is a run of schema ${show(version)}, and this nibble reads ${READ_VERSIONS.join(' and ')}. Install the version that wrote it.`,
    );
  const parsed = runSchema.safeParse(json);
  if (!parsed.success)
    throw new DataError(
      file,
      `is not a run of schema v${version === 1 ? 1 : SCHEMA_VERSION}: ${issueInWords(parsed.error.issues[0], json)}`,
    );
  if (isIntact(json, sha256OfText) === false)
    throw new DataError(
      file,
      'was edited after nibble wrote it: its content does not have the hash of its record_sha256. Take the file as it was written, or make the run again.',
    );
  return parsed.data;
}

type Issue = { readonly path: readonly PropertyKey[]; readonly message: string };

/** Says where in a record the first fault is, and what stands there. */
export function issueInWords(issue: Issue | undefined, json: unknown): string {
  const { path: at = [], message = 'it does not fit' } = issue ?? {};
  const got = at.reduce<unknown>(
    (value, part) => (value as Record<PropertyKey, unknown> | null | undefined)?.[part],
    json,
  );
  return `${at.length === 0 ? 'the whole' : at.join('.')} is ${show(got)}: ${message.replace(/, received \w+$/, '')}`;
}

/** @throws DataError for a file that is absent or no JSON */
export async function readJson(file: string): Promise<unknown> {
  const { dir, base } = path.parse(file);
  return parseJson(await nodeReader(dir).readText(base), file);
}
