/** Results and samples in the layout of lm-eval's files: results_DATE.json and samples_TASK_DATE.jsonl. */
import { float, fromJson, str } from '../data/chat/values.ts';
import type { Answer } from './metrics.ts';
import type { Sample, TaskOutcome } from './outcome.ts';
import type { Asked } from './task.ts';

export type Sha256 = (text: string) => string;

/** What a results file tells of the run beside the tasks; keys are lm-eval's. */
export type RunFacts = {
  readonly config: Readonly<Record<string, unknown>>;
  readonly date: number;
  readonly model_source: string;
  readonly model_name: string;
  readonly total_evaluation_time_seconds: string;
  readonly [key: string]: unknown;
};

/** The content of results_DATE.json. */
export function resultsFile(outcomes: readonly TaskOutcome[], facts: RunFacts, sha256: Sha256) {
  const by = <T>(pick: (outcome: TaskOutcome) => T): Record<string, T> =>
    Object.fromEntries(outcomes.map((outcome) => [outcome.task.name, pick(outcome)]));
  return {
    results: by(resultOf),
    group_subtasks: by(() => []),
    configs: by(({ task }) => ({ ...task.file.raw, num_fewshot: task.numFewshot })),
    versions: by(({ task }) => task.fields.metadata?.version ?? 'Yaml'),
    'n-shot': by(({ task }) => task.numFewshot),
    higher_is_better: by(({ task }) =>
      Object.fromEntries(task.metrics.map(({ name, higherIsBetter }) => [name, higherIsBetter])),
    ),
    'n-samples': by(({ task }) => ({ original: task.rows, effective: task.items.length })),
    ...facts,
    task_hashes: by(({ samples, task }) =>
      sha256(samples.map((sample) => hashesOf(sample, task.fields.output_type, sha256).join('')).join('')),
    ),
  };
}

function resultOf({ task, metrics }: TaskOutcome): Record<string, unknown> {
  const head = { name: task.name, alias: task.fields.task_alias ?? task.name, sample_len: task.items.length };
  const values = metrics.flatMap(({ metric, filter, value, stderr }) => [
    [`${metric},${filter}`, value],
    [`${metric}_stderr,${filter}`, stderr ?? 'N/A'],
  ]);
  return { ...head, ...Object.fromEntries(values) };
}

/** A line of samples_TASK_DATE.jsonl. */
export function sampleLine(
  sample: Sample,
  { task }: Pick<TaskOutcome, 'task'>,
  sha256: Sha256,
): Record<string, unknown> {
  const { item, filter, responses, filtered, metrics } = sample;
  const { output_type } = task.fields;
  const generation = { ...task.fields.generation_kwargs };
  const [doc_hash, prompt_hash, target_hash] = hashesOf(sample, output_type, sha256);
  const given = item.asked.map((asked, i) => {
    const parts = argumentsOf(asked, generation).map((part, j) => [`arg_${j}`, part]);
    return [`gen_args_${i}`, Object.fromEntries(parts)];
  });
  return {
    doc_id: item.docId,
    doc: item.doc,
    target: pythonText(item.target),
    arguments: Object.fromEntries(given),
    resps: responses.map((answers) => answers.map(answerTexts)),
    filtered_resps: filtered.map(answerTexts),
    filter,
    metrics: [...metrics.keys()],
    doc_hash,
    prompt_hash,
    target_hash,
    ...Object.fromEntries(metrics),
  };
}

function argumentsOf(asked: Asked, generation: object): readonly unknown[] {
  if (asked.kind === 'loglikelihood') return [asked.context, asked.continuation];
  return asked.kind === 'rolling' ? [asked.text] : [asked.context, generation];
}

/** Hashes by which two runs can tell that they saw the same row, prompt and answer. */
function hashesOf(
  { item }: Sample,
  type: string,
  sha256: Sha256,
): readonly [doc: string, prompt: string, target: string] {
  const [first] = item.asked;
  const prompt = first === undefined ? '' : String(argumentsOf(first, {})[0]);
  const target = type === 'multiple_choice' || typeof item.target !== 'string' ? pythonText(item.target) : item.target;
  return [sha256(JSON.stringify(item.doc, null, 2)), sha256(prompt), sha256(target)];
}

/** lm-eval writes answers as texts, as Python's str has them. */
function answerTexts(answer: Answer): string | readonly string[] {
  if (answer === null) return 'None';
  if (typeof answer === 'string') return answer;
  if (typeof answer === 'number') return str(float(answer));
  return [str(float(answer[0])), answer[1] ? 'True' : 'False'];
}

const pythonText = (value: unknown): string => str(fromJson(value));
