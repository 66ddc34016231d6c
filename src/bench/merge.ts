/** Puts the parts of a suite, made on several machines, into one folder: as if one machine had made them. */
import { cp, readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { DataError } from '../errors.ts';
import { inWords } from '../node/files.ts';
import type { SuiteManifest } from '../results/summary-schema.ts';
import { DATA_FOLDER, LOCAL_FILE, SUITE_FILE } from './inputs.ts';
import { MANIFEST_FILE, readManifest, withRun, writeManifest } from './manifest.ts';
import { RUNS_FOLDER } from './planned.ts';
import { RUN_SUFFIX, readRun } from './read-runs.ts';
import { readSuiteFolder, type SuiteResult, writeSummary } from './suite-folder.ts';

type Part = { readonly folder: string; readonly manifest: SuiteManifest };

/**
 * Copies the records of all parts, and what their runs left, into a folder held by the caller.
 * @throws DataError for a folder that is no part, parts of different suites, and a run that two parts hold
 */
export async function mergeFolders(folders: readonly string[], output: string): Promise<SuiteResult> {
  const parts: Part[] = [];
  for (const folder of folders) parts.push({ folder, manifest: await partOf(folder) });
  const [first, ...others] = parts as [Part, ...Part[]];
  for (const other of others) requireSamePlan(first, other);
  const owners = await ownersOf(parts);
  let merged = wholeOf(first.manifest, parts);
  for (const [file, { folder }] of owners) {
    const { run_id, status, seed } = (await readRun(path.join(folder, file))).run_info;
    merged = withRun(merged, { file, run_id, status, seed });
  }
  for (const { folder } of parts)
    for (const name of [DATA_FOLDER, SUITE_FILE, LOCAL_FILE])
      await copied(path.join(folder, name), path.join(output, name));
  for (const [file, { folder }] of owners) {
    const name = path.join(RUNS_FOLDER, file.slice(0, -RUN_SUFFIX.length));
    await copied(path.join(folder, name), path.join(output, name));
    await copied(path.join(folder, file), path.join(output, file));
  }
  await writeManifest(output, merged);
  const result = await readSuiteFolder(output);
  await writeSummary(output, result.summary);
  return result;
}

async function partOf(folder: string): Promise<SuiteManifest> {
  const manifest = await readManifest(folder);
  if (manifest === null)
    throw new DataError(folder, `holds no ${MANIFEST_FILE}. Give folders that nibble bench run wrote.`);
  if (manifest.runs.every(({ plan_id }) => plan_id !== undefined)) return manifest;
  throw new DataError(
    path.join(folder, MANIFEST_FILE),
    'is of schema 1, which does not say what was asked for. nibble bench report FOLDER FOLDER --output DIR sets such folders beside each other.',
  );
}

function requireSamePlan(a: Part, b: Part): void {
  const planOf = ({ manifest }: Part) => new Map(manifest.runs.map(({ file, plan_id }) => [file, plan_id]));
  const [mine, theirs] = [planOf(a), planOf(b)];
  const differing = [...new Set([...mine.keys(), ...theirs.keys()])].find(
    (file) => mine.get(file) !== theirs.get(file),
  );
  if (a.manifest.suite === b.manifest.suite && differing === undefined) return;
  const run = differing?.slice(0, -RUN_SUFFIX.length);
  throw new DataError(
    b.folder,
    `is no part of the suite in ${a.folder}: ${run === undefined ? 'it has another name' : `${run} was asked for with other settings, weights or rows, or in one of them alone`}. Give parts of one suite.`,
  );
}

/** The part that holds each record. @throws DataError for a record that two parts hold */
async function ownersOf(parts: readonly Part[]): Promise<ReadonlyMap<string, Part>> {
  const owners = new Map<string, Part>();
  for (const part of parts) {
    for (const file of (await readdir(part.folder)).filter((name) => name.endsWith(RUN_SUFFIX)).sort()) {
      const other = owners.get(file);
      if (other !== undefined)
        throw new DataError(
          path.join(part.folder, file),
          `is in ${other.folder} as well: a run made twice is no further evidence. Leave one of the two out.`,
        );
      owners.set(file, part);
    }
  }
  return owners;
}

/** The manifest of the whole suite, from the first part's. */
function wholeOf(first: SuiteManifest, parts: readonly Part[]): SuiteManifest {
  const stopped = parts.flatMap(({ manifest: { stopped: why, shard } }) =>
    why === null || why === undefined ? [] : [shard ? `Part ${shard.i} of ${shard.n}: ${why}` : why],
  );
  return {
    ...first,
    created_at: parts.map(({ manifest }) => manifest.created_at).sort()[0]!,
    device: parts.map(({ manifest }) => manifest.device ?? null).find((device) => device !== null) ?? null,
    shard: null,
    stopped: stopped.length === 0 ? null : stopped.join('. '),
    runs: first.runs.map(({ shard: _, ...run }) => ({ ...run, run_id: null, status: null })),
  };
}

/** Copies a file or a folder; nothing where there is none. @throws DataError */
async function copied(from: string, to: string): Promise<void> {
  if ((await stat(from).catch(() => null)) === null) return;
  await cp(from, to, { recursive: true }).catch((cause: NodeJS.ErrnoException) => {
    throw new DataError(to, `${from} cannot be copied here (${inWords(cause)})`, { cause });
  });
}
