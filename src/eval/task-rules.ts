/** What the keys of a task have to be together, and the metrics, aggregations and filters there are. */
import type { ConfigProblem } from '../errors.ts';
import { pythonRegex } from '../formats/python-regex.ts';
import type { MetricField, OutputType, TaskFields } from './task-shape.ts';

export const AGGREGATIONS = [
  'mean',
  'median',
  'perplexity',
  'weighted_perplexity',
  'bits_per_byte',
  'brier_score',
] as const;
export type Aggregation = (typeof AGGREGATIONS)[number];

type MetricFacts = { readonly aggregation: Aggregation; readonly higherIsBetter: boolean };
const facts = (aggregation: Aggregation, higherIsBetter: boolean): MetricFacts => ({ aggregation, higherIsBetter });
const ACCURACY = facts('mean', true);

/** Metrics by what a task asks of the model, with lm-eval's defaults of each. */
export const METRICS: Readonly<Record<OutputType, Readonly<Record<string, MetricFacts>>>> = {
  loglikelihood: { perplexity: facts('perplexity', false), acc: ACCURACY },
  loglikelihood_rolling: {
    word_perplexity: facts('weighted_perplexity', false),
    byte_perplexity: facts('weighted_perplexity', false),
    bits_per_byte: facts('bits_per_byte', false),
  },
  multiple_choice: {
    acc: ACCURACY,
    acc_norm: ACCURACY,
    acc_bytes: ACCURACY,
    acc_mutual_info: ACCURACY,
    exact_match: ACCURACY,
    brier_score: facts('brier_score', false),
  },
  generate_until: { exact_match: ACCURACY },
};

/** What lm-eval computes where a task names no metric. */
const DEFAULT_METRICS: Readonly<Record<OutputType, readonly string[]>> = {
  loglikelihood: ['perplexity', 'acc'],
  loglikelihood_rolling: ['word_perplexity', 'byte_perplexity', 'bits_per_byte'],
  multiple_choice: ['acc', 'acc_norm'],
  generate_until: ['exact_match'],
};

/** Aggregations that take pairs, or more than a number of each item. */
const OF_ITS_OWN: Readonly<Partial<Record<Aggregation, readonly string[]>>> = {
  weighted_perplexity: ['word_perplexity', 'byte_perplexity', 'bits_per_byte'],
  bits_per_byte: ['word_perplexity', 'byte_perplexity', 'bits_per_byte'],
  brier_score: ['brier_score'],
};

/** Filters, and the keys that each takes. */
const FILTERS: Readonly<Record<string, readonly string[]>> = {
  regex: ['regex_pattern', 'group_select', 'fallback'],
  remove_whitespace: [],
  lowercase: [],
  uppercase: [],
  map: ['mapping_dict', 'default_value'],
  take_first: [],
  take_first_k: ['k'],
  majority_vote: [],
};

/** A metric of a task, with everything that is left out filled in. */
export type Metric = {
  readonly name: string;
  readonly aggregation: Aggregation;
  readonly higherIsBetter: boolean;
  readonly options: MetricField;
};

export function metricsOf({ output_type, metric_list }: Pick<TaskFields, 'output_type' | 'metric_list'>): Metric[] {
  const fields = metric_list ?? DEFAULT_METRICS[output_type].map((metric): MetricField => ({ metric }));
  return fields.map((options) => {
    const known = METRICS[output_type][options.metric] as MetricFacts;
    return {
      name: options.metric,
      aggregation: (options.aggregation as Aggregation | undefined) ?? known.aggregation,
      higherIsBetter: options.higher_is_better ?? known.higherIsBetter,
      options,
    };
  });
}

/** Finds what is wrong with a task whose keys have the right types. */
export function checkTask(task: TaskFields, whereOf: (key: string) => string): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  const report = (path: string, message: string): void => {
    problems.push({ path, message: `${message} (${whereOf(path.split(/[.[]/)[0] as string)})` });
  };
  for (const check of [checkSplits, checkMetrics, checkFilters, checkKinds]) check(task, report);
  return problems;
}

type Report = (path: string, message: string) => void;

function checkSplits(task: TaskFields, report: Report): void {
  const { data_files } = task.dataset_kwargs;
  const there = typeof data_files === 'string' || Array.isArray(data_files) ? ['train'] : Object.keys(data_files);
  for (const key of ['training_split', 'validation_split', 'test_split', 'fewshot_split'] as const) {
    const split = task[key];
    if (split !== null && !there.includes(split)) report(key, `is ${split}, and data_files has ${there.join(', ')}`);
  }
  const own = task.fewshot_config?.split;
  if (own !== undefined && !there.includes(own))
    report('fewshot_config.split', `is ${own}, and data_files has ${there.join(', ')}`);
  if (task.test_split === null && task.validation_split === null)
    report('test_split', `is missing: it says which rows are evaluated; data_files has ${there.join(', ')}`);
}

function checkMetrics({ output_type, metric_list }: TaskFields, report: Report): void {
  const fields = metric_list ?? [];
  for (const [i, field] of fields.entries()) checkMetric(field, `metric_list[${i}]`, output_type, report);
  const names = fields.map(({ metric }) => metric);
  const twice = names.find((name, i) => names.indexOf(name) < i);
  if (twice !== undefined) report('metric_list', `has ${twice} twice`);
}

function checkMetric(field: MetricField, at: string, type: OutputType, report: Report): void {
  const { metric, aggregation, higher_is_better: _, ...options } = field;
  const known = METRICS[type];
  const facts = known[metric];
  if (facts === undefined) {
    report(`${at}.metric`, `is ${metric}; of ${type} there are ${Object.keys(known).join(', ')}`);
    return;
  }
  const own = (aggregation ?? facts.aggregation) as Aggregation;
  if (!AGGREGATIONS.includes(own)) {
    report(`${at}.aggregation`, `is ${aggregation}; there are ${AGGREGATIONS.join(', ')}`);
    return;
  }
  const isOfPairs = Object.values(OF_ITS_OWN).some((metrics) => metrics.includes(metric));
  if (OF_ITS_OWN[own] === undefined ? isOfPairs : !OF_ITS_OWN[own].includes(metric))
    report(`${at}.aggregation`, `is ${own}, which does not add up ${metric}`);
  if (type !== 'generate_until')
    for (const key of Object.keys(options)) report(`${at}.${key}`, 'belongs to exact_match of generations');
  for (const pattern of options.regexes_to_ignore ?? []) checkPattern(pattern, `${at}.regexes_to_ignore`, report);
}

function checkFilters({ filter_list, output_type, repeats }: TaskFields, report: Report): void {
  const names = (filter_list ?? []).map(({ name }) => name);
  const twice = names.find((name, i) => names.indexOf(name) < i);
  if (twice !== undefined) report('filter_list', `has ${twice} twice`);
  for (const [i, { filter }] of (filter_list ?? []).entries()) {
    for (const [j, { function: name, ...options }] of filter.entries()) {
      const at = `filter_list[${i}].filter[${j}]`;
      const keys = FILTERS[name];
      if (keys === undefined) {
        report(`${at}.function`, `is ${name}; there are ${Object.keys(FILTERS).join(', ')}`);
        continue;
      }
      for (const key of Object.keys(options))
        if (!keys.includes(key)) report(`${at}.${key}`, `does not belong to ${name}`);
      if (name === 'regex') checkPattern(options.regex_pattern, `${at}.regex_pattern`, report);
      if (name === 'take_first_k' && (options.k ?? Number.POSITIVE_INFINITY) > repeats)
        report(`${at}.k`, `is ${options.k ?? 'missing'}, and each item is asked ${repeats} times (repeats)`);
      if (output_type !== 'generate_until' && name !== 'take_first')
        report(`${at}.function`, `is ${name}, which changes texts, and ${output_type} gives numbers`);
    }
    if (filter.findIndex(({ function: name }) => name === 'take_first') !== filter.length - 1)
      report(
        `filter_list[${i}].filter`,
        'has to end with take_first, and to have it nowhere else: one answer is judged',
      );
  }
}

function checkPattern(pattern: string | undefined, at: string, report: Report): void {
  if (pattern === undefined) return;
  try {
    pythonRegex(pattern, 'findall');
  } catch (error) {
    report(at, `cannot be read as a pattern of Python's re: ${(error as Error).message}`);
  }
}

function checkKinds(task: TaskFields, report: Report): void {
  const { output_type: type } = task;
  if (type === 'multiple_choice' && task.doc_to_choice === null)
    report('doc_to_choice', 'is missing, and multiple_choice needs choices');
  if (type !== 'generate_until' && task.generation_kwargs !== null)
    report('generation_kwargs', `belongs to generate_until, and output_type is ${type}`);
  if (type !== 'generate_until' && task.repeats > 1) report('repeats', `is ${task.repeats}, and ${type} draws nothing`);
  const { do_sample: draws, temperature } = task.generation_kwargs ?? {};
  if (draws === true && temperature === 0)
    report('generation_kwargs', 'has do_sample true and temperature 0, which draws nothing');
  if (type === 'loglikelihood_rolling' && (task.num_fewshot ?? 0) > 0)
    report('num_fewshot', 'gives examples, and loglikelihood_rolling has no prompt to put them into');
}
