/** A task made ready: its rows, what each of them asks of the model, and what the right answer is. */
import { show } from '../config/show.ts';
import { DataError } from '../errors.ts';
import { DocFields, type PlacedDoc, type Target } from './doc-fields.ts';
import type { Split } from './documents.ts';
import { ExampleSampler, examplePool, placedDocs, promptMaker } from './fewshot.ts';
import { goldNumbers } from './gold.ts';
import { endsInSpace, PLAIN, type PromptForm } from './prompt.ts';
import type { TaskFile } from './task-file.ts';
import { type Metric, metricsOf } from './task-rules.ts';
import type { TaskFields } from './task-shape.ts';
import type { Doc } from './template.ts';

/** What is asked of the model, as lm-eval's `arguments` have it. */
export type Asked =
  | { readonly kind: 'loglikelihood'; readonly context: string; readonly continuation: string }
  | { readonly kind: 'rolling'; readonly text: string }
  | { readonly kind: 'generate'; readonly context: string };

/** A row of a task. */
export type Item = {
  /** Its number among the rows of the task, from 0. */
  readonly docId: number;
  readonly doc: Doc;
  readonly where: string;
  readonly target: Target;
  readonly choices: readonly string[] | null;
  readonly asked: readonly Asked[];
};

export type Task = {
  readonly name: string;
  readonly file: TaskFile;
  readonly fields: TaskFields;
  readonly metrics: readonly Metric[];
  readonly numFewshot: number;
  /** Rows that there are, before a limit. */
  readonly rows: number;
  readonly items: readonly Item[];
  /** Whether several answers are right, as the first row has it. */
  readonly hasSeveralTargets: boolean;
  /** What a person should know of it. */
  readonly notes: readonly string[];
};

export type TaskOptions = {
  /** Rows at most; below 1 a fraction of them. Null takes all. */
  readonly limit: number | null;
  /** Takes the place of a task's own number, but of 0. */
  readonly numFewshot: number | null;
  readonly fewshotSeed: number;
  /** Plain text where it is left out. */
  readonly form?: PromptForm;
};

/** Renders every row of a task. @throws ConfigError, DataError naming the row */
export function prepareTask(file: TaskFile, splits: ReadonlyMap<string, Split>, options: TaskOptions): Task {
  const { fields: task } = file;
  const evaluated = splits.get((task.test_split ?? task.validation_split) as string) as Split;
  const fields = new DocFields(evaluated.columns, task.doc_to_choice !== null);
  // lm-eval leaves a task alone that says 0 itself
  const numFewshot = task.num_fewshot === 0 ? 0 : (options.numFewshot ?? task.num_fewshot ?? 0);
  const rolls = task.output_type === 'loglikelihood_rolling';
  const sampler = new ExampleSampler(examplePool(task, splits), {
    takesFirst: task.fewshot_config?.sampler === 'first_n',
    seed: options.fewshotSeed,
  });
  const { form = PLAIN } = options;
  const prompt = promptMaker(task, fields, sampler, form);
  const metrics = metricsOf(task);
  const all = placedDocs(evaluated);
  const items = all.slice(0, limited(all.length, options.limit)).map((placed, docId): Item => {
    const target = fields.target(task.doc_to_target, placed);
    const choices = task.doc_to_choice === null ? null : fields.choices(task.doc_to_choice, placed);
    const context = rolls ? '' : prompt(placed, numFewshot);
    const asked = askedOf(task, metrics, { context, target, choices, placed, isChat: form.render !== null });
    return { docId, ...placed, target, choices, asked };
  });
  const [first] = items;
  const hasSeveralTargets = typeof first?.target === 'object';
  const notes = [...(numFewshot > 0 ? exampleNotes(task) : []), ...targetNotes(task, items, hasSeveralTargets)];
  return {
    name: task.task,
    file,
    fields: task,
    metrics,
    numFewshot,
    rows: all.length,
    items,
    hasSeveralTargets,
    notes,
  };
}

/** lm-eval looks for a row among its own examples only where fewshot_split names the split that is evaluated. */
function exampleNotes(task: TaskFields): string[] {
  const named = task.fewshot_config?.split ?? task.fewshot_split;
  const evaluated = task.test_split ?? task.validation_split;
  const used = named ?? task.training_split ?? task.validation_split ?? task.test_split;
  const hasOwn = task.fewshot_config?.samples !== undefined;
  if (hasOwn || used !== evaluated || named === task.test_split) return [];
  return [
    `${task.task}: examples come from the rows that are evaluated, and a row may be its own example, as in lm-eval; name another split in fewshot_split`,
  ];
}

/** Rows that no answer gets right, since their target is none of their choices: lm-eval warns of each. */
function targetNotes(task: TaskFields, items: readonly Item[], hasSeveralTargets: boolean): string[] {
  if (task.output_type !== 'multiple_choice') return [];
  const stray = items.filter(
    ({ choices, target }) => goldNumbers({ hasSeveralTargets }, choices as readonly string[], target).length === 0,
  );
  const [first] = stray;
  if (first === undefined) return [];
  return [
    `${task.task}: ${stray.length} of ${items.length} rows have a target that is none of their choices, and count as wrong, as in lm-eval; the first is ${first.where} (${show(first.target)})`,
  ];
}

function limited(rows: number, limit: number | null): number {
  if (limit === null) return rows;
  return limit < 1 ? Math.ceil(rows * limit) : limit;
}

type Parts = {
  readonly context: string;
  readonly target: Target;
  readonly choices: readonly string[] | null;
  readonly placed: PlacedDoc;
  readonly isChat: boolean;
};

function askedOf(task: TaskFields, metrics: readonly Metric[], parts: Parts): Asked[] {
  const { context, target, choices, placed } = parts;
  const { output_type: type } = task;
  const delimiter = delimiterOf(task, parts.isChat);
  if (type === 'generate_until') return [{ kind: 'generate', context }];
  if (type === 'multiple_choice') {
    const continuations = (choices as readonly string[]).map((choice) => delimiter + choice);
    const ask =
      (before: string) =>
      (continuation: string): Asked => ({
        kind: 'loglikelihood',
        context: before,
        continuation,
      });
    const unconditional = metrics.some(({ name }) => name === 'acc_mutual_info') ? continuations.map(ask('')) : [];
    return [...continuations.map(ask(context)), ...unconditional];
  }
  if (typeof target !== 'string')
    throw new DataError(placed.where, `doc_to_target gives ${JSON.stringify(target)}, and ${type} needs a text.`);
  return type === 'loglikelihood'
    ? [{ kind: 'loglikelihood', context, continuation: target }]
    : [{ kind: 'rolling', text: target }];
}

/** What stands before a choice: behind the head of an answer that a template wrote, nothing. */
function delimiterOf({ target_delimiter, gen_prefix }: TaskFields, isChat: boolean): string {
  const isBegun = gen_prefix !== null && gen_prefix !== '' && !endsInSpace(gen_prefix);
  return isChat && !isBegun ? '' : target_delimiter;
}
