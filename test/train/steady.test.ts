/** 500 replayed steps change neither the ledger, nor the live buffers, nor the memory of the process. */
import path from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, test } from 'vitest';
import { random } from '../ref/compare.ts';
import { GOLDEN, openEngine } from './open.ts';

const STEPS = 500;
/**
 * Steps in which drivers and the C library grow their pools: 34 MiB in the first 500 on lavapipe, 4 in the next 2,000.
 */
const WARM_STEPS = 500;

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

/** Resident bytes after a collection, which a busy machine would put off. */
async function residentAfterCollection(): Promise<number> {
  for (let turn = 0; turn < 4; turn++) {
    collect();
    await new Promise((resolve) => setImmediate(resolve));
  }
  return process.memoryUsage().rss;
}
/**
 * Growth allowed over the steps. A leak of 64 KiB a step would make 31 MiB, of a staging buffer of 256 KiB 125 MiB; the
 * collector swings by about 10 MiB, and after 3,000 steps and a collection less was resident than before.
 */
const GROWTH_BYTES = 24 * 2 ** 20;

test(`${STEPS} steps`, async () => {
  const directory = path.join(GOLDEN, 'formats', 'llama-untied-f32');
  const shape = { B: 1, S: 8 };
  const qlora = { method: 'qlora', load_in_4bit: true, bnb_4bit_use_double_quant: true, lora_r: 2 } as const;
  const { engine, ledger } = await openEngine(directory, qlora, { train: [shape], evaluation: [shape] });
  const ids = Uint32Array.from(random(1).integers(8, 32));
  const batch = { ...shape, inputIds: ids, labels: Int32Array.from(ids) };
  const scalars = { lr: 1e-4, bias1: 1, sqrt_bias2: 1, inv_tokens: 1 / 8, loss_scale: 1, seed: 1 };
  const run = async (from: number, count: number) => {
    for (let step = from; step < from + count; step++) {
      const { finite } = await engine.trainStep([batch], { ...scalars, step });
      if (!finite) throw new Error(`step ${step} is not finite`);
      if (step % 50 === 0) await engine.rowLosses(batch);
    }
  };
  // until pipelines are compiled and the heap has grown to its size
  await run(0, WARM_STEPS);
  const before = {
    bytes: ledger.currentBytes,
    peak: ledger.peak,
    live: ledger.liveCount,
    entries: [...ledger.entries],
  };
  const created: string[] = [];
  const original = engine.machine.device.gpu.createBuffer.bind(engine.machine.device.gpu);
  engine.machine.device.gpu.createBuffer = (descriptor) => {
    created.push(descriptor.label ?? '?');
    return original(descriptor);
  };
  const rss = await residentAfterCollection();
  await run(WARM_STEPS, STEPS);
  const growth = (await residentAfterCollection()) - rss;
  console.log(`${STEPS} steps: resident memory grew by ${(growth / 2 ** 20).toFixed(1)} MiB`);
  expect(created).toEqual([]);
  expect(ledger.entries).toEqual(before.entries);
  expect([ledger.currentBytes, ledger.liveCount]).toEqual([before.bytes, before.live]);
  expect(ledger.peak).toEqual(before.peak);
  expect(growth).toBeLessThan(GROWTH_BYTES);
  engine.destroy();
  expect([ledger.currentBytes, ledger.liveCount]).toEqual([0, 0]);
});
