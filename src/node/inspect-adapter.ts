/** inspectAdapter(): what an adapter is, and how large its updates are against the weights of the base. */
import { type LoraConfig, readLoraConfig } from '../adapters/config.ts';
import { type Adapter, openAdapter } from '../adapters/files.ts';
import { baseFromFile, updateNorm } from '../adapters/inspect.ts';
import { adapterCounts } from '../adapters/layout.ts';
import { storedValues } from '../adapters/start-values.ts';
import type { HubConfig } from '../config/hub.ts';
import { DataError } from '../errors.ts';
import { openCheckpoint, type TensorSource } from '../formats/checkpoint.ts';
import { elementCount } from '../formats/dtype.ts';
import { type ModelConfig, readModelConfig } from '../formats/hf-config.ts';
import { adapterBase } from '../model/adapter-base.ts';
import { withPrefix } from '../model/base-prefix.ts';
import { checkWeights } from '../model/check-weights.ts';
import { dequantizedSource } from '../model/merge/dequantized.ts';
import { mergedSource } from '../model/merge/source.ts';
import type { UpdateSize } from '../model/merge/update-size.ts';
import { parameterCount } from '../model/modules.ts';
import { withTiedHead } from '../model/tied-head.ts';
import { Codec } from '../wasm/codec.ts';
import { findModel } from './adapter-model.ts';
import type { CallOptions, WorkEvent } from './call.ts';
import { loadWasmModule } from './codec.ts';
import { nodeReader } from './files.ts';
import { adapterFolder } from './hub-folders.ts';

/** One adapted module. */
export type InspectedTarget = {
  readonly module: string;
  readonly rank: number;
  readonly alpha: number;
  readonly scaling: number;
  readonly parameters: number;
  /** Frobenius norm of what is added to the weight; null of a DoRA without its base, since it rescales the base's rows. */
  readonly update_norm: number | null;
  /** The same of the base's weight; null without a base. */
  readonly weight_norm: number | null;
};

/** What `nibble adapters inspect --json` prints. */
export type AdapterReport = {
  readonly adapter: string;
  readonly base_model_name_or_path: string | null;
  /** The folder of the base that was read; null where none is at hand. */
  readonly model: string | null;
  readonly method: 'lora' | 'dora';
  readonly r: number;
  readonly lora_alpha: number;
  readonly use_rslora: boolean;
  readonly lora_dropout: number;
  readonly bias: LoraConfig['bias'];
  readonly lora_bias: boolean;
  readonly modules_to_save: readonly string[] | null;
  /** Tokens whose rows are trained, by the names of their modules. */
  readonly trainable_tokens: Readonly<Record<string, readonly number[]>>;
  readonly trainable_parameters: number;
  /** Parameters of base and adapter together; null without a base. */
  readonly all_parameters: number | null;
  readonly targets: readonly InspectedTarget[];
  /** Parameters of the base that are trained whole. */
  readonly trained_whole: readonly string[];
};

export type InspectJob = {
  readonly adapter: string;
  readonly model?: string | undefined;
  readonly modelName: string;
  readonly config: HubConfig;
};
export type InspectEvent = WorkEvent<'download'>;

/** Reads the adapter, and the base where there is one. @throws ConfigError, DataError */
export async function inspectAdapterFolder(
  job: InspectJob,
  { onEvent = () => undefined, signal = new AbortController().signal }: CallOptions<InspectEvent>,
): Promise<AdapterReport> {
  const { config: asked, ...given } = job;
  const hub = { ...asked, signal, onEvent };
  const { offline } = asked;
  const folder = await adapterFolder(job.adapter, { setting: 'adapter', offline, signal, onEvent });
  const reader = nodeReader(folder);
  const loraConfig = await readLoraConfig(reader);
  const model = await findModel({ ...given, adapter: folder, need: 'model', hub });
  const notes: string[] = [];
  const config = model === null ? null : await readModelConfig(nodeReader(model), notes);
  const adapter = await openAdapter(reader, config === null ? await baseFromFile(reader) : adapterBase(config));
  const base = model === null || config === null ? null : await openBase(model, config, notes);
  for (const text of [...notes, ...adapter.notes]) onEvent({ type: 'note', text });
  const values = await storedValues(adapter);
  const sizes = base === null ? null : await updateSizes(adapter, base, signal);
  const targets = adapter.layout.targets.map((target): InspectedTarget => {
    const { name, rank, alpha, scaling, out, in: width } = target;
    const size = sizes?.get(`${name}.weight`);
    const byWeights = (rms: number | undefined): number | null =>
      rms === undefined ? null : rms * Math.sqrt(out * width);
    return {
      module: name,
      rank,
      alpha,
      scaling,
      parameters: rank * (out + width) + (adapter.layout.dora || adapter.layout.loraBias ? out : 0),
      update_norm: adapter.layout.dora ? byWeights(size?.updateRms) : updateNorm(target, values),
      weight_norm: byWeights(size?.weightRms),
    };
  });
  const { trainable, added } = adapterCounts(adapter.layout);
  return {
    adapter: job.adapter,
    base_model_name_or_path: loraConfig.base_model_name_or_path,
    model,
    method: adapter.layout.dora ? 'dora' : 'lora',
    r: loraConfig.r,
    lora_alpha: loraConfig.lora_alpha,
    use_rslora: loraConfig.use_rslora,
    lora_dropout: loraConfig.lora_dropout,
    bias: loraConfig.bias,
    lora_bias: loraConfig.lora_bias,
    modules_to_save: loraConfig.modules_to_save,
    trainable_tokens: Object.fromEntries(adapter.layout.tokens.map(({ module, indices }) => [module, indices])),
    trainable_parameters: trainable,
    all_parameters: config === null ? null : parameterCount(config) + added,
    targets,
    trained_whole: adapter.layout.trained.map(({ name }) => name),
  };
}

/** The base's weights, decoded where they are in 4 bits; null where its folder has none. */
async function openBase(model: string, config: ModelConfig, notes: string[]): Promise<TensorSource | null> {
  const checkpoint = await openCheckpoint(nodeReader(model)).catch((error: unknown) => {
    if (!(error instanceof DataError)) throw error;
    notes.push(`${model} has no weights that can be read: norms of the base are left out`);
    return null;
  });
  if (checkpoint === null) return null;
  const source = await withTiedHead(config, withPrefix(checkpoint, notes));
  await checkWeights(config, source, notes);
  return dequantizedSource(source, new Codec(await loadWasmModule()), 'float32');
}

/** Bytes of a weight that are read at once. */
const SLAB_BYTES = 4 * 2 ** 20;

/** Reads the merged weights, whose meters say how large update and weight are. */
async function updateSizes(
  adapter: Adapter,
  base: TensorSource,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, UpdateSize>> {
  const codec = new Codec(await loadWasmModule());
  const merged = await mergedSource(base, adapter, { codec, safeMerge: false });
  for (const { name } of adapter.layout.targets) {
    const weight = `${name}.weight`;
    const { bytes, shape } = merged.info(weight);
    const row = bytes / elementCount(shape.slice(0, 1));
    const slab = Math.max(1, Math.floor(SLAB_BYTES / row)) * row;
    for (let at = 0; at < bytes; at += slab) {
      signal.throwIfAborted();
      await merged.read(weight, at, new Uint8Array(Math.min(slab, bytes - at)));
    }
  }
  return merged.updates();
}
