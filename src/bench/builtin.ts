/** What a suite may name without a path: the tiny model of this package, and texts that npm packages ship. */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { TrainConfig } from '../config/index.ts';
import { ConfigError } from '../errors.ts';
import { nodeWriter } from '../formats/node.ts';
import { writeText } from '../formats/reader.ts';
import { BUILTIN_TEXTS, type BuiltinText, builtinText } from './builtin-data.ts';

export const BUILTIN_PREFIX = 'builtin:';

/** Folders below the package root; src/bench and dist/bench are equally deep in it. */
const MODELS: Readonly<Record<string, string>> = { tiny: '../../bench/models/tiny/' };

/** A text as the run reads it; the hash belongs into the run's identity. */
export type BuiltinFile = {
  readonly name: BuiltinText;
  readonly path: string;
  readonly bytes: number;
  readonly sha256: string;
};

type Paths = Pick<TrainConfig, 'model_name_or_path' | 'datasets' | 'eval_datasets'>;

/**
 * The configuration with every `builtin:` path replaced by a real one; texts are written to `directory` as NAME.txt.
 * Writing the same text twice gives the same bytes, so a folder may be shared by all runs of a suite.
 * @throws ConfigError for a built-in that does not exist
 */
export async function resolveBuiltins<C extends Paths>(
  config: C,
  directory: string,
): Promise<{ config: C; files: readonly BuiltinFile[] }> {
  const files = new Map<string, BuiltinFile>();
  const resolveData = (key: 'datasets' | 'eval_datasets') =>
    Promise.all(
      config[key].map(async (spec) => {
        const name = builtinName(spec.path);
        if (name === null) return spec;
        const file = await writeBuiltinText(name, directory, key);
        files.set(name, file);
        return { ...spec, path: file.path };
      }),
    );
  const model_name_or_path = modelPath(config.model_name_or_path);
  const datasets = await resolveData('datasets');
  const eval_datasets = await resolveData('eval_datasets');
  return { config: { ...config, model_name_or_path, datasets, eval_datasets }, files: [...files.values()] };
}

function builtinName(path: string): string | null {
  return path.startsWith(BUILTIN_PREFIX) ? path.slice(BUILTIN_PREFIX.length) : null;
}

function modelPath(path: string): string {
  const name = builtinName(path);
  if (name === null) return path;
  const folder = Object.hasOwn(MODELS, name) ? MODELS[name] : undefined;
  if (folder === undefined) throw unknown('model_name_or_path', path, Object.keys(MODELS));
  return fileURLToPath(new URL(folder, import.meta.url));
}

async function writeBuiltinText(name: string, directory: string, key: string): Promise<BuiltinFile> {
  if (!isBuiltinText(name)) throw unknown(key, BUILTIN_PREFIX + name, BUILTIN_TEXTS);
  const text = await builtinText(name);
  const file = `${name}.txt`;
  await writeText(nodeWriter(directory), file, text);
  const bytes = Buffer.byteLength(text);
  return { name, path: join(directory, file), bytes, sha256: createHash('sha256').update(text).digest('hex') };
}

function isBuiltinText(name: string): name is BuiltinText {
  return (BUILTIN_TEXTS as readonly string[]).includes(name);
}

function unknown(path: string, got: string, known: readonly string[]): ConfigError {
  const names = known.map((name) => BUILTIN_PREFIX + name).join(', ');
  return new ConfigError([{ path, message: `got ${JSON.stringify(got)}; the built-in ones are ${names}` }]);
}
