/** What a command is given as its model: a folder, a config.json, a name on the hub, or one of the published shapes that nibble knows. */
import { stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { ResolvedConfig, SourceFile, TrainSettings } from '../../config/index.ts';
import { REFERENCE_MODELS, referenceConfig } from '../../estimate/reference-models.ts';
import { usualSettings } from '../../estimate/usual.ts';
import { parseHubName } from '../../formats/hub-cache.ts';
import { type EstimateEvent, estimateInputs } from '../../node/estimate.ts';
import type { CliContext } from './context.ts';
import { readSource, readTrainConfig } from './read-config.ts';

/** Settings for a model, and the model's config.json. */
export type ModelTarget = { readonly config: ResolvedConfig; readonly modelConfig: SourceFile };

/**
 * Reads the model that `target` names, with the usual settings where none is given; or the run that it describes as a YAML
 * configuration, with its own.
 * @throws ConfigError, DataError
 */
export async function readTarget(
  context: CliContext,
  target: string,
  settings: Readonly<Record<string, unknown>>,
): Promise<ModelTarget> {
  const given = (await modelConfigAt(target, context)) ?? (await referenceNamed(target));
  const model = given === undefined ? await hubNamed(target) : modelNameOf(given);
  const read = (path: string | undefined, more: object, usual: TrainSettings) =>
    readTrainConfig(context, path, { ...more, ...settings }, { purpose: 'estimate', usual });
  const adapter = settings.adapter_name_or_path as string | undefined;
  const asked =
    model === undefined
      ? await read(target, {}, {})
      : await read(undefined, { model_name_or_path: model }, usualSettings(adapter));
  if (given !== undefined) return { config: asked, modelConfig: given };
  const onEvent = (event: EstimateEvent): void => {
    if (event.type === 'note') context.stderr.write(`note: ${event.text}\n`);
  };
  const { config, modelConfig } = await estimateInputs(asked, { onEvent, signal: context.signal });
  const { text } = await readSource(join(config.values.model_name_or_path, 'config.json'), context);
  return { config, modelConfig: { path: modelConfig, text } };
}

/** The folder of a config.json; a published shape is its own name. */
const modelNameOf = ({ path }: SourceFile): string => (Object.hasOwn(REFERENCE_MODELS, path) ? path : dirname(path));

const isThere = async (target: string): Promise<boolean> => (await stat(target).catch(() => null)) !== null;

async function hubNamed(target: string): Promise<string | undefined> {
  return parseHubName(target) === null || (await isThere(target)) ? undefined : target;
}

/** A published shape, whose name may be given in small letters. */
async function referenceNamed(target: string): Promise<SourceFile | undefined> {
  const name = Object.keys(REFERENCE_MODELS).find((known) => known.toLowerCase() === target.toLowerCase());
  if (name === undefined || (await isThere(target))) return undefined;
  return { path: name, text: JSON.stringify(referenceConfig(name)) };
}

/** Reads the model's config.json where `target` is that or its directory; undefined for a training configuration. */
async function modelConfigAt(target: string, context: CliContext): Promise<SourceFile | undefined> {
  const found = await stat(target).catch(() => null);
  if (found?.isDirectory()) return readSource(join(target, 'config.json'), context);
  return basename(target).endsWith('.json') ? readSource(target, context) : undefined;
}
