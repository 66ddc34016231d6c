/** Log-probabilities of a prompt are those that its tokens have where they are generated; requests without new tokens end. */
import { expect, test } from 'vitest';
import { estimateGeneration } from '../../src/estimate/generation.ts';
import { anyRequests, buildGeneration } from '../../src/generate/build.ts';
import type { GenerationEvent, GenerationRequest } from '../../src/generate/request.ts';
import { Scheduler } from '../../src/generate/scheduler.ts';
import { device } from '../gpu/harness.ts';
import { GOLDEN } from '../model/open.ts';
import { openGeneration, readPlan } from './open.ts';

const MODEL = `${GOLDEN}architectures/qwen2/dense`;
const ADAPTER = `${GOLDEN}architectures/qwen2/adapter-init`;
const greedy = { doSample: false, temperature: 1, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1 };
const CONTEXT = 96;

const request = (promptIds: readonly number[], adapter: number, maxNewTokens: number): GenerationRequest => ({
  promptIds,
  adapter,
  maxNewTokens,
  minNewTokens: 0,
  eosIds: [],
  sampling: greedy,
  seed: 1,
  number: 0,
  logprobs: 3,
  promptLogprobs: 3,
  text: null,
});

test('of base and adapter, in more pieces than one, past every length of prompt', async () => {
  const engine = await openGeneration(MODEL, {
    adapters: [ADAPTER],
    requests: [
      { prompt: 3, maxNewTokens: CONTEXT - 3 },
      { prompt: CONTEXT, maxNewTokens: 1 },
    ],
    batchSize: 2,
    scoresPrompts: true,
    model: { max_position_embeddings: 128 },
  });
  const scheduler = new Scheduler(engine);
  const run = async (requests: readonly GenerationRequest[]): Promise<GenerationEvent<GenerationRequest>[]> => {
    for (const each of requests) scheduler.add(each);
    const events: GenerationEvent<GenerationRequest>[] = [];
    for await (const event of scheduler.run()) if (event.type !== 'token') events.push(event);
    return events;
  };
  const prompt = [3, 14, 25];
  const made = await run([0, 1].map((adapter) => request(prompt, adapter, CONTEXT - prompt.length)));
  const ends = made.flatMap((event) => (event.type === 'end' ? [event] : []));
  expect(ends).toHaveLength(2);
  for (const { request: first, tokenIds, logprobs } of ends) {
    const whole = [...prompt, ...tokenIds];
    const events = await run([request(whole, first.adapter, 0)]);
    expect(events.map(({ type }) => type)).toEqual(['prompt', 'end']);
    const [scored, end] = events as [
      Extract<GenerationEvent<GenerationRequest>, { type: 'prompt' }>,
      GenerationEvent<GenerationRequest>,
    ];
    expect(end).toMatchObject({ finishReason: 'length', tokenIds: [] });
    expect([scored.logprobs.length, scored.logprobs[0]]).toEqual([CONTEXT, null]);
    for (const [i, want] of (logprobs ?? []).entries()) {
      const got = scored.logprobs[prompt.length + i];
      // a prompt at once and its tokens one by one are summed in another order
      expect(Math.abs((got?.logprob ?? Number.NaN) - want.logprob)).toBeLessThan(1e-4);
      expect(got?.top).toHaveLength(3);
    }
  }
  expect(scheduler.load).toEqual({ waiting: 0, running: 0, pages: 0 });
  engine.destroy();
});

test('what scoring takes is in the estimate, to the byte; a smaller cache is what was asked for', async () => {
  const options = { requests: anyRequests(CONTEXT, 4), batchSize: 4, scoresPrompts: true, cacheTokens: 200 };
  const { plan } = await readPlan(MODEL, { ...options, model: { max_position_embeddings: 128 } });
  const engine = buildGeneration({ device, profile: device.profile, shaders: device.shaders }, plan);
  const estimate = estimateGeneration(plan, device.profile, device.shaders);
  expect(estimate.byCategory).toEqual(engine.machine.ledger.peak.byCategory);
  expect(engine.settings.cache).toEqual({ pages: 13, pagesPerRow: 6 });
  engine.destroy();
  const without = estimateGeneration({ ...plan, scoresPrompts: false }, device.profile, device.shaders);
  expect(without.peakBytes).toBeLessThan(estimate.peakBytes);
});

test('any request up to the context has a phase', () => {
  const requests = anyRequests(100, 3);
  expect(requests.map(({ prompt }) => prompt)).toEqual([16, 24, 32, 48, 64, 96, 100, 100, 100, 100]);
  for (const { prompt, maxNewTokens } of requests) expect(prompt + maxNewTokens).toBe(101);
});
