/**
 * Which token comes next, by transformers' order of steps: repetition penalty, minimum length, then, where it samples,
 * temperature, top-k, top-p and min-p. Pure.
 * Source: GenerationMixin._get_logits_processor and transformers.generation.logits_process (5.24).
 */
import { philox4x32 } from '../kernels/philox.ts';

export type Sampling = {
  /** False takes the likeliest token, and the first of those that tie. */
  readonly doSample: boolean;
  readonly temperature: number;
  /** Tokens that may be drawn, the likeliest; 0 for all. */
  readonly topK: number;
  /** The likeliest tokens that together reach this probability may be drawn; 1 for all. */
  readonly topP: number;
  /** Tokens at least this share as likely as the likeliest may be drawn; 0 for all. */
  readonly minP: number;
  /** Logits of tokens that were there already are divided by this where positive, and multiplied where negative. */
  readonly repetitionPenalty: number;
};

/** A token that may come next. */
export type Candidate = { readonly id: number; readonly probability: number };

/**
 * Logits after the steps that greedy decoding takes too.
 * @param seen tokens of the prompt and of what was generated
 * @param forbidden tokens that may not come yet: the ends of text, below the minimum length
 */
export function processed(
  logits: Float32Array,
  { repetitionPenalty: penalty }: Pick<Sampling, 'repetitionPenalty'>,
  seen: Iterable<number>,
  forbidden: Iterable<number> = [],
): Float32Array {
  const scores = logits.slice();
  if (penalty !== 1)
    for (const id of new Set(seen)) {
      const score = logits[id] as number;
      scores[id] = score < 0 ? score * penalty : score / penalty;
    }
  for (const id of forbidden) scores[id] = Number.NEGATIVE_INFINITY;
  return scores;
}

/** The likeliest token; the first of those that tie. */
export function likeliest(scores: Float32Array): number {
  let best = 0;
  for (let id = 1; id < scores.length; id++) if ((scores[id] as number) > (scores[best] as number)) best = id;
  return best;
}

/** The tokens that may be drawn and their probabilities, the likeliest first. */
export function candidates(scores: Float32Array, { temperature, topK, topP, minP }: Sampling): Candidate[] {
  const sorted = topScores(scores, topK);
  const top = sorted[0] as number;
  const weights = Array.from(sorted, (score) => weightOf(score, top, temperature));
  const kept = Math.min(topPCount(weights, topP), weights.length);
  // the likeliest has weight 1, so that min-p's bound is minP itself, whatever was left out before
  const last = minP > 0 ? weights.findIndex((weight, i) => i > 0 && weight < minP) : -1;
  const count = last < 0 ? kept : Math.min(kept, last);
  const total = weights.slice(0, count).reduce((sum, weight) => sum + weight, 0);
  const ids = idsFrom(scores, sorted[count - 1] as number).slice(0, count);
  return ids.map((id, i) => ({ id, probability: (weights[i] as number) / total }));
}

/** Draws a token as `draw` does among its candidates; among all tokens without putting them in order. @param uniform in [0, 1) */
export function drawn(scores: Float32Array, sampling: Sampling, uniform: number): number {
  const { temperature, topK, topP, minP } = sampling;
  if (topK > 0 || topP < 1 || minP > 0) return draw(candidates(scores, sampling), uniform);
  const best = likeliest(scores);
  const top = scores[best] as number;
  let left = 0;
  for (const score of scores) left += weightOf(score, top, temperature);
  left *= uniform;
  for (const [id, score] of scores.entries()) {
    left -= weightOf(score, top, temperature);
    if (left < 0) return id;
  }
  return best;
}

/** Weight of a token beside the likeliest's 1. The difference first: a score over a tiny temperature is no number any more. */
const weightOf = (score: number, top: number, temperature: number): number => Math.exp((score - top) / temperature);

/** Scores by falling size: the first k and those that tie with the last of them; all for 0. */
function topScores(scores: Float32Array, k: number): Float32Array {
  const bound = k <= 0 || k >= scores.length ? Number.NEGATIVE_INFINITY : kthLargest(scores, k);
  // numbers alone sort much faster than ids by a comparison
  return scores
    .filter((score) => score >= bound && score !== Number.NEGATIVE_INFINITY)
    .sort()
    .reverse();
}

/** Ids of the scores from `bound` up, by falling score, those of one score by id. */
function idsFrom(scores: Float32Array, bound: number): number[] {
  const ids: number[] = [];
  scores.forEach((score, id) => {
    if (score >= bound && score !== Number.NEGATIVE_INFINITY) ids.push(id);
  });
  return ids.sort((a, b) => (scores[b] as number) - (scores[a] as number) || a - b);
}

/** Up to this many, keeping the largest in order is quicker than sorting a vocabulary. */
const FEW = 100;

function kthLargest(scores: Float32Array, k: number): number {
  if (k > FEW) return scores.slice().sort().at(-k) as number;
  const largest = new Float32Array(k).fill(Number.NEGATIVE_INFINITY);
  let least = Number.NEGATIVE_INFINITY;
  for (const score of scores) {
    if (!(score > least)) continue;
    let at = k - 1;
    for (; at > 0 && (largest[at - 1] as number) < score; at--) largest[at] = largest[at - 1] as number;
    largest[at] = score;
    least = largest[k - 1] as number;
  }
  return least;
}

/** How many of the falling weights top-p keeps: all but those whose tail, from the smallest up to them, is within 1 - p. */
function topPCount(weights: readonly number[], p: number): number {
  if (p >= 1) return weights.length;
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  let tail = 0;
  let count = weights.length;
  while (count > 1) {
    tail += weights[count - 1] as number;
    if (tail / total > 1 - p) break;
    count--;
  }
  return count;
}

/** Draws one of the candidates. @param uniform in [0, 1) */
export function draw(from: readonly Candidate[], uniform: number): number {
  let sum = 0;
  for (const { id, probability } of from) {
    sum += probability;
    if (uniform < sum) return id;
  }
  return (from.at(-1) as Candidate).id;
}

/**
 * A number in [0, 1) that depends on the seed, the number of the request and the place of the token alone: a request draws the
 * same in any batch.
 */
export function uniformAt(seed: number, request: number, place: number): number {
  const [high, low] = philox4x32([place, request, 0, 0], [seed, DRAWS]);
  // 53 bits, as many as a double has
  return ((high >>> 5) * 2 ** 26 + (low >>> 6)) / 2 ** 53;
}
/** Half of the key: keeps these draws apart from dropout's, whose key is (seed, 0). */
const DRAWS = 1;

/** log softmax of the logits at some ids, in f64. */
export function logProbabilities(logits: Float32Array, ids: readonly number[]): number[] {
  let top = Number.NEGATIVE_INFINITY;
  for (const logit of logits) if (logit > top) top = logit;
  let sum = 0;
  for (const logit of logits) sum += Math.exp(logit - top);
  const log = top + Math.log(sum);
  return ids.map((id) => (logits[id] as number) - log);
}

/** Ids of the `count` likeliest tokens. */
export function mostLikely(logits: Float32Array, count: number): number[] {
  if (count <= 0) return [];
  const bound = count >= logits.length ? Number.NEGATIVE_INFINITY : kthLargest(logits, count);
  return idsFrom(logits, bound).slice(0, count);
}
