/** evaluate(): what a model and its adapters know, on this machine: tasks, losses of datasets, perplexities of texts. */
import { checkEvalSettings, type EvalInput as EvalSettings } from '../config/eval.ts';
import type { ConfigProblem } from '../errors.ts';
import type { RowScore } from '../eval/encode.ts';
import { type LossRow, lossRow, type MetricRow, metricRows, type RowLosses } from '../eval/table.ts';
import type { PlacedText } from '../eval/work.ts';
import { type CallOptions, callProblems, requireOptions } from './call.ts';
import type { DeviceChoice } from './device-choice.ts';
import { sha256OfText } from './environment.ts';
import { dateId, requireOutput, writeResults } from './eval-files.ts';
import { type EntryResult, type Evaluated, evaluateModels } from './eval-models.ts';
import type { EvalEntry, EvalEvent, EvalJob } from './eval-types.ts';
import { packageManifest } from './package-root.ts';

export type { EvalEvent };

/** What an evaluation came to, as `nibble eval --json` prints it: every table has the same models in the same order. */
export type EvalSummary = {
  readonly model: string;
  readonly models: readonly EvalEntry[];
  readonly tasks: readonly MetricRow[];
  readonly datasets: readonly LossRow[];
  /** Windows are rows, weighted as in transformers' guide on perplexity of fixed-length models. */
  readonly texts: readonly LossRow[];
  /** Files of results and samples; none without output_path. */
  readonly files: readonly string[];
  readonly seconds: number;
  /** Of the base that took most. */
  readonly peak_bytes: number;
};

export type EvalOptions = EvalSettings &
  CallOptions<EvalEvent> & {
    /** Directory of a Hugging Face model, or its name on the hub. */
    readonly model_name_or_path: string;
    /** Directories of PEFT adapters, or their names on the hub, by name. */
    readonly adapters?: Readonly<Record<string, string>> | undefined;
    readonly device?: DeviceChoice | undefined;
  };

/**
 * Evaluates a model and adapters on tasks, datasets and texts, all on the same items.
 * @throws ConfigError with all that is wrong in the options; DataError for files that cannot be read; DeviceError
 */
export async function evaluate(options: EvalOptions): Promise<EvalSummary> {
  requireOptions('evaluate', options, "{ model_name_or_path: './llama', tasks: ['task.yaml'] }");
  const { model_name_or_path: model, adapters = {}, onEvent, signal, device, ...given } = options;
  const missing: ConfigProblem[] = callProblems(options);
  if (typeof model !== 'string' || model === '')
    missing.push({ path: 'model_name_or_path', message: 'is missing; wanted the path of a directory (options)' });
  const config = checkEvalSettings(given, () => 'options', missing);
  const named = Object.entries(adapters).map(([name, directory]) => ({ name, directory }));
  return evaluateFrom({ model, modelName: 'model_name_or_path', adapters: named, config, device }, { onEvent, signal });
}

/** Does the work of evaluate() and `nibble eval`. */
export async function evaluateFrom(
  given: EvalJob,
  { onEvent = () => undefined, signal = new AbortController().signal }: CallOptions<EvalEvent>,
): Promise<EvalSummary> {
  const started = new Date();
  if (given.config.output_path !== null) await requireOutput(given.config.output_path);
  return summaryOf({ given, started, ...(await evaluateModels(given, { onEvent, signal })) });
}

type Finished = Evaluated & { readonly given: EvalJob; readonly started: Date };

async function summaryOf(finished: Finished): Promise<EvalSummary> {
  const { given, input, done, started, peakBytes } = finished;
  const seconds = (Date.now() - started.getTime()) / 1000;
  const files = await writeAll(finished, seconds);
  const named = done.map(({ entry, ...result }) => ({ model: entry.name, ...result }));
  return {
    model: given.model,
    models: input.entries,
    tasks: metricRows(named),
    datasets: input.datasets.map(({ name }, i) =>
      lossRow(
        name,
        done.map(({ datasets }) => datasets[i] as RowLosses),
      ),
    ),
    texts: input.work.longTexts.map((text) =>
      lossRow(
        text.name,
        done.map((result) => textLosses(text, result)),
      ),
    ),
    files,
    seconds,
    peak_bytes: peakBytes,
  };
}

/** Windows as rows: a window's mean loss counts as often as transformers' guide has it. */
function textLosses({ windows }: PlacedText, { entry, scores }: EntryResult): RowLosses {
  const tokens = windows.map(({ weight }) => weight);
  const sums = windows.map(({ row, own, weight }) => (-(scores[row] as RowScore).logprob / own) * weight);
  const [sum, count] = [sums.reduce((a, b) => a + b, 0), tokens.reduce((a, b) => a + b, 0)];
  return { model: entry.name, loss: sum / count, sums, tokens };
}

async function writeAll({ given, input, done, started, device }: Finished, seconds: number): Promise<string[]> {
  const { config, model } = given;
  const { output_path: directory } = config;
  if (directory === null) return [];
  const files: string[] = [];
  for (const { entry, outcomes } of done) {
    const adapter = given.adapters.find(({ name }) => name === entry.adapter);
    const facts = {
      config: {
        model: 'nibble',
        model_args: {
          pretrained: model,
          ...(adapter && { peft: adapter.directory }),
          load_in_4bit: entry.base === '4bit',
        },
        model_dtype: config.compute_dtype,
        batch_size: config.batch_size,
        device,
        limit: config.limit,
        bootstrap_iters: config.bootstrap_iters,
        gen_kwargs: null,
        random_seed: config.seed,
        fewshot_seed: config.fewshot_seed,
      },
      date: started.getTime() / 1000,
      max_length: input.opened.model.max_position_embeddings,
      system_instruction: config.system_instruction,
      system_instruction_sha: hashOrNull(config.system_instruction),
      fewshot_as_multiturn: config.fewshot_as_multiturn,
      chat_template: input.chatTemplate,
      chat_template_sha: hashOrNull(input.chatTemplate),
      nibble_version: packageManifest().version,
      model_source: 'nibble',
      model_name: entry.name,
      total_evaluation_time_seconds: String(seconds),
    };
    for (const file of await writeResults(directory, entry.name, dateId(started), outcomes, facts)) files.push(file);
  }
  return files;
}

const hashOrNull = (text: string | null): string | null => (text === null ? null : sha256OfText(text));
