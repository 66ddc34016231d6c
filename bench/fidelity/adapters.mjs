#!/usr/bin/env node
/**
 * Row 4 of docs/fidelity.md, the adapters: for each option of PEFT's LoraConfig, an adapter trained by PEFT loaded here, and one
 * trained here loaded by PEFT, logits against logits. `node bench/fidelity/adapters.mjs --python PYTHON` over dist/.
 * It runs on lavapipe unless NIBBLE_DEVICE says otherwise.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { loadTrainConfig } from '../../dist/config/index.js';
import { nodeReader, nodeWriter } from '../../dist/node/files.js';
import { openNodeRuntime } from '../../dist/node/runtime.js';
import { withAdapterSettings } from '../../dist/train/adapter-settings.js';
import { countParameters } from '../../dist/train/model-layout.js';
import { train } from '../../dist/train/run.js';
import { allocate, fill, initialize, readRunInput } from '../../dist/train/session.js';
import { logitsOf } from './logits.mjs';
import { options, python, record, relativeError, withScratch } from './record.mjs';

/** Correct f32 code, sums in another order. */
const LOGITS = { bound: 1e-5, unit: 'of max |logit|' };
const SHAPE = { B: 2, S: 16 };
const RENAMED = { target_modules: 'lora_target_modules', modules_to_save: 'lora_modules_to_save' };

function configOf(folder, base, settings) {
  const flags = {
    ...{ model_name_or_path: path.join(folder, base), datasets: `[{path: ${path.join(folder, 'rows.jsonl')}}]` },
    ...{ lora_r: '4', lora_alpha: '8', learning_rate: '1e-2', max_steps: '5', per_device_train_batch_size: '2' },
  };
  for (const [key, value] of Object.entries(settings))
    flags[RENAMED[key] ?? key] = typeof value === 'string' ? value : JSON.stringify(value);
  return loadTrainConfig({ flags });
}

/** Logits of a base under an adapter on disk, and how many numbers it trains. */
async function underAdapter(runtime, folder, base, adapter, ids) {
  const adapter_name_or_path = path.join(folder, adapter);
  const config = await withAdapterSettings(configOf(folder, base, { adapter_name_or_path }), nodeReader);
  const input = await readRunInput(config.values, runtime.readerOf);
  const engine = await allocate(runtime, input);
  for await (const _ of fill(runtime, input, engine));
  await engine.compile();
  await initialize(input, engine);
  const logits = await logitsOf(engine, ids, SHAPE);
  engine.destroy();
  return { logits, counts: countParameters(input.layout) };
}

async function trainHere(runtime, folder, { index, base, settings }) {
  const input = await readRunInput(configOf(folder, base, settings).values, runtime.readerOf);
  const writer = nodeWriter(path.join(folder, `nibble-${index}`));
  const running = train(runtime, input, { signal: new AbortController().signal, writer });
  let next = await running.next();
  while (!next.done) next = await running.next();
  next.value.engine.destroy();
}

function floats(file) {
  const bytes = readFileSync(file);
  return new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
}

const given = options();
await withScratch(given, async (folder) => {
  const made = JSON.parse(python(given, 'adapters.py', 'make', folder));
  const rows = made.rows.map((input_ids) => `${JSON.stringify({ input_ids })}\n`);
  writeFileSync(path.join(folder, 'rows.jsonl'), rows.join(''));
  const ids = made.ids.flat();
  const runtime = await openNodeRuntime(process.env.NIBBLE_DEVICE ?? 'lavapipe');
  const { description, device: name } = runtime.device.adapter;
  const theirs = {};
  for (const [option, made_] of Object.entries(made.cases)) {
    const { index, base, trainable, all } = made_;
    const { logits, counts } = await underAdapter(runtime, folder, base, `peft-${index}`, ids);
    const error = relativeError(logits, floats(path.join(folder, `peft-${index}.bin`)));
    theirs[option] = { error, miscounted: Math.abs(counts.trainable - trainable) + Math.abs(counts.all - all) };
    await trainHere(runtime, folder, made_);
    const ours = await underAdapter(runtime, folder, base, `nibble-${index}`, ids);
    writeFileSync(path.join(folder, `nibble-${index}.bin`), ours.logits);
  }
  await runtime.close();
  const loaded = JSON.parse(python(given, 'adapters.py', 'load', folder));
  const logits = Object.entries(loaded).flatMap(([option, { logits: back }]) => [
    { what: `${option}: trained by PEFT, loaded here`, reached: theirs[option].error, ...LOGITS },
    { what: `${option}: trained here, loaded by PEFT`, reached: back, ...LOGITS },
  ]);
  const names = Object.keys(loaded);
  const total = (what, unit, of) => {
    const reached = names.reduce((sum, option) => sum + of(loaded[option], theirs[option]), 0);
    return { what: `all ${names.length} options: ${what}`, reached, bound: 0, unit };
  };
  const figures = [
    ...logits,
    total('warnings of PEFT loading what was trained here', 'warnings', ({ warned }) => warned.length),
    total(
      'keys missing or unexpected for PEFT',
      'keys',
      ({ missing, unexpected }) => missing.length + unexpected.length,
    ),
    total('of another name, shape or dtype than PEFT saves', 'tensors', ({ differing }) => differing.length),
    total("print_trainable_parameters against PEFT's", 'parameters', (_, { miscounted }) => miscounted),
  ];
  const title = 'Adapters of each LoRA option of PEFT, both ways, float32';
  record(given, 'adapters', { row: 4, title, adapter: description || name, versions: made.versions, figures });
});
