/** Everything that an evaluation needs before it takes GPU memory: files opened, tasks rendered, rows in tokens. */
import type { Adapter } from '../adapters/files.ts';
import type { EvalConfig } from '../config/eval.ts';
import { requireTextFile } from '../data/records.ts';
import { ConfigError } from '../errors.ts';
import { type DatasetWork, datasetWork } from '../eval/dataset-loss.ts';
import { encoderOf } from '../eval/encode.ts';
import { batchesOf, type RowBatch, readLength } from '../eval/score.ts';
import { type LongText, planWork, type Work } from '../eval/work.ts';
import { openTokenizer, type TextTokenizer, TOKENIZER_FILE } from '../formats/tokenizer.ts';
import { type GenerationDefaults, readGenerationConfig } from '../generate/generation-config.ts';
import { baseStorage } from '../model/base-storage.ts';
import { type OpenedModel, openModel } from '../model/open.ts';
import { counted } from '../report/format.ts';
import { nameProblems } from './adapter-names.ts';
import { folderName } from './eval-files.ts';
import { promptForm } from './eval-form.ts';
import { readEvalRows } from './eval-rows.ts';
import { readTasks } from './eval-tasks.ts';
import type { EvalEntry } from './eval-types.ts';
import { nodeReader } from './files.ts';
import type { HubEvent } from './hub-access.ts';
import { openAdapters } from './open-adapters.ts';
import type { NamedFolder } from './prompts.ts';

export type EvalFolders = {
  readonly model: string;
  readonly adapters: readonly NamedFolder[];
  readonly config: EvalConfig;
  /** Folder whose tokenizer and chat template datasets are read with. */
  readonly rowsFrom: string;
};

export type EvalInput = {
  readonly opened: OpenedModel;
  readonly adapters: readonly Adapter[];
  readonly defaults: GenerationDefaults;
  readonly work: Work;
  /** The template that tasks are asked in; null where they are plain text. */
  readonly chatTemplate: string | null;
  readonly batches: readonly RowBatch[];
  readonly datasets: readonly DatasetWork[];
  /** In the order of the table, base by base. */
  readonly entries: readonly EvalEntry[];
  readonly notes: readonly string[];
};

type Listener = { readonly onEvent: (event: HubEvent) => void; readonly signal: AbortSignal };

/** The stride of transformers' guide on perplexity of fixed-length models. */
const DEFAULT_STRIDE = 512;

/** Name of the base in the table. */
export const BASE = 'base';

/** @throws ConfigError, DataError */
export async function readEvalInput(
  { model: folder, adapters: named, config, rowsFrom }: EvalFolders,
  listener: Listener,
): Promise<EvalInput> {
  requireNames(named, config);
  const opened = await openModel({ model_name_or_path: folder, adapter_name_or_path: null }, nodeReader);
  const { model, source, tokenizer } = opened;
  const notes = [...opened.notes, ...(tokenizer?.notes ?? [])];
  const defaults = await readGenerationConfig(nodeReader(folder), notes);
  const adapters = await openAdapters(named, { model, source, name: source.root }, nodeReader, notes);
  const { prequantized } = await baseStorage(config, model, source);
  const entries = entriesOf(named, config, prequantized.size > 0);
  const { work, chatTemplate } = await readWork(config, opened, defaults, notes);
  for (const { task } of work.tasks) for (const note of task.notes) notes.push(note);
  for (const [task, count] of work.cut)
    notes.push(
      `${task}: ${counted(count, 'context')} beyond the model's ${model.max_position_embeddings} tokens cut from the left, as lm-eval cuts them`,
    );
  const { batch_size } = config;
  const batches = batchesOf(work.rows.map(readLength), batch_size, model.max_position_embeddings);
  const ofRows = rowsFrom === folder ? tokenizer : await tokenizerOf(rowsFrom, model.vocab_size);
  const rows = await readEvalRows(config, { folder: rowsFrom, model, tokenizer: ofRows }, listener);
  const datasets = rows.map(({ name, dataset }) =>
    datasetWork(name, dataset.rows, batch_size, model.max_position_embeddings),
  );
  return { opened, adapters, defaults, work, chatTemplate, batches, datasets, entries, notes };
}

async function tokenizerOf(folder: string, vocabSize: number): Promise<TextTokenizer | null> {
  const reader = nodeReader(folder);
  return (await reader.exists(TOKENIZER_FILE)) ? openTokenizer(reader, vocabSize) : null;
}

function requireNames(adapters: readonly NamedFolder[], { include_base, output_path }: EvalConfig): void {
  const problems = nameProblems(adapters);
  const names = adapters.map(({ name }) => name);
  if (names.includes(BASE) && include_base)
    problems.push({
      path: 'adapter',
      message: `one is called ${BASE}, as the model without an adapter is; give it another name: DIR=NAME`,
    });
  if (output_path !== null)
    names.forEach((name, i) => {
      const other = [...(include_base ? [BASE] : []), ...names.slice(0, i)].find(
        (before) => before !== name && folderName(before) === folderName(name),
      );
      if (other !== undefined)
        problems.push({
          path: 'adapter',
          message: `the results of ${other} and of ${name} would have one folder, ${folderName(name)}; give one another name: DIR=NAME`,
        });
    });
  if (names.length === 0 && !include_base)
    problems.push({ path: 'include_base', message: 'is false, and there is no adapter: nothing is left to evaluate' });
  if (problems.length > 0) throw new ConfigError(problems);
}

function entriesOf(
  adapters: readonly NamedFolder[],
  { both_bases, load_in_4bit, include_base }: EvalConfig,
  isQuantized: boolean,
): EvalEntry[] {
  if (both_bases && isQuantized)
    throw new ConfigError([
      {
        path: 'both_bases',
        message:
          'the checkpoint is in 4 bits already, and has no other weights; leave it out, or give the model it was made of',
      },
    ]);
  const own = load_in_4bit || isQuantized ? '4bit' : 'dense';
  const bases = both_bases ? (['dense', '4bit'] as const) : ([own] as const);
  return bases.flatMap((base) => {
    const named = (name: string): string => (both_bases && base === '4bit' ? `${name}-4bit` : name);
    const entry = (adapter: string | null, number: number): EvalEntry => ({
      name: named(adapter ?? BASE),
      adapter,
      number,
      base,
    });
    return [...(include_base ? [entry(null, 0)] : []), ...adapters.map(({ name }, i) => entry(name, i + 1))];
  });
}

async function readWork(
  config: EvalConfig,
  { model, tokenizer, source }: OpenedModel,
  defaults: GenerationDefaults,
  notes: string[],
): Promise<Pick<EvalInput, 'work' | 'chatTemplate'>> {
  if (config.tasks.length + config.texts.length === 0)
    return { work: { rows: [], texts: [], tasks: [], longTexts: [], cut: new Map() }, chatTemplate: null };
  if (tokenizer === null)
    throw new ConfigError([
      {
        path: 'tasks',
        message: `tasks and texts need a tokenizer, and ${source.root} has no tokenizer.json; datasets of input_ids need none`,
      },
    ]);
  const { limit, num_fewshot: numFewshot, fewshot_seed: fewshotSeed, stride } = config;
  const { form, template } = await promptForm(config, { folder: source.root, tokenizer }, (text) => notes.push(text));
  const tasks = await readTasks(config.tasks, { limit, numFewshot, fewshotSeed, form });
  const texts = await Promise.all(config.texts.map(readText));
  const { max_position_embeddings: context } = model;
  const windowLength = config.window_length ?? context;
  if (windowLength > context)
    throw new ConfigError([
      { path: 'window_length', message: `is ${windowLength}, and the model's context is ${context}` },
    ]);
  if (stride !== null && stride > windowLength)
    throw new ConfigError([
      {
        path: 'stride',
        message: `is ${stride}, above the ${windowLength} tokens of a window: tokens between two windows would be left out`,
      },
    ]);
  const encoder = encoderOf(tokenizer, context, source.root);
  const step = stride ?? Math.min(DEFAULT_STRIDE, windowLength);
  const work = planWork(tasks, texts, { encoder, defaults, windowLength, stride: step });
  return { work, chatTemplate: template };
}

async function readText(file: string): Promise<LongText> {
  const reader = nodeReader('.');
  await requireTextFile(reader, file);
  return { name: file, text: await reader.readText(file) };
}
