/**
 * Runs one training step of a point of the memory curves and prints what the ledger saw, what the plan said and how far the
 * process grew, as JSON: `node --expose-gc bench/micro/memory-point.mjs '{"shape": ..., "method": ..., "S": ...}'`.
 * The same step at a few tokens goes first, so that the driver's compiler is not counted. Linux only (/proc).
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { estimateRun } from '../../dist/estimate/estimate.js';
import { openNodeRuntime } from '../../dist/node/runtime.js';
import { train } from '../../dist/train/run.js';
import { readRunInput } from '../../dist/train/session.js';
import { modelJson, settings } from './curve-models.mjs';

const WARM_UP_TOKENS = 16;
const point = JSON.parse(process.argv[2]);
const directory = mkdtempSync(path.join(os.tmpdir(), 'nibble-curve-'));

async function step(runtime, shape, S) {
  const folder = path.join(directory, `${S}`);
  mkdirSync(folder);
  writeFileSync(path.join(folder, 'config.json'), JSON.stringify(modelJson(shape, S, 'float32')));
  writeFileSync(path.join(folder, 'random_weights.json'), '{"seed": 0, "std": 0.02}');
  const rows = path.join(folder, 'rows.jsonl');
  const input_ids = Array.from({ length: S }, (_, i) => (i * 7) % shape.vocab_size);
  writeFileSync(rows, `${JSON.stringify({ input_ids })}\n`);
  const config = settings({ ...point, S, dtype: 'float32', rows, model: folder });
  const input = await readRunInput(config, runtime.readerOf);
  const { profile, shaders } = runtime.device;
  const plan = estimateRun(input.layout, config, input.batches.shapes, profile, shaders);
  const running = train(runtime, input, { signal: new AbortController().signal, writer: null });
  let next = await running.next();
  while (!next.done) next = await running.next();
  return { ...next.value, planBytes: plan.peakBytes, planLossBytes: plan.byCategory.logits };
}

const resident = (field) =>
  Number(new RegExp(`${field}:\\s+(\\d+)`).exec(readFileSync('/proc/self/status', 'utf8'))[1]) * 1024;

try {
  const runtime = await openNodeRuntime(process.env.NIBBLE_DEVICE ?? 'auto');
  (await step(runtime, { ...point.shape, vocab_size: 256 }, WARM_UP_TOKENS)).engine.destroy();
  await runtime.device.gpu.queue.onSubmittedWorkDone();
  globalThis.gc?.();
  writeFileSync('/proc/self/clear_refs', '5'); // resets the high-water mark
  const before = resident('VmRSS');
  const { ledger, engine, planBytes, planLossBytes } = await step(runtime, point.shape, point.S);
  const grownBytes = resident('VmHWM') - before;
  const { peakBytes, byCategory } = ledger.peak;
  const adapter = runtime.device.info.description;
  const lossBytes = byCategory.logits;
  console.log(JSON.stringify({ adapter, peakBytes, planBytes, lossBytes, planLossBytes, grownBytes }));
  engine.destroy();
  await runtime.close();
} finally {
  rmSync(directory, { recursive: true, force: true });
}
