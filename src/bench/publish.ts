/** Publishes a suite: a copy of what others need to read it and to repeat it, without a path of this machine. */
import { cp, mkdir, rm } from 'node:fs/promises';
import path from 'node:path';
import { ConfigError, DataError } from '../errors.ts';
import { writeText } from '../formats/reader.ts';
import { inWords, nodeWriter, temporaryName } from '../node/files.ts';
import { verdictText } from '../report/sections/verdict.ts';
import type { SuiteInput, SuiteManifest } from '../results/summary-schema.ts';
import { hashedFiles, readLocal, SUITE_FILE } from './inputs.ts';
import { readManifest, writeManifest } from './manifest.ts';
import { type PrivateRoot, privateRoots, requirePublic } from './private-paths.ts';
import { publicationReadme } from './publication-readme.ts';
import { RUN_SUFFIX } from './read-runs.ts';
import { readSuiteFolder, type SuiteResult, writeSummary } from './suite-folder.ts';
import { writeReport } from './write-report.ts';

/** Rows and templates beyond this are named with their hashes instead of copied. */
const MOST_COPIED_BYTES = 32 * 2 ** 20;

export type PublishOptions = {
  /** Name of the published folder. */
  readonly name: string;
  /** Where a reader has an input from that is not copied, by the input's name. */
  readonly sources: ReadonlyMap<string, string>;
};

/**
 * Copies a suite into a new folder beside `target`, for the caller to put there.
 * @returns the folder
 * @throws ConfigError for an input that a reader could not have; DataError for edited records, inputs that changed since, and
 * paths of this machine; nothing is left then
 */
export async function publishedCopy(folder: string, target: string, options: PublishOptions): Promise<string> {
  const result = await readSuiteFolder(folder);
  const manifest = await repeatable(folder);
  const local = await readLocal(folder);
  const inputs = withSources(manifest.inputs ?? [], options.sources);
  const copy = temporaryName(path.resolve(target));
  try {
    await mkdir(copy, { recursive: true });
    for (const input of inputs) if (input.from === 'folder') await copyInput(input, local, copy);
    for (const { file } of manifest.runs) await copyFile(path.join(folder, file), path.join(copy, file));
    await copyFile(path.join(folder, SUITE_FILE), path.join(copy, SUITE_FILE));
    await writeManifest(copy, { ...manifest, inputs });
    await writeSummary(copy, result.summary);
    await writeReport({ dir: copy, ...result });
    const readme = publicationReadme({ ...options, manifest: { ...manifest, inputs }, verdict: verdictOf(result) });
    await writeText(nodeWriter(copy), 'README.md', readme);
    await requirePublic(copy, [...privateRoots(folder), ...rootsOf(local)]);
    return copy;
  } catch (error) {
    await rm(copy, { recursive: true, force: true });
    throw error;
  }
}

const verdictOf = ({ summary }: SuiteResult): string => verdictText(summary);

/** @throws ConfigError for the folder of something that cannot be repeated */
async function repeatable(folder: string): Promise<SuiteManifest> {
  const manifest = await readManifest(folder);
  if (manifest?.inputs !== undefined) return manifest;
  const what = manifest === null ? 'holds no suite.json' : 'is of a nibble that did not note what its runs read';
  const message = `${folder} ${what}, so that nobody could repeat it; run the suite again with nibble bench run`;
  throw new ConfigError([{ path: 'folder', message }]);
}

/** Settles which inputs lie in the folder, and where readers have the others from. @throws ConfigError */
function withSources(inputs: readonly SuiteInput[], sources: ReadonlyMap<string, string>): SuiteInput[] {
  const named = new Set(inputs.map(({ name }) => name));
  const unknown = [...sources.keys()].filter((name) => !named.has(name));
  const settled = inputs.map((input): SuiteInput => {
    const source = sources.get(input.name) ?? input.source;
    return isCopied(input, source) ? { ...input, from: 'folder', source } : { ...input, source };
  });
  const problems = [
    ...unknown.map((name) => ({
      path: '--source',
      message: `${name} is no input; wanted one of ${[...named].join(', ')}`,
    })),
    ...settled
      .filter(({ from, source }) => from === 'reader' && source === null)
      .map(({ name, kind, files }) => ({
        path: '--source',
        message: `is missing for ${name}, ${kind === 'rows' || kind === 'template' ? `which is too large to copy (${bytesOf(files)} bytes)` : `a ${kind}, which is not copied`}: --source ${name}=URL says where a reader has it from`,
      })),
  ];
  if (problems.length > 0) throw new ConfigError(problems);
  return settled;
}

function isCopied({ kind, from, files }: SuiteInput, source: string | null): boolean {
  if (from !== 'reader' || source !== null) return false;
  return (kind === 'rows' || kind === 'template') && bytesOf(files) <= MOST_COPIED_BYTES;
}

const bytesOf = (files: SuiteInput['files']): number => files.reduce((sum, { bytes }) => sum + bytes, 0);

async function copyInput(input: SuiteInput, local: ReadonlyMap<string, string>, copy: string): Promise<void> {
  const from = local.get(input.name);
  if (from === undefined)
    throw new DataError(input.name, 'is nowhere on this machine by local.json; publish where the suite ran');
  await requireUnchanged(input, from, 'since the suite read it; put back what it was');
  for (const { path: file } of input.files) await copyFile(path.join(from, file), path.join(copy, input.name, file));
}

/** @throws DataError for a file that is absent or has another hash. @param when ends the sentence of one that changed */
export async function requireUnchanged(input: SuiteInput, at: string, when: string): Promise<void> {
  const found = new Map((await hashedFiles(at, input.kind)).map((file) => [file.path, file.sha256]));
  for (const { path: file, sha256 } of input.files) {
    const name = path.join(at, file);
    const got = found.get(file);
    if (got === undefined) throw new DataError(name, `is not there; ${input.name} holds it (sha256 ${sha256})`);
    if (got !== sha256) throw new DataError(name, `has the hash ${got}, and had ${sha256}: it changed ${when}`);
  }
}

async function copyFile(from: string, to: string): Promise<void> {
  await cp(from, to, { recursive: true }).catch((cause: NodeJS.ErrnoException) => {
    // a run that was not made has no record
    if (cause.code === 'ENOENT' && from.endsWith(RUN_SUFFIX)) return;
    throw new DataError(from, `cannot be copied (${inWords(cause)}); nothing was published`, { cause });
  });
}

function rootsOf(local: ReadonlyMap<string, string>): PrivateRoot[] {
  return [...local].map(([name, root]) => ({ root, name }));
}
