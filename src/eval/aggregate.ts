/** Metrics of a task from those of its items, and their standard errors, as lm-eval computes both. */
import { PythonRandom } from '../formats/python-random.ts';
import type { MetricValue } from './metrics.ts';
import type { Aggregation } from './task-rules.ts';

/** Samples that a random generator of its own draws, one after the other, from seed 0 on. */
const SAMPLES_PER_SEED = 1000;

export function aggregate(how: Aggregation, values: readonly MetricValue[]): number {
  return AGGREGATE[how](values);
}

const sumOf = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0);
const mean = (values: readonly number[]): number => sumOf(values) / values.length;

type Pairs = readonly (readonly [number, number])[];
const weightedMean = (pairs: Pairs): number => sumOf(pairs.map(([a]) => a)) / sumOf(pairs.map(([, b]) => b));

const AGGREGATE: Readonly<Record<Aggregation, (values: readonly MetricValue[]) => number>> = {
  mean: (values) => mean(values as readonly number[]),
  median: (values) => [...(values as readonly number[])].sort((a, b) => a - b)[Math.floor(values.length / 2)] as number,
  perplexity: (values) => Math.exp(-mean(values as readonly number[])),
  weighted_perplexity: (values) => Math.exp(-weightedMean(values as Pairs)),
  bits_per_byte: (values) => -weightedMean(values as Pairs) / Math.LN2,
  brier_score: (values) => mean((values as readonly (readonly [number, readonly number[]])[]).map(brier)),
};

function brier([gold, probabilities]: readonly [number, readonly number[]]): number {
  return sumOf(probabilities.map((p, i) => (p - (i === gold ? 1 : 0)) ** 2));
}

/** Standard error of an aggregate; null where lm-eval says N/A. @param iterations bootstrap samples, 0 for no error at all */
export function standardError(how: Aggregation, values: readonly MetricValue[], iterations: number): number | null {
  if (iterations <= 0 || values.length <= 1) return null;
  const numbers = values as readonly number[];
  if (how === 'mean') return sampleDeviation(numbers) / Math.sqrt(numbers.length);
  return how === 'median' || how === 'perplexity' ? bootstrapError(how, numbers, iterations) : null;
}

function bootstrapError(how: Aggregation, values: readonly number[], iterations: number): number {
  const perSeed = Math.min(SAMPLES_PER_SEED, iterations);
  const found: number[] = [];
  for (let seed = 0; seed < Math.floor(iterations / perSeed); seed++) {
    const random = new PythonRandom(seed);
    for (let i = 0; i < perSeed; i++) found.push(aggregate(how, random.choices(values, values.length)));
  }
  return sampleDeviation(found);
}

function sampleDeviation(values: readonly number[]): number {
  const middle = mean(values);
  return Math.sqrt(sumOf(values.map((value) => (value - middle) ** 2)) / (values.length - 1));
}
