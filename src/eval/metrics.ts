/** What an item's answers come to, metric by metric, as lm-eval's process_results has it. */
import { fromJson, str } from '../data/chat/values.ts';
import { pythonRegex } from '../formats/python-regex.ts';
import { goldNumbers } from './gold.ts';
import type { Item, Task } from './task.ts';
import type { MetricField } from './task-shape.ts';
import { pythonSub } from './template.ts';

/** [log-likelihood, whether greedy], of a text the log-likelihood alone, or what was written; null where a filter left nothing. */
export type Answer = readonly [logprob: number, isGreedy: boolean] | number | string | null;

/** A number, or for perplexities [log-likelihood, how many words or bytes]; for Brier scores [answer, probabilities]. */
export type MetricValue = number | readonly [number, number] | readonly [number, readonly number[]];

/** @param answers one for each that was asked, filtered */
export function metricValues(task: Task, item: Item, answers: readonly Answer[]): ReadonlyMap<string, MetricValue> {
  const { output_type: type } = task.fields;
  const all =
    type === 'loglikelihood'
      ? ofLoglikelihood(answers[0] as readonly [number, boolean])
      : type === 'loglikelihood_rolling'
        ? ofRolling(answers[0] as number, item.target as string)
        : type === 'multiple_choice'
          ? ofChoices(task, item, answers as readonly (readonly [number, boolean])[])
          : { exact_match: exactMatch(task, item, answers[0] as string | null) };
  return new Map(task.metrics.map(({ name }) => [name, all[name] as MetricValue]));
}

type Values = Readonly<Record<string, MetricValue>>;

const ofLoglikelihood = ([logprob, isGreedy]: readonly [number, boolean]): Values => ({
  perplexity: logprob,
  acc: isGreedy ? 1 : 0,
});

function ofRolling(logprob: number, text: string): Values {
  const bytes = utf8Length(text);
  // re.split of Python: white space at an end counts as a word more
  const words = text.split(/\s+/u).length;
  return { word_perplexity: [logprob, words], byte_perplexity: [logprob, bytes], bits_per_byte: [logprob, bytes] };
}

const utf8Length = (text: string): number => new TextEncoder().encode(text).length;
/** Characters as Python counts them. */
const characters = (text: string): number => Array.from(text).length;

function ofChoices(
  task: Task,
  { choices: given, target }: Item,
  answers: readonly (readonly [number, boolean])[],
): Values {
  const choices = given as readonly string[];
  const logprobs = answers.slice(0, choices.length).map(([logprob]) => logprob);
  const unconditional = answers.slice(choices.length).map(([logprob]) => logprob);
  const gold = goldNumbers(task, choices, target);
  const isRight = (scores: readonly number[]): number => (gold.includes(largestAt(scores)) ? 1 : 0);
  const highest = logprobs.reduce((most, logprob) => Math.max(most, logprob), Number.NEGATIVE_INFINITY);
  const weights = logprobs.map((logprob) => Math.exp(logprob - highest));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return {
    acc: isRight(logprobs),
    acc_norm: isRight(logprobs.map((logprob, i) => logprob / characters(choices[i]!))),
    acc_bytes: isRight(logprobs.map((logprob, i) => logprob / utf8Length(choices[i]!))),
    acc_mutual_info: isRight(logprobs.map((logprob, i) => logprob - (unconditional[i] ?? 0))),
    exact_match: gold.some((number) => answers[number]?.[1] === true) ? 1 : 0,
    brier_score: [gold[0] as number, weights.map((weight) => weight / total)],
  };
}

/** The first of the largest. */
function largestAt(scores: readonly number[]): number {
  return scores.reduce((best, score, i) => (score > scores[best]! ? i : best), 0);
}

function exactMatch(task: Task, { target, choices }: Item, answer: string | null): number {
  const { options } = task.metrics.find(({ name }) => name === 'exact_match')!;
  const golds = (typeof target === 'object' ? target : [target]) as readonly (string | number)[];
  const text = (gold: string | number): string =>
    choices !== null && typeof gold === 'number' ? (choices[gold] ?? '') : str(fromJson(gold));
  const few = task.hasSeveralTargets ? golds : golds.slice(0, 1);
  if (answer === null) return 0;
  return few.some((gold) => plain(answer, options) === plain(text(gold), options)) ? 1 : 0;
}

/** ASCII punctuation: Python's string.punctuation. */
const PUNCTUATION = /[!-/:-@[-`{-~]/g;

function plain(text: string, options: MetricField): string {
  const { regexes_to_ignore = [], ignore_case, ignore_punctuation, ignore_numbers } = options;
  let rest = regexes_to_ignore.reduce((left, pattern) => pythonSub(pythonRegex(pattern, 'findall'), '', left), text);
  if (ignore_case) rest = rest.toLowerCase();
  if (ignore_punctuation) rest = rest.replace(PUNCTUATION, '');
  return ignore_numbers ? rest.replace(/[0-9]/g, '') : rest;
}
