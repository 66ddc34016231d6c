/** Everything that tasks and texts ask of a model, in one list of rows to score and one of texts to write on. */

import type { GenerateConfig } from '../config/generate.ts';
import { DataError } from '../errors.ts';
import type { GenerationDefaults } from '../generate/generation-config.ts';
import { samplingOf } from '../generate/resolve.ts';
import type { Sampling } from '../generate/sampling.ts';
import {
  cutRow,
  type Encoder,
  encodePair,
  encodeText,
  rollingWindows,
  type ScoredRow,
  type StrideWindow,
  strideWindows,
} from './encode.ts';
import type { Asked, Task } from './task.ts';
import type { GenerationField } from './task-shape.ts';

/** Most tokens that lm-eval generates where a task does not say. */
const DEFAULT_NEW_TOKENS = 256;

/** A text to write on after. */
export type AskedText = {
  readonly promptIds: readonly number[];
  readonly maxNewTokens: number;
  readonly stop: readonly string[];
  readonly sampling: Sampling;
};

/** Where the answer to something asked is: numbers of rows, whose log-probabilities add up, or of texts. */
export type Place = { readonly kind: 'rows' | 'texts'; readonly numbers: readonly number[] };

/** A task whose items' places are known, in the order in which they were asked. */
export type PlacedTask = { readonly task: Task; readonly places: readonly (readonly Place[])[] };

export type LongText = { readonly name: string; readonly text: string };
export type PlacedText = {
  readonly name: string;
  readonly tokens: number;
  readonly windows: readonly (StrideWindow & { readonly row: number })[];
};

export type Work = {
  readonly rows: readonly ScoredRow[];
  readonly texts: readonly AskedText[];
  readonly tasks: readonly PlacedTask[];
  readonly longTexts: readonly PlacedText[];
  /** How many contexts were cut from the left, by the task that asked for them. */
  readonly cut: ReadonlyMap<string, number>;
};

export type WorkOptions = {
  readonly encoder: Encoder;
  readonly defaults: GenerationDefaults;
  /** Tokens of a window of a long text, and from one window to the next. */
  readonly windowLength: number;
  readonly stride: number;
};

/** @throws DataError naming the item that cannot be asked */
export function planWork(tasks: readonly Task[], longTexts: readonly LongText[], options: WorkOptions): Work {
  const planner = new Planner(options);
  const placed = tasks.map((task) => planner.task(task));
  const texts = longTexts.map((text) => planner.longText(text));
  return { rows: planner.rows, texts: planner.texts, tasks: placed, longTexts: texts, cut: planner.cut };
}

class Planner {
  readonly rows: ScoredRow[] = [];
  readonly texts: AskedText[] = [];
  readonly cut = new Map<string, number>();
  readonly #options: WorkOptions;

  constructor(options: WorkOptions) {
    this.#options = options;
  }

  task(task: Task): PlacedTask {
    const places = task.items.map(({ asked, where }) => asked.map((one) => this.#place(one, task, where)));
    return { task, places };
  }

  longText({ name, text }: LongText): PlacedText {
    const { encoder, windowLength, stride } = this.#options;
    const ids = encoder.tokenizer.encode(text);
    const windows = strideWindows(ids, windowLength, stride);
    if (windows.length === 0)
      throw new DataError(
        name,
        `gives ${ids.length === 1 ? '1 token' : 'no token'}, and perplexity needs at least two. Give a longer text.`,
      );
    return { name, tokens: ids.length, windows: windows.map((window) => ({ ...window, row: this.#row(window) })) };
  }

  #place(asked: Asked, task: Task, where: string): Place {
    const { encoder } = this.#options;
    if (asked.kind === 'generate') return this.#generation(asked.context, task, where);
    if (asked.kind === 'loglikelihood') {
      const row = encodePair(encoder, asked.context, asked.continuation, where);
      const fitting = cutRow(row, encoder, where);
      if (fitting.ids.length < row.ids.length) this.#noteCut(task);
      return { kind: 'rows', numbers: [this.#row(fitting)] };
    }
    const windows = rollingWindows(encodeText(encoder, asked.text), encoder);
    if (windows.length === 0) throw new DataError(where, 'has an empty text, of which nothing can be asked.');
    return { kind: 'rows', numbers: windows.map((window) => this.#row(window)) };
  }

  #generation(context: string, task: Task, where: string): Place {
    const { encoder, defaults } = this.#options;
    const given = task.fields.generation_kwargs ?? {};
    const maxNewTokens = newTokensOf(given);
    const room = encoder.maxLength - maxNewTokens;
    if (room < 1)
      throw new DataError(
        task.file.file,
        `asks for ${maxNewTokens} new tokens (max_gen_toks), and the model's context is ${encoder.maxLength}, prompt and all.`,
      );
    const begins = encoder.tokenizer.specialTokens.get('bos_token');
    const isBegun = begins !== undefined && context.startsWith(begins);
    const ids = encoder.tokenizer.encode(context, { addSpecialTokens: !isBegun });
    if (ids.length === 0) throw new DataError(where, 'gives a prompt without a token.');
    if (ids.length > room) this.#noteCut(task);
    const asked = {
      promptIds: ids.slice(-room),
      maxNewTokens,
      stop: stopsOf(task),
      sampling: sampling(given, defaults),
    };
    const first = this.texts.length;
    const { repeats } = task.fields;
    for (let i = 0; i < repeats; i++) this.texts.push(asked);
    return { kind: 'texts', numbers: Array.from({ length: repeats }, (_, i) => first + i) };
  }

  #row(row: ScoredRow): number {
    return this.rows.push(row) - 1;
  }

  #noteCut({ name }: Task): void {
    this.cut.set(name, (this.cut.get(name) ?? 0) + 1);
  }
}

function newTokensOf(given: GenerationField): number {
  const { max_gen_toks, max_new_tokens, max_tokens, max_completion_tokens } = given;
  return max_gen_toks ?? max_new_tokens ?? max_tokens ?? max_completion_tokens ?? DEFAULT_NEW_TOKENS;
}

/** Where a task does not say, lm-eval stops at what lies between its examples. */
export function stopsOf({ fields }: Task): readonly string[] {
  return [fields.generation_kwargs?.until ?? fields.fewshot_delimiter].flat();
}

function sampling(given: GenerationField, defaults: GenerationDefaults): Sampling {
  const draws = given.do_sample ?? (given.temperature ?? 0) > 0;
  const config = {
    do_sample: draws,
    temperature: draws ? (given.temperature ?? null) : null,
    top_k: given.top_k ?? null,
    top_p: given.top_p ?? null,
    min_p: given.min_p ?? null,
    repetition_penalty: given.repetition_penalty ?? null,
  };
  return samplingOf(config as GenerateConfig, defaults);
}
