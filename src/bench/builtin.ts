/**
 * Models and data that a suite names without a path: the package's tiny model, random models, texts from npm packages.
 */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { uniformInt } from 'pure-rand/distribution/uniformInt';
import { xoroshiro128plus } from 'pure-rand/generator/xoroshiro128plus';
import type { TrainConfig } from '../config/index.ts';
import { show } from '../config/show.ts';
import { ConfigError } from '../errors.ts';
import { REFERENCE_MODELS, referenceConfig } from '../estimate/reference-models.ts';
import { CONFIG_FILE, readModelConfig } from '../formats/hf-config.ts';
import { writeText } from '../formats/reader.ts';
import { RANDOM_WEIGHTS_FILE } from '../model/random-weights.ts';
import { nodeReader, nodeWriter } from '../node/files.ts';
import { BUILTIN_TEXTS, type BuiltinText, builtinText } from './builtin-data.ts';

export const BUILTIN_PREFIX = 'builtin:';

/** Folders of models, relative to this one: src/bench and dist/bench are equally deep in the package. */
const MODELS: Readonly<Record<string, string>> = { tiny: '../../bench/models/tiny/' };

/** builtin:random-NAME is a published shape with random weights, to measure speed and memory without the real ones. */
const RANDOM_PREFIX = 'random-';
const RANDOM_MODELS: ReadonlyMap<string, string> = new Map(
  Object.keys(REFERENCE_MODELS).map((name) => [RANDOM_PREFIX + name.toLowerCase(), name]),
);
/** Llama's standard deviation at initialization. */
const RANDOM_WEIGHTS = { seed: 0, std: 0.02 };
/** A dataset of random tokens in rows of max_length. */
const RANDOM_TOKENS = 'random-tokens';
const RANDOM_ROWS = 64;

/** A dataset as the run reads it; its hash is part of the run's identity. */
type BuiltinFile = {
  readonly name: BuiltinText | typeof RANDOM_TOKENS;
  readonly path: string;
  readonly bytes: number;
  readonly sha256: string;
};

type Paths = Pick<TrainConfig, 'model_name_or_path' | 'datasets' | 'eval_datasets' | 'max_length'>;

/**
 * Replaces every `builtin:` path by a real one, and writes what it names to `directory`. The bytes are the same each
 * time, so that all runs of a suite may share the folder.
 * @throws ConfigError for a built-in that does not exist
 */
export async function resolveBuiltins<C extends Paths>(
  config: C,
  directory: string,
): Promise<{ config: C; files: readonly BuiltinFile[] }> {
  const files = new Map<string, BuiltinFile>();
  const model_name_or_path = await modelPath(config.model_name_or_path, directory);
  const resolveData = (key: 'datasets' | 'eval_datasets') =>
    Promise.all(
      config[key].map(async (spec) => {
        const name = builtinName(spec.path);
        if (name === null) return spec;
        const isTokens = name === RANDOM_TOKENS;
        const file = isTokens
          ? await writeRandomTokens(directory, model_name_or_path, config.max_length!)
          : await writeBuiltinText(name, directory, key);
        files.set(name, file);
        return { ...spec, path: file.path };
      }),
    );
  const datasets = await resolveData('datasets');
  const eval_datasets = await resolveData('eval_datasets');
  return { config: { ...config, model_name_or_path, datasets, eval_datasets }, files: [...files.values()] };
}

function builtinName(path: string): string | null {
  return path.startsWith(BUILTIN_PREFIX) ? path.slice(BUILTIN_PREFIX.length) : null;
}

async function modelPath(path: string, directory: string): Promise<string> {
  const name = builtinName(path);
  if (name === null) return path;
  const random = RANDOM_MODELS.get(name);
  if (random !== undefined) return writeRandomModel(name, random, directory);
  const folder = Object.hasOwn(MODELS, name) ? MODELS[name] : undefined;
  if (folder === undefined)
    throw unknown('model_name_or_path', path, [...Object.keys(MODELS), ...RANDOM_MODELS.keys()]);
  return fileURLToPath(new URL(folder, import.meta.url));
}

async function writeRandomModel(name: string, shape: string, directory: string): Promise<string> {
  const writer = nodeWriter(join(directory, name));
  await writeText(writer, CONFIG_FILE, `${JSON.stringify(referenceConfig(shape), null, 2)}\n`);
  await writeText(writer, RANDOM_WEIGHTS_FILE, `${JSON.stringify(RANDOM_WEIGHTS)}\n`);
  return join(directory, name);
}

/** Writes rows of uniform token ids, the same for the same vocabulary and length. */
async function writeRandomTokens(directory: string, model: string, length: number): Promise<BuiltinFile> {
  const { vocab_size } = await readModelConfig(nodeReader(model));
  const random = xoroshiro128plus(RANDOM_WEIGHTS.seed);
  const row = () => Array.from({ length }, () => uniformInt(random, 0, vocab_size - 1));
  const text = Array.from({ length: RANDOM_ROWS }, () => `${JSON.stringify({ input_ids: row() })}\n`).join('');
  return writeFile(RANDOM_TOKENS, `${RANDOM_TOKENS}-${vocab_size}-${length}.jsonl`, text, directory);
}

async function writeBuiltinText(name: string, directory: string, key: string): Promise<BuiltinFile> {
  if (!isBuiltinText(name)) throw unknown(key, BUILTIN_PREFIX + name, [...BUILTIN_TEXTS, RANDOM_TOKENS]);
  return writeFile(name, `${name}.txt`, await builtinText(name), directory);
}

async function writeFile(
  name: BuiltinFile['name'],
  file: string,
  text: string,
  directory: string,
): Promise<BuiltinFile> {
  await writeText(nodeWriter(directory), file, text);
  const bytes = Buffer.byteLength(text);
  return { name, path: join(directory, file), bytes, sha256: createHash('sha256').update(text).digest('hex') };
}

function isBuiltinText(name: string): name is BuiltinText {
  return (BUILTIN_TEXTS as readonly string[]).includes(name);
}

function unknown(path: string, got: string, known: readonly string[]): ConfigError {
  const names = known.map((name) => BUILTIN_PREFIX + name).join(', ');
  return new ConfigError([{ path, message: `got ${show(got)}; the built-in ones are ${names}` }]);
}
