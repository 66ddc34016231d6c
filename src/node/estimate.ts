/** estimate(): GPU memory of a run before there is one, from a model's folder or the content of its config.json. */
import { join } from 'node:path';
import { isTooDeep } from '../config/depth.ts';
import {
  loadTrainConfig,
  type ResolvedConfig,
  type SourceFile,
  settleComputeDtype,
  type TrainSettings,
} from '../config/index.ts';
import { show } from '../config/show.ts';
import { ConfigError, type ConfigProblem } from '../errors.ts';
import { cardNamed } from '../estimate/card-names.ts';
import type { Card } from '../estimate/cards.ts';
import { estimateGuide } from '../estimate/guide.ts';
import { estimateMethods } from '../estimate/methods.ts';
import { ESTIMATED_METHODS, type EstimateResult } from '../estimate/types.ts';
import { usualSettings } from '../estimate/usual.ts';
import { CONFIG_FILE, parseModelConfig } from '../formats/hf-config.ts';
import { parseObject } from '../formats/json.ts';
import { memoryReader } from '../formats/memory.ts';
import type { FileReader } from '../formats/reader.ts';
import { type DeviceProfile, KNOWN_PROFILES } from '../gpu/device-profile.ts';
import { withAdapterSettings } from '../train/adapter-settings.ts';
import { type CallOptions, callProblems, collect, requireOptions, type WorkEvent } from './call.ts';
import { checkedProfile } from './check-profile.ts';
import { loadShaders } from './device.ts';
import { nodeReader } from './files.ts';
import { hubAccess } from './hub-access.ts';
import { fetchInputs } from './hub-inputs.ts';
import { requireModel } from './inputs.ts';

export type EstimateEvent = WorkEvent<'download' | 'estimate'>;

export type EstimateOptions = TrainSettings &
  CallOptions<EstimateEvent> & {
    /** Content of a model's config.json, instead of model_name_or_path. */
    readonly model_config?: object | undefined;
    /** Limits and features of the device: a name of KNOWN_PROFILES, or a profile; by default nvidia. */
    readonly profile?: string | DeviceProfile | undefined;
    /**
     * Adds what each size of card holds, and takes the settings that people train with where none is given: USUAL, instead of
     * the defaults of finetune().
     */
    readonly guide?: boolean | undefined;
    /** The card to answer for: a name such as rtx4090, or its size in GB. Asks for the guide, and gives the profile. */
    readonly gpu?: string | number | undefined;
  };

const DEFAULT_PROFILE = 'nvidia';

/** Whether to say what cards hold: all usual sizes, or the one card. */
export type GuideFor = { readonly card: Card | null };

/**
 * Estimates peak GPU memory in bytes of LoRA, QLoRA and full training, by category and by phase, for full batches.
 * Needs no GPU and no weights.
 * @throws ConfigError with all that is wrong in the options; DataError for files that cannot be read; DeviceError when
 * the device of the profile can do none of the methods
 */
export async function estimate(options: EstimateOptions): Promise<EstimateResult> {
  requireOptions('estimate', options, "{ model_name_or_path: './llama' }");
  const { model_config, profile, guide: wantsGuide = false, gpu, onEvent, signal, ...settings } = options;
  const problems: ConfigProblem[] = callProblems(options);
  const given = collect(problems, () => configText(model_config));
  if (typeof wantsGuide !== 'boolean')
    problems.push({ path: 'guide', message: `got ${show(wantsGuide)}, wanted true or false (options)` });
  const card = collect(problems, () => (gpu === undefined ? null : cardNamed(String(gpu), 'gpu'))) ?? null;
  const device = collect(problems, () => deviceProfile(profile === undefined ? card?.maker : profile, 'profile'));
  const guide = wantsGuide || card !== null ? { card } : null;
  const usual = guide === null ? {} : usualSettings(settings.adapter_name_or_path);
  const config = collect(problems, () =>
    loadTrainConfig({ options: withModelName(settings, model_config), usual }, 'estimate'),
  );
  if (device === undefined || config === undefined || problems.length > 0) throw new ConfigError(problems);
  for (const { path, message } of config.notices) onEvent?.({ type: 'note', text: `${path}: ${message}` });
  const call = { onEvent, signal };
  if (given === undefined) {
    const found = await estimateInputs(config, call);
    const text = await nodeReader(found.config.values.model_name_or_path).readText(CONFIG_FILE);
    return estimateConfig(
      { config: found.config, modelConfig: { path: found.modelConfig, text }, device, guide },
      call,
    );
  }
  const inMemory = memoryReader(new Map([[CONFIG_FILE, given]]), GIVEN);
  const readerOf = (directory: string): FileReader => (directory === GIVEN ? inMemory : nodeReader(directory));
  return estimateConfig({ config, modelConfig: { path: GIVEN, text: given }, device, readerOf, guide }, call);
}

/**
 * Finds the model of an estimate, on this machine or on the hub, of which config.json alone is fetched.
 * @returns the configuration with folders of this machine, and what messages call the model's config.json
 */
export async function estimateInputs(
  asked: ResolvedConfig,
  { onEvent = () => undefined, signal = new AbortController().signal }: CallOptions<EstimateEvent>,
): Promise<{ readonly config: ResolvedConfig; readonly modelConfig: string }> {
  const hub = () => hubAccess({ offline: asked.values.offline, signal, onEvent });
  const { config, names } = await fetchInputs(asked, hub, 'config');
  await requireModel(config);
  return { config, modelConfig: join(names.model_name_or_path ?? config.values.model_name_or_path, CONFIG_FILE) };
}

/** The text of a config.json given as an object; undefined where none is. @throws ConfigError for what JSON cannot hold */
function configText(given: unknown): string | undefined {
  if (given === undefined) return undefined;
  const wanted = 'wanted the content of a config.json (options)';
  if (typeof given !== 'object' || given === null || Array.isArray(given) || isTooDeep(given))
    throw new ConfigError([{ path: GIVEN, message: `got ${show(given)}, ${wanted}` }]);
  try {
    return JSON.stringify(given);
  } catch (error) {
    throw new ConfigError([{ path: GIVEN, message: `is no JSON (${(error as Error).message}), ${wanted}` }]);
  }
}

/** Looks up a profile by name, or checks the given one. @throws ConfigError at `path` that lists the names, or its faults */
export function deviceProfile(profile: string | DeviceProfile = DEFAULT_PROFILE, path: string): DeviceProfile {
  if (typeof profile !== 'string') return checkedProfile(profile, path);
  const known = Object.hasOwn(KNOWN_PROFILES, profile) ? KNOWN_PROFILES[profile] : undefined;
  if (known !== undefined) return known;
  const names = Object.keys(KNOWN_PROFILES).join(', ');
  throw new ConfigError([{ path, message: `got ${show(profile)}, wanted one of ${names}` }]);
}

type ConfigJob = {
  readonly config: ResolvedConfig;
  readonly modelConfig: SourceFile;
  readonly device: DeviceProfile;
  /** Null for the estimates alone. */
  readonly guide?: GuideFor | null;
  /** Reader of a directory; by default directories of this machine. */
  readonly readerOf?: (directory: string) => FileReader;
};

/** The work behind estimate() and `nibble estimate`. */
export async function estimateConfig(
  { config: given, modelConfig, device, guide = null, readerOf = nodeReader }: ConfigJob,
  { onEvent, signal }: CallOptions<EstimateEvent>,
): Promise<EstimateResult> {
  const { path, text } = modelConfig;
  const model = parseModelConfig(parseObject(text, path), path);
  const { config, note } = settleComputeDtype(await withAdapterSettings(given, readerOf), device);
  if (note !== null) onEvent?.({ type: 'note', text: note });
  onEvent?.({ type: 'phase', phase: 'estimate', total: guide === null ? ESTIMATED_METHODS.length : 0 });
  const job = { config, model, modelName: path, profile: device, shaders: loadShaders() };
  const onPlan = async (label: string): Promise<void> => {
    // recording a plan blocks the event loop: an abort can arrive only here
    await new Promise((resolve) => setImmediate(resolve));
    signal?.throwIfAborted();
    onEvent?.({ type: 'progress', phase: 'estimate', label });
  };
  const result = await estimateMethods(job, onPlan);
  if (guide === null) return result;
  return { ...result, guide: await estimateGuide({ ...job, ...guide }, onPlan) };
}

/** Name of the directory where the model is given as an object. */
const GIVEN = 'model_config';

function withModelName(settings: TrainSettings, modelConfig: object | undefined): TrainSettings {
  if (modelConfig === undefined) return settings;
  if (settings.model_name_or_path === undefined) return { ...settings, model_name_or_path: GIVEN };
  throw new ConfigError([
    { path: GIVEN, message: 'says the same as model_name_or_path; keep one of the two (options)' },
  ]);
}
