/** Checkpoints of a run as folders beside its results: each is written beside its place, flushed, and moved there whole. */
import { createHash, randomBytes } from 'node:crypto';
import { readdir, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { DataError } from '../errors.ts';
import type { FileWriter } from '../formats/reader.ts';
import {
  type CheckpointStore,
  type CheckpointWriter,
  stepOfCheckpoint,
  type WrittenFiles,
} from '../train/checkpoint-store.ts';
import { RESUME_FILE } from '../train/resume-file.ts';
import { inWords, nodeReader, nodeWriter, syncDirectory } from './files.ts';

/** What a process that was killed may leave: a checkpoint or a file on its way. */
const UNFINISHED = /\.[0-9a-f]{12}\.tmp$/;

/**
 * Keeps checkpoints in a folder that this process holds.
 * @param shown the folder as messages and trainer_state.json name it
 */
export function nodeCheckpoints(directory: string, shown = directory): CheckpointStore {
  const at = (name: string): string => path.join(directory, name);
  return {
    pathOf: (name) => path.join(shown, name),
    names: () => checkpointNames(directory),
    reader: (name) => nodeReader(at(name)),
    remove: async (name) => {
      // first under a name that nobody takes for a checkpoint, since removing takes a while
      const aside = `${at(name)}.${randomBytes(6).toString('hex')}.tmp`;
      await rename(at(name), aside);
      await rm(aside, { recursive: true, force: true });
    },
    write: (name, fill) => writeFolder(directory, name, fill),
  };
}

/** Names of the checkpoints in a folder that were written to their end, by step. */
export async function checkpointNames(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { withFileTypes: true }).catch(() => []);
  const names = entries
    .filter((entry) => entry.isDirectory() && stepOfCheckpoint(entry.name) !== null)
    .map(({ name }) => name);
  const whole = await Promise.all(names.map((name) => nodeReader(path.join(directory, name)).exists(RESUME_FILE)));
  return names.filter((_, i) => whole[i]).sort((a, b) => (stepOfCheckpoint(a) ?? 0) - (stepOfCheckpoint(b) ?? 0));
}

/** Removes what a killed process left unfinished in a folder that this process holds. */
export async function removeUnfinished(directory: string): Promise<void> {
  for (const name of await readdir(directory).catch(() => []))
    if (UNFINISHED.test(name)) await rm(path.join(directory, name), { recursive: true, force: true });
}

async function writeFolder(
  directory: string,
  name: string,
  fill: (folder: CheckpointWriter) => Promise<void>,
): Promise<void> {
  const target = path.join(directory, name);
  const temporary = `${target}.${randomBytes(6).toString('hex')}.tmp`;
  try {
    await fill(noting(nodeWriter(temporary)));
    await putInPlace(temporary, target);
  } catch (error) {
    await rm(temporary, { recursive: true, force: true }).catch(() => undefined);
    throw inPlace(error, temporary, target);
  }
  await syncDirectory(directory);
}

async function putInPlace(temporary: string, target: string): Promise<void> {
  const aside = `${target}.${randomBytes(6).toString('hex')}.tmp`;
  const replaces = await rename(target, aside).then(
    () => true,
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return false;
      throw error;
    },
  );
  await rename(temporary, target);
  if (replaces) await rm(aside, { recursive: true, force: true });
}

/** An error about a file that nobody knows, as one about the checkpoint. */
function inPlace(error: unknown, temporary: string, target: string): unknown {
  if (error instanceof DataError && error.file.startsWith(temporary)) {
    const file = target + error.file.slice(temporary.length);
    return new DataError(file, error.message.slice(error.file.length + 2), { cause: error });
  }
  if (!(error instanceof Error && 'syscall' in error)) return error;
  return new DataError(target, `cannot be written (${inWords(error as NodeJS.ErrnoException)}).`, { cause: error });
}

/** Notes the size and the hash of every file that passes. */
function noting(writer: FileWriter): CheckpointWriter {
  const written: Record<string, WrittenFiles[string]> = {};
  return {
    root: writer.root,
    written: () => ({ ...written }),
    write: async (file, chunks) => {
      const hash = createHash('sha256');
      let bytes = 0;
      const passing = async function* (): AsyncGenerator<Uint8Array> {
        for await (const chunk of chunks) {
          hash.update(chunk);
          bytes += chunk.byteLength;
          yield chunk;
        }
      };
      await writer.write(file, passing());
      written[file] = { bytes, sha256: hash.digest('hex') };
    },
  };
}
