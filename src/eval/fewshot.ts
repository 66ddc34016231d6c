/** Prompts with worked examples, put together as lm-eval does: system instruction, description, examples, then the row that is asked about. */
import { ConfigError, DataError } from '../errors.ts';
import { PythonRandom } from '../formats/python-random.ts';
import type { DocFields, PlacedDoc, Target } from './doc-fields.ts';
import type { Split } from './documents.ts';
import { delimited, type PromptForm, type PromptMessage, promptOf, turnMessages } from './prompt.ts';
import type { TaskFields } from './task-shape.ts';
import type { Doc } from './template.ts';

/** Draws examples for one row after the other: the draws depend on their order. */
export class ExampleSampler {
  readonly #random: PythonRandom;
  readonly #pool: readonly PlacedDoc[];
  readonly #takesFirst: boolean;

  constructor(
    pool: readonly PlacedDoc[],
    { takesFirst, seed }: { readonly takesFirst: boolean; readonly seed: number },
  ) {
    this.#random = new PythonRandom(seed);
    this.#pool = pool;
    this.#takesFirst = takesFirst;
  }

  /** @param except a row that is no example of itself; null where examples are other rows anyway */
  sample(count: number, except: Doc | null): readonly PlacedDoc[] {
    const others = except === null ? this.#pool : this.#pool.filter(({ doc }) => !isSameDoc(doc, except));
    if (others.length < count)
      throw new ConfigError([
        { path: 'num_fewshot', message: `is ${count}, and there are ${others.length} rows to take examples from` },
      ]);
    if (this.#takesFirst) return others.slice(0, count);
    if (except === null) return this.#random.sample(this.#pool, count);
    if (this.#pool.length <= count) return this.#random.sample(others, count);
    const drawn = this.#random.sample(this.#pool, count + 1).filter(({ doc }) => !isSameDoc(doc, except));
    // where the row stands several times in the pool, too few may be left
    return drawn.length < count ? this.#random.sample(others, count) : drawn.slice(0, count);
  }
}

const isSameDoc = (a: Doc, b: Doc): boolean => a === b || JSON.stringify(a) === JSON.stringify(b);

/** Makes the prompts of a task, which have to be asked for in the order of its rows. */
export function promptMaker(task: TaskFields, fields: DocFields, sampler: ExampleSampler, form: PromptForm) {
  const own = task.fewshot_config ?? { sampler: 'default' as const };
  const { target_delimiter = task.target_delimiter, fewshot_delimiter = task.fewshot_delimiter } = own;
  const examples = {
    text: own.doc_to_text ?? task.doc_to_text,
    target: own.doc_to_target ?? task.doc_to_target,
    choice: own.doc_to_choice ?? task.doc_to_choice,
    prefix: own.gen_prefix ?? task.gen_prefix,
  };
  const split = own.split ?? task.fewshot_split;
  const mayMeet = split === task.test_split;
  const example = (placed: PlacedDoc): PromptMessage[] => {
    const choices = examples.choice === null ? null : fields.choices(examples.choice, placed);
    const turn = {
      question: fields.text(examples.text, placed),
      prefix: prefixOf(fields, examples.prefix, placed),
      answer: answerText(fields.target(examples.target, placed), choices, placed.where),
    };
    return turnMessages(turn, target_delimiter, fewshot_delimiter);
  };
  return (placed: PlacedDoc, count: number): string => {
    const drawn = count === 0 ? [] : sampler.sample(count, mayMeet ? placed.doc : null);
    const question = fields.text(task.doc_to_text, placed);
    const turn = { question, prefix: prefixOf(fields, task.gen_prefix, placed), answer: null };
    const description = task.description === '' ? '' : fields.text(task.description, placed, 'description');
    const system = delimited(form.systemInstruction ?? '', description, task.fewshot_delimiter);
    const messages = [...drawn.flatMap(example), ...turnMessages(turn, task.target_delimiter, '')];
    return promptOf(system, messages, form, placed.where);
  };
}

function prefixOf(fields: DocFields, source: string | null, placed: PlacedDoc): string {
  return source === null || source === '' ? '' : fields.text(source, placed, 'gen_prefix');
}

/** The answer of an example: a choice by its number, the first of several targets, or the target itself. */
function answerText(target: Target, choices: readonly string[] | null, where: string): string {
  const first = typeof target === 'object' ? (target as readonly (string | number)[])[0] : target;
  const answer = choices !== null && typeof first === 'number' ? choices.at(first) : first;
  if (typeof answer === 'string') return answer;
  throw new DataError(
    where,
    `doc_to_target gives ${String(target)}, and an example needs a text, or the number of a choice.`,
  );
}

/** Where examples are taken from: what the task names, else its training rows, else those that are held back, else the test's. */
export function examplePool(task: TaskFields, splits: ReadonlyMap<string, Split>): readonly PlacedDoc[] {
  const own = task.fewshot_config;
  if (own?.split === undefined && own?.samples !== undefined)
    return own.samples.map((doc, i) => ({ doc, where: `fewshot_config.samples[${i}]` }));
  const name = own?.split ?? task.fewshot_split ?? task.training_split ?? task.validation_split ?? task.test_split;
  return placedDocs(splits.get(name as string) as Split);
}

export function placedDocs({ docs, places }: Split): PlacedDoc[] {
  return docs.map((doc, i) => ({ doc, where: places[i] as string }));
}
