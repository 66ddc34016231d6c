/** Opens a model directory for tests, with device, loader and engine as in a run. */

import { openAdapter } from '../../src/adapters/files.ts';
import { settings, type TrainConfig } from '../../src/config/settings.ts';
import { openCheckpoint } from '../../src/formats/checkpoint.ts';
import { readModelConfig } from '../../src/formats/hf-config.ts';
import { adapterBase } from '../../src/model/adapter-base.ts';
import { loadModel } from '../../src/model/load.ts';
import { loadWasmModule } from '../../src/node/codec.ts';
import { nodeReader } from '../../src/node/files.ts';
import { buildEngine } from '../../src/train/build.ts';
import { initializeAdapter } from '../../src/train/initialize-adapter.ts';
import { modelLayout } from '../../src/train/model-layout.ts';
import { pissaStart } from '../../src/train/pissa.ts';
import type { Shapes } from '../../src/train/shapes.ts';
import { Codec } from '../../src/wasm/codec.ts';
import { createQuantizer } from '../../src/wasm/quantizer.ts';
import { device } from '../gpu/harness.ts';

export const GOLDEN = new URL('../golden/', import.meta.url).pathname;

export async function openEngine(directory: string, overrides: Partial<TrainConfig>, shapes: Shapes) {
  const parsed = settings.parse({ model_name_or_path: directory });
  const requested_compute_dtype = overrides.compute_dtype ?? parsed.compute_dtype;
  const config = { ...parsed, eval_steps: 1, requested_compute_dtype, ...overrides } as TrainConfig;
  const reader = nodeReader(directory);
  const source = await openCheckpoint(reader);
  const model = await readModelConfig(reader);
  const adapter =
    config.adapter_name_or_path === null
      ? null
      : await openAdapter(nodeReader(config.adapter_name_or_path), adapterBase(model));
  const maxPositions = Math.max(...[...shapes.train, ...shapes.evaluation].map((s) => s.S));
  const layout = await modelLayout({ config, model, source, adapter, maxPositions });
  const { profile, shaders } = device;
  const engine = buildEngine({ device, profile, shaders }, layout, config, shapes);
  const module = await loadWasmModule();
  const { declared, machine } = engine;
  const quantizer = createQuantizer(module);
  const codec = new Codec(module);
  const starting = pissaStart(layout, config, source, codec);
  let started = await starting.next();
  while (!started.done) started = await starting.next();
  engine.startPairs = started.value?.values ?? null;
  const context = { device, residents: machine.residents, quantizer, codec, sourceDtype: null };
  for await (const _ of loadModel(context, declared, started.value?.residual ?? source)) {
    /* events are not needed */
  }
  await engine.compile();
  if (config.method !== 'full') await initializeAdapter(engine, layout, config, adapter, source);
  return { engine, config, layout, ledger: machine.ledger, declared, source };
}
