/** Requests of unequal lengths together give what each gives alone; memory is what was counted before. */
import { expect, test } from 'vitest';
import { estimateGeneration } from '../../src/estimate/generation.ts';
import { PagePool } from '../../src/generate/pages.ts';
import type { GenerationRequest } from '../../src/generate/request.ts';
import { Scheduler } from '../../src/generate/scheduler.ts';
import { device } from '../gpu/harness.ts';
import { GOLDEN } from '../model/open.ts';
import { openGeneration, readPlan } from './open.ts';

const MODEL = `${GOLDEN}architectures/qwen2/bnb-4bit`;
const ADAPTER = `${GOLDEN}architectures/qwen2/adapter-init`;
const drawn = { doSample: true, temperature: 0.9, topK: 20, topP: 0.95, minP: 0, repetitionPenalty: 1.1 };

function request(number: number, promptLength: number, maxNewTokens: number): GenerationRequest {
  return {
    promptIds: Array.from({ length: promptLength }, (_, i) => 3 + ((i * 11 + number * 17) % 120)),
    adapter: number % 2,
    maxNewTokens,
    minNewTokens: 0,
    // some requests meet one, others their limit
    eosIds: [13, 26, 39, 52, 65, 78, 91, 104, 117],
    sampling: number % 3 === 0 ? { ...drawn, doSample: false } : drawn,
    seed: 11,
    number,
    logprobs: 2,
    text: null,
  };
}

const REQUESTS = [1, 30, 7, 17, 2, 16, 40, 9].map((length, i) => request(i, length, 8 + 3 * i));

async function results(requests: readonly GenerationRequest[], batchSize: number) {
  const lengths = requests.map(({ promptIds, maxNewTokens }) => ({ prompt: promptIds.length, maxNewTokens }));
  const engine = await openGeneration(MODEL, {
    adapters: [ADAPTER],
    requests: lengths,
    batchSize,
    model: { max_position_embeddings: 128 },
  });
  const scheduler = new Scheduler(engine);
  for (const each of requests) scheduler.add(each);
  const ends = new Map<number, { ids: readonly number[]; reason: string; logprobs: readonly number[] }>();
  for await (const event of scheduler.run())
    if (event.type === 'end')
      ends.set(event.request.number, {
        ids: event.tokenIds,
        reason: event.finishReason,
        logprobs: (event.logprobs ?? []).map(({ logprob }) => logprob),
      });
  engine.destroy();
  return { ends, engine };
}

test('a batch of eight, base and adapter mixed, equals eight singles; three at a time as well', async () => {
  const { ends: alone } = await results(REQUESTS, 1);
  const reasons = new Set([...alone.values()].map(({ reason }) => reason));
  expect([...reasons].sort()).toEqual(['length', 'stop']);
  for (const size of [3, 8]) {
    const { ends } = await results(REQUESTS, size);
    for (const [i, want] of alone) {
      const got = ends.get(i);
      expect([i, got?.ids, got?.reason]).toEqual([i, want.ids, want.reason]);
      got?.logprobs.forEach((logprob, place) => {
        expect(Math.abs(logprob - (want.logprobs[place] as number))).toBeLessThan(1e-4);
      });
    }
  }
});

test('the estimate is the ledger to the byte, and the cache has a row of its own', async () => {
  const requests = REQUESTS.map(({ promptIds, maxNewTokens }) => ({ prompt: promptIds.length, maxNewTokens }));
  const options = { adapters: [ADAPTER], requests, batchSize: 4, model: { max_position_embeddings: 128 } };
  const engine = await openGeneration(MODEL, options);
  const { peak } = engine.machine.ledger;
  const estimate = estimateGeneration((await readPlan(MODEL, options)).plan, device.profile, device.shaders);
  expect(estimate.byCategory).toEqual(peak.byCategory);
  expect(estimate.peakBytes).toBe(peak.peakBytes);
  const { num_hidden_layers: layers, num_key_value_heads: K, head_dim: D } = engine.declared.model.config;
  expect(peak.byCategory.kv_cache).toBe(2 * layers * engine.settings.cache.pages * 16 * K * D * 4);
  engine.destroy();
});

test('the cache has room for the largest requests that may meet, in whatever order they come', async () => {
  // pages of 16 tokens; the last token of a request is not kept
  const cacheOf = async (batchSize: number, ...lengths: [prompt: number, maxNewTokens: number][]) => {
    const requests = lengths.map(([prompt, maxNewTokens]) => ({ prompt, maxNewTokens }));
    const { plan } = await readPlan(MODEL, { requests, batchSize, model: { max_position_embeddings: 128 } });
    const { num_hidden_layers: layers, num_key_value_heads: K, head_dim: D } = plan.model;
    const { kv_cache } = estimateGeneration(plan, device.profile, device.shaders).byCategory;
    return kv_cache / (2 * layers * 16 * K * D * 4);
  };
  expect(await cacheOf(1, [4, 5], [40, 30], [8, 9])).toBe(5);
  expect(await cacheOf(2, [4, 5], [40, 30], [8, 9], [16, 17])).toBe(7);
  expect(await cacheOf(8, [4, 5], [40, 30])).toBe(6);
  expect(await cacheOf(1, [4, 13])).toBe(1);
  expect(await cacheOf(1, [4, 14])).toBe(2);
});

test('a cancelled request ends at the next step, waiting or running, and frees its pages', async () => {
  const engine = await openGeneration(MODEL, { requests: [{ prompt: 4, maxNewTokens: 30 }], batchSize: 1 });
  const scheduler = new Scheduler(engine);
  const [running, waiting, last] = [0, 1, 2].map((number) => ({ ...request(number, 4, 30), adapter: 0, eosIds: [] }));
  for (const each of [running, waiting, last]) scheduler.add(each as GenerationRequest);
  for await (const _ of scheduler.step()) void _;
  scheduler.cancel(running as GenerationRequest);
  scheduler.cancel(waiting as GenerationRequest);
  const ends: unknown[] = [];
  for await (const event of scheduler.run())
    if (event.type === 'end') ends.push([event.request.number, event.finishReason, event.tokenIds.length]);
  expect(ends).toEqual([
    [0, 'cancelled', 2],
    [1, 'cancelled', 0],
    [2, 'length', 30],
  ]);
  engine.destroy();
});

test('pages go round, and none is given back twice', () => {
  const pool = new PagePool(4);
  const first = pool.take(3) as number[];
  expect(first).toEqual([0, 1, 2]);
  expect(pool.take(2)).toBeNull();
  pool.give(first);
  expect(pool.take(4)).toHaveLength(4);
  pool.give([0, 1, 2, 3]);
  expect(() => pool.give([0])).toThrow(/given back twice/);
});
