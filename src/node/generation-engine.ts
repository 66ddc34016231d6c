/** What generating and serving begin with: folders that are there, and a model on the GPU. */
import type { Adapter } from '../adapters/files.ts';
import { storedValues } from '../adapters/start-values.ts';
import type { GenerateConfig } from '../config/generate.ts';
import { allowedBytes } from '../estimate/allowed.ts';
import { requireFit } from '../estimate/fit.ts';
import { estimateGeneration } from '../estimate/generation.ts';
import type { TensorSource } from '../formats/checkpoint.ts';
import { buildGeneration } from '../generate/build.ts';
import type { GenerationEngine } from '../generate/engine.ts';
import type { GenerationPlan } from '../generate/plan.ts';
import type { DeviceProfile } from '../gpu/device-profile.ts';
import { chooseTier } from '../gpu/tier.ts';
import { loadAdapters } from '../model/adapter-values.ts';
import { loadModel } from '../model/load.ts';
import { formatBytes } from '../report/format.ts';
import type { LoadEvent } from './call.ts';
import { driverMemory } from './gpu-memory.ts';
import { adapterFolder, modelFolder, templateFolder } from './hub-folders.ts';
import type { NamedFolder } from './prompts.ts';
import type { NodeRuntime } from './runtime.ts';

type Listener = { readonly onEvent: (event: LoadEvent) => void; readonly signal: AbortSignal };

type Folders = {
  readonly model: string;
  /** What messages call the model's folder. */
  readonly modelName: string;
  readonly adapters: readonly NamedFolder[];
  readonly config: Pick<GenerateConfig, 'offline' | 'model_revision' | 'chat_template_path'>;
};

/** Replaces names on the hub by folders, which have to be there. @throws ConfigError */
export async function foundFolders<Job extends Folders>(job: Job, { onEvent, signal }: Listener): Promise<Job> {
  const { offline, model_revision, chat_template_path } = job.config;
  const hub = { offline, signal, onEvent };
  const adapters: NamedFolder[] = [];
  for (const { name, directory } of job.adapters)
    adapters.push({ name, directory: await adapterFolder(directory, { setting: 'adapter', ...hub }) });
  const template =
    chat_template_path === null
      ? null
      : await templateFolder(chat_template_path, { setting: 'chat_template_path', ...hub });
  const { folder } = await modelFolder(job.model, { setting: job.modelName, model_revision, ...hub });
  return { ...job, model: folder, adapters, config: { ...job.config, chat_template_path: template } };
}

type Opening = Listener & {
  readonly config: Pick<GenerateConfig, 'matmul_tier' | 'max_gpu_memory' | 'dtype'>;
  /** What would need less memory. */
  readonly remedies: string;
};

/** Allocates, compiles and loads. @throws ConfigError, DeviceError where there is too little memory; DataError */
export async function openEngine(
  runtime: NodeRuntime,
  {
    plan,
    source,
    adapters,
  }: { readonly plan: GenerationPlan; readonly source: TensorSource; readonly adapters: readonly Adapter[] },
  { config, remedies, onEvent, signal }: Opening,
): Promise<GenerationEngine> {
  const { device } = runtime;
  const profile: DeviceProfile = {
    ...device.profile,
    tier: chooseTier(device.profile, config.matmul_tier, plan.computeDtype).tier,
  };
  const predicted = estimateGeneration(plan, profile, device.shaders);
  const room = { device, asked: allowedBytes(config), driver: driverMemory };
  await requireFit(predicted, room, async () => [`What would help: ${remedies}.`]);
  onEvent({ type: 'note', text: `GPU memory needed: ${formatBytes(predicted.peakBytes)}` });
  const target = { device, profile, shaders: device.shaders };
  const engine = await device.guarded('allocating', async () => buildGeneration(target, plan));
  try {
    const { machine, declared } = engine;
    onEvent({ type: 'phase', phase: 'load', total: declared.weights.size + declared.vectors.size });
    const sourceDtype = config.dtype === 'auto' ? null : config.dtype;
    const context = { ...runtime, residents: machine.residents, sourceDtype, signal };
    for await (const label of loadModel(context, declared, source)) onEvent({ type: 'progress', phase: 'load', label });
    onEvent({ type: 'phase', phase: 'compile', total: engine.warmUpNames.length });
    await engine.compile();
    await loadAdapters(machine, engine.adapters, await Promise.all(adapters.map(storedValues)));
    // software drivers compile at the first run: the first token would wait for it
    for await (const label of engine.warmUp()) onEvent({ type: 'progress', phase: 'compile', label });
    return engine;
  } catch (error) {
    engine.destroy();
    throw error;
  }
}
