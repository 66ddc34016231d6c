/** Allocates and records everything that generation needs: the one path that running and estimating share. */
import { Machine, type MachineTarget } from '../gpu/machine.ts';
import { declareAdapters } from '../model/adapter-set.ts';
import { requireComputeDtype } from '../model/compute-dtype.ts';
import { declareModel } from '../model/declare.ts';
import { PAGE_TOKENS } from './cache.ts';
import { GenerationEngine } from './engine.ts';
import { pagesFor } from './pages.ts';
import type { GenerationPlan, RequestLength } from './plan.ts';

/** Declares the base and its adapters, records the phases and allocates all of it; without a device only the bytes are counted. */
export function buildGeneration(target: MachineTarget, plan: GenerationPlan): GenerationEngine {
  const { model, storage, adapters, computeDtype, scoresPrompts = false } = plan;
  requireComputeDtype(target.profile, computeDtype);
  const machine = new Machine(target);
  machine.ledger.enterPhase('load');
  const { lengths, batchSizes, cache, maxPositions } = sizesOf(plan);
  const spec = { config: model, full: false, storedAs: storage.storedAs, lora: null, maxPositions };
  const declared = declareModel(machine.residents, spec, machine.profile.limits.maxStorageBufferBindingSize);
  const set = declareAdapters(machine.residents, declared, adapters);
  machine.ledger.enterPhase('generate');
  const { scoreShapes = [] } = plan;
  const settings = { computeDtype, prefillLengths: lengths, batchSizes, cache, scoreShapes, scoresPrompts };
  return new GenerationEngine(machine, declared, set, settings);
}

/** Tokens that a request keeps in the cache: the last one generated is read by nothing. */
export const cachedTokens = ({ prompt, maxNewTokens }: RequestLength): number => prompt + Math.max(0, maxNewTokens - 1);

/** Requests that stand for all there can be of up to `context` tokens, prompt and text together, `batchSize` at once. */
export function anyRequests(context: number, batchSize: number): RequestLength[] {
  const prompts: number[] = [];
  for (let next = 1; next <= context; next = (prompts.at(-1) as number) + 1)
    prompts.push(Math.min(context, prefillLength(next, context)));
  const longest = { prompt: context, maxNewTokens: 1 };
  return [
    ...prompts.map((prompt) => ({ prompt, maxNewTokens: context - prompt + 1 })),
    ...Array(batchSize).fill(longest),
  ];
}

function sizesOf({ requests, batchSize, model, cacheTokens, scoreShapes = [] }: GenerationPlan) {
  const rows = Math.min(batchSize, requests.length);
  const needs = requests.map((request) => pagesFor(cachedTokens(request), PAGE_TOKENS)).sort((a, b) => b - a);
  const lengths = [...new Set(requests.map(({ prompt }) => prefillLength(prompt, model.max_position_embeddings)))];
  lengths.sort((a, b) => a - b);
  const [pagesPerRow = 1] = needs;
  // the largest requests may meet; a page is there where nothing is generated, since the cursor is the cache's
  const together = needs.slice(0, rows).reduce((sum, n) => sum + n, 0) || 1;
  const pages = cacheTokens === undefined ? together : Math.min(together, pagesFor(cacheTokens, PAGE_TOKENS));
  const scored = scoreShapes.reduce((most, { S }) => Math.max(most, S), 1);
  return {
    lengths,
    batchSizes: rows === 0 ? [] : [...powersOfTwo(rows), rows].filter((size, i, all) => all.indexOf(size) === i),
    cache: { pages, pagesPerRow },
    maxPositions: Math.max(pagesPerRow * PAGE_TOKENS, lengths.at(-1) ?? 1, scored),
  };
}

/** Shortest prompt that has a phase of its own. */
const SHORTEST = 16;

/** Length of the phase that a prompt takes: a power of two or half as much again, so that few phases serve all. */
export function prefillLength(prompt: number, most: number): number {
  for (let length = SHORTEST; ; length *= 2)
    for (const size of [length, (length / 2) * 3]) if (size >= prompt) return Math.max(prompt, Math.min(size, most));
}

/** The powers of two below `limit`. */
function powersOfTwo(limit: number): number[] {
  const sizes: number[] = [];
  for (let size = 1; size < limit; size *= 2) sizes.push(size);
  return sizes;
}
