/** A model directory and its adapters on the tests' device, ready to generate. */
import { openAdapter } from '../../src/adapters/files.ts';
import { storedValues } from '../../src/adapters/start-values.ts';
import { openCheckpoint } from '../../src/formats/checkpoint.ts';
import { type ModelConfig, readModelConfig } from '../../src/formats/hf-config.ts';
import { buildGeneration } from '../../src/generate/build.ts';
import type { GenerationEngine } from '../../src/generate/engine.ts';
import type { RequestLength, ScoreShape } from '../../src/generate/plan.ts';
import type { Tier } from '../../src/gpu/device-profile.ts';
import { adapterBase } from '../../src/model/adapter-base.ts';
import { loadAdapters } from '../../src/model/adapter-values.ts';
import { baseStorage, type StorageSettings } from '../../src/model/base-storage.ts';
import { loadModel } from '../../src/model/load.ts';
import { withTiedHead } from '../../src/model/tied-head.ts';
import { loadWasmModule } from '../../src/node/codec.ts';
import { nodeReader } from '../../src/node/files.ts';
import { Codec } from '../../src/wasm/codec.ts';
import { createQuantizer } from '../../src/wasm/quantizer.ts';
import { device } from '../gpu/harness.ts';
import { trainConfig } from '../model/open.ts';

export type OpenOptions = {
  readonly adapters?: readonly string[];
  readonly requests: readonly RequestLength[];
  readonly batchSize?: number;
  readonly cacheTokens?: number;
  readonly scoresPrompts?: boolean;
  readonly storage?: Partial<StorageSettings>;
  readonly scoreShapes?: readonly ScoreShape[];
  /** Kernels to take in place of the device's own tier. */
  readonly tier?: Tier;
  /** Changes to config.json. */
  readonly model?: Partial<ModelConfig>;
};

/** Opens files and decides the plan; takes no GPU memory. */
export async function readPlan(directory: string, options: OpenOptions) {
  const { adapters: directories = [], requests, batchSize = 1, cacheTokens, scoresPrompts } = options;
  const reader = nodeReader(directory);
  const model = { ...(await readModelConfig(reader)), ...options.model };
  const source = await withTiedHead(model, await openCheckpoint(reader));
  const storage = await baseStorage({ ...trainConfig(directory), ...options.storage }, model, source);
  const adapters = await Promise.all(directories.map((path) => openAdapter(nodeReader(path), adapterBase(model))));
  const layouts = adapters.map(({ layout }) => layout);
  const { scoreShapes = [] } = options;
  const sizes = { batchSize, requests, cacheTokens, scoresPrompts, scoreShapes };
  const plan = { model, storage, adapters: layouts, computeDtype: 'f32', ...sizes } as const;
  return { plan, adapters, source };
}

export async function openGeneration(directory: string, options: OpenOptions): Promise<GenerationEngine> {
  const { plan, adapters, source } = await readPlan(directory, options);
  const profile = { ...device.profile, tier: options.tier ?? device.profile.tier };
  const engine = buildGeneration({ device, profile, shaders: device.shaders }, plan);
  await engine.compile();
  const wasm = await loadWasmModule();
  const context = {
    device,
    residents: engine.machine.residents,
    quantizer: createQuantizer(wasm),
    codec: new Codec(wasm),
  };
  for await (const _ of loadModel({ ...context, sourceDtype: null }, engine.declared, source)) {
    /* nobody is watching */
  }
  await loadAdapters(engine.machine, engine.adapters, await Promise.all(adapters.map(storedValues)));
  return engine;
}
