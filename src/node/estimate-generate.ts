/** estimateGenerate(): GPU memory of generation before there is any, from a model's folder or its config.json. */
import { ADAPTER_CONFIG_FILE, readLoraConfig } from '../adapters/config.ts';
import { type AdapterLayout, adapterLayout } from '../adapters/layout.ts';
import { checkGenerateEstimate, type GenerateEstimateConfig, type GenerateEstimateInput } from '../config/generate.ts';
import { ConfigError, type ConfigProblem } from '../errors.ts';
import { allowedBytes } from '../estimate/allowed.ts';
import type { GenerateEstimateResult } from '../estimate/generation-figures.ts';
import type { GenerationLengths } from '../estimate/generation-lengths.ts';
import { estimateForms, type GenerationForm } from '../estimate/generation-result.ts';
import { REFERENCE_MODELS, referenceConfig } from '../estimate/reference-models.ts';
import { INDEX_FILE, SINGLE_FILE, type TensorSource } from '../formats/checkpoint.ts';
import { floatType } from '../formats/dtype.ts';
import { CONFIG_FILE, type ModelConfig, readModelConfig } from '../formats/hf-config.ts';
import { memoryReader } from '../formats/memory.ts';
import { type FileReader, place } from '../formats/reader.ts';
import { DEFAULT_NEW_TOKENS } from '../generate/resolve.ts';
import type { DeviceProfile } from '../gpu/device-profile.ts';
import { chooseTier } from '../gpu/tier.ts';
import { adapterBase } from '../model/adapter-base.ts';
import { type BaseStorage, baseStorage } from '../model/base-storage.ts';
import { allLinears } from '../model/modules.ts';
import { openWeights, RANDOM_WEIGHTS_FILE } from '../model/random-weights.ts';
import { withTiedHead } from '../model/tied-head.ts';
import type { CallOptions } from './call.ts';
import { loadShaders } from './device.ts';
import { deviceProfile, type EstimateEvent } from './estimate.ts';
import { nodeReader } from './files.ts';
import { hubAccess } from './hub-access.ts';
import { locate } from './hub-models.ts';
import { requireAdapterFolder, requireModelFolder } from './inputs.ts';
import type { NamedFolder } from './prompts.ts';

export type GenerateEstimateOptions = GenerateEstimateInput &
  CallOptions<EstimateEvent> & {
    /** Directory of a Hugging Face model, of which config.json is enough, or its name on the hub. */
    readonly model_name_or_path: string;
    /** Directories of PEFT adapters, or their names on the hub, by name; adapter_config.json is enough. */
    readonly adapters?: Readonly<Record<string, string>> | undefined;
    /** Limits and features of the device: a name of KNOWN_PROFILES, or a profile; by default nvidia. */
    readonly profile?: string | DeviceProfile | undefined;
  };

/**
 * Estimates peak GPU memory in bytes of generate() for a batch of prompts that fill the context, with the base as its checkpoint holds
 * it and in 4 bits. Needs no GPU and no weights; where the weights are there, it looks up how they are stored.
 * @throws ConfigError with all that is wrong in the options; DataError for files that cannot be read; DeviceError
 */
export async function estimateGenerate(options: GenerateEstimateOptions): Promise<GenerateEstimateResult> {
  const { model_name_or_path: model, adapters = {}, profile, onEvent, signal, ...given } = options;
  const isEmpty = typeof model !== 'string' || model === '';
  const missing: ConfigProblem[] = isEmpty
    ? [{ path: 'model_name_or_path', message: 'is missing; wanted the path of a directory (options)' }]
    : [];
  const config = checkGenerateEstimate(given, () => 'options', missing);
  const folders = Object.entries(adapters).map(([name, directory]) => ({ name, directory }));
  const job = {
    model,
    modelName: 'model_name_or_path',
    adapters: folders,
    config,
    device: deviceProfile(profile, 'profile'),
  };
  return estimateGenerateFrom(job, { onEvent, signal });
}

export type GenerateEstimateJob = {
  readonly model: string;
  /** What messages call the model's folder. */
  readonly modelName: string;
  readonly adapters: readonly NamedFolder[];
  readonly config: GenerateEstimateConfig;
  readonly device: DeviceProfile;
};

/** The work behind estimateGenerate() and `nibble estimate --generate`. */
export async function estimateGenerateFrom(
  given: GenerateEstimateJob,
  { onEvent = () => undefined, signal = new AbortController().signal }: CallOptions<EstimateEvent>,
): Promise<GenerateEstimateResult> {
  const { config, device } = given;
  const { base, readers } = await foldersOf(given, onEvent, signal);
  const { model, source, notes } = await openBase(base);
  for (const text of notes) onEvent({ type: 'note', text });
  const layouts = await Promise.all(readers.map((reader) => layoutOf(reader, model)));
  const computeDtype = floatType(config.compute_dtype).gpu;
  const profile = { ...device, tier: chooseTier(device, config.matmul_tier, computeDtype).tier };
  const lengths = lengthsOf(config, model);
  const forms = (await storages(config, model, source)).map(({ name, storage }): GenerationForm => {
    return { name, base: { model, storage, adapters: layouts, computeDtype } };
  });
  const allowed = allowedBytes(config);
  onEvent({ type: 'phase', phase: 'estimate', total: forms.length });
  const job = { forms, lengths, allowed, profile, shaders: loadShaders() };
  const estimates = await estimateForms(job, async (label) => {
    // recording a plan blocks the event loop: an abort can arrive only here
    await new Promise((resolve) => setImmediate(resolve));
    signal.throwIfAborted();
    onEvent({ type: 'progress', phase: 'estimate', label });
  });
  return {
    profile: device.name,
    model: given.model,
    adapters: given.adapters.map(({ name }) => name),
    batch_size: lengths.batchSize,
    context: lengths.context,
    max_new_tokens: lengths.maxNewTokens,
    max_position_embeddings: model.max_position_embeddings,
    compute_dtype: config.compute_dtype,
    max_gpu_memory: allowed,
    kv_cache_bytes_per_token: cacheBytes(model),
    estimates,
  };
}

async function foldersOf(
  { model, modelName, adapters, config }: GenerateEstimateJob,
  onEvent: (event: EstimateEvent) => void,
  signal: AbortSignal,
): Promise<{ readonly base: FileReader; readonly readers: readonly FileReader[] }> {
  const hub = () => hubAccess({ offline: config.offline, signal, onEvent });
  const base = (await referenceReader(model)) ?? nodeReader(await baseFolder());
  const readers: FileReader[] = [];
  for (const { directory } of adapters) {
    const found = await locate(hub, directory, { need: 'adapter-config', setting: 'adapter' });
    await requireAdapterFolder('adapter', found.folder);
    readers.push(nodeReader(found.folder));
  }
  return { base, readers };

  async function baseFolder(): Promise<string> {
    const wanted = { need: 'config', setting: modelName, revision: config.model_revision } as const;
    const { folder } = await locate(hub, model, wanted);
    await requireModelFolder(modelName, folder);
    return folder;
  }
}

/** The config.json of a published shape, whose name may be given in small letters; null where there is such a folder, or no such shape. */
async function referenceReader(asked: string): Promise<FileReader | null> {
  const name = Object.keys(REFERENCE_MODELS).find((known) => known.toLowerCase() === asked.toLowerCase());
  if (name === undefined || (await nodeReader(asked).exists(CONFIG_FILE))) return null;
  return memoryReader(new Map([[CONFIG_FILE, JSON.stringify(referenceConfig(name))]]), name);
}

/** The model, and its weights where they are there: only they say which layers of a quantized checkpoint are in 4 bits. */
async function openBase(reader: FileReader): Promise<{
  readonly model: ModelConfig;
  readonly source: TensorSource | null;
  readonly notes: readonly string[];
}> {
  const notes: string[] = [];
  const model = await readModelConfig(reader, notes);
  for (const file of [SINGLE_FILE, INDEX_FILE, RANDOM_WEIGHTS_FILE])
    if (await reader.exists(file))
      return { model, source: await withTiedHead(model, await openWeights(reader, model, notes)), notes };
  if (model.quantization_config !== null)
    throw new ConfigError([
      {
        path: place(reader, CONFIG_FILE),
        message:
          'is of a quantized checkpoint, and which of its layers are in 4 bits only the weights say: give a folder with the weights, or the model it was made of with --load_in_4bit',
      },
    ]);
  return { model, source: null, notes };
}

async function layoutOf(reader: FileReader, model: ModelConfig): Promise<AdapterLayout> {
  const keyOf = (setting: string): string => `${place(reader, ADAPTER_CONFIG_FILE)}: ${setting}`;
  return adapterLayout(await readLoraConfig(reader), adapterBase(model), { keyOf, strict: false });
}

/** A window of text that most uses stay within: a model may have 131,072 positions. */
const DEFAULT_CONTEXT = 4096;

function lengthsOf(
  { context: asked, max_new_tokens, batch_size }: GenerateEstimateConfig,
  { max_position_embeddings: positions }: ModelConfig,
): GenerationLengths {
  if (asked !== null && asked > positions)
    throw new ConfigError([{ path: 'context', message: `got ${asked}, and the model has ${positions} positions` }]);
  const context = asked ?? Math.min(DEFAULT_CONTEXT, positions);
  if (max_new_tokens !== null && max_new_tokens >= context)
    throw new ConfigError([
      {
        path: 'max_new_tokens',
        message: `got ${max_new_tokens}, and the context of ${context} has to hold a prompt as well`,
      },
    ]);
  return {
    context,
    maxNewTokens: max_new_tokens ?? Math.max(1, Math.min(DEFAULT_NEW_TOKENS, context - 1)),
    batchSize: batch_size,
  };
}

/** The forms that the base can have: one where the checkpoint or a setting decides it, else as it is and in 4 bits. */
async function storages(
  config: GenerateEstimateConfig,
  model: ModelConfig,
  source: TensorSource | null,
): Promise<{ readonly name: string; readonly storage: BaseStorage }[]> {
  const asked = await baseStorage(config, model, source);
  const first = { name: formOf(asked, model), storage: asked };
  if (config.load_in_4bit || asked.prequantized.size > 0) return [first];
  const quantized = config.bnb_4bit_use_double_quant ? [true] : [false, true];
  const more = await Promise.all(
    quantized.map((bnb_4bit_use_double_quant) =>
      baseStorage({ ...config, load_in_4bit: true, bnb_4bit_use_double_quant }, model, source),
    ),
  );
  return [first, ...more.map((storage) => ({ name: formOf(storage, model), storage }))];
}

/** Names a form by the first linear layer that is quantized, else by the type of the first one. */
function formOf({ storedAs }: BaseStorage, model: ModelConfig): string {
  const all = allLinears(model).map(({ name }) => storedAs(name));
  const stored = all.find(({ kind }) => kind === '4bit') ?? all[0];
  if (stored?.kind !== '4bit') return stored?.kind === 'dense' ? LONG_NAMES[stored.dtype] : '';
  return stored.doubleQuant ? `${stored.quantType}+double` : stored.quantType;
}

const LONG_NAMES = { f32: 'float32', f16: 'float16', bf16: 'bfloat16' } as const;
const F32_BYTES = 4;

const cacheBytes = ({ num_hidden_layers, num_key_value_heads, head_dim }: ModelConfig): number =>
  2 * num_hidden_layers * num_key_value_heads * head_dim * F32_BYTES;
