/** evaluate(): what a model and its adapters know, on this machine: tasks, losses of datasets, perplexities of texts. */
import { checkEvalSettings, type EvalConfig, type EvalInput as EvalSettings } from '../config/eval.ts';
import type { ConfigProblem } from '../errors.ts';
import { ask } from '../eval/answer.ts';
import { datasetLoss } from '../eval/dataset-loss.ts';
import { type TaskOutcome, taskOutcome } from '../eval/outcome.ts';
import type { RowScore } from '../eval/score.ts';
import { shapesOf } from '../eval/score.ts';
import { type LossRow, lossRow, type MetricRow, metricRows, type RowLosses } from '../eval/table.ts';
import type { PlacedText } from '../eval/work.ts';
import { floatType } from '../formats/dtype.ts';
import type { GenerationPlan } from '../generate/build.ts';
import type { GenerationEngine } from '../generate/engine.ts';
import type { Scorer } from '../generate/scorer.ts';
import { flagMessages } from '../kernels/flags.ts';
import { baseStorage } from '../model/base-storage.ts';
import { type CallOptions, callProblems, requireOptions, type WorkEvent } from './call.ts';
import type { DeviceChoice } from './device-choice.ts';
import { dateId, requireOutput, writeResults } from './eval-files.ts';
import { type EvalEntry, type EvalInput, readEvalInput } from './eval-input.ts';
import { foundFolders, openEngine } from './generation-engine.ts';
import { packageManifest } from './package-root.ts';
import type { NamedFolder } from './prompts.ts';
import { deviceNotes } from './run-notes.ts';
import { type NodeRuntime, openNodeRuntime } from './runtime.ts';

export type EvalEvent = WorkEvent<'download' | 'load' | 'compile' | 'evaluate'>;

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

export type EvalJob = {
  readonly model: string;
  /** What messages call the model's folder. */
  readonly modelName: string;
  readonly adapters: readonly NamedFolder[];
  readonly config: EvalConfig;
  readonly device?: DeviceChoice | undefined;
};

export type Listener = Required<{ readonly onEvent: (event: EvalEvent) => void; readonly signal: AbortSignal }>;

/** Does the work of evaluate() and `nibble eval`. */
export async function evaluateFrom(
  given: EvalJob,
  { onEvent = () => undefined, signal = new AbortController().signal }: CallOptions<EvalEvent>,
): Promise<EvalSummary> {
  const started = new Date();
  if (given.config.output_path !== null) await requireOutput(given.config.output_path);
  return summaryOf({ given, started, ...(await evaluateModels(given, { onEvent, signal })) });
}

type Evaluated = {
  readonly input: EvalInput;
  readonly done: readonly EntryResult[];
  readonly peakBytes: number;
  readonly device: string;
};

/** Evaluates every model of a job, base by base. @param rowsFrom folder whose tokenizer and template datasets are read with; the model's where absent */
export async function evaluateModels(given: EvalJob, listener: Listener, rowsFrom?: string): Promise<Evaluated> {
  const { onEvent, signal } = listener;
  const job = await foundFolders(given, listener);
  const input = await readEvalInput({ ...job, rowsFrom: rowsFrom ?? job.model }, listener);
  signal.throwIfAborted();
  const runtime = await openNodeRuntime(given.device);
  try {
    for (const text of [...deviceNotes(runtime.device), ...input.notes]) onEvent({ type: 'note', text });
    const done: EntryResult[] = [];
    let peakBytes = 0;
    for (const base of ['dense', '4bit'] as const) {
      const entries = input.entries.filter((entry) => entry.base === base);
      if (entries.length === 0) continue;
      const bytes = await onBase(runtime, input, entries, { config: job.config, base, done }, listener);
      peakBytes = Math.max(peakBytes, bytes);
    }
    return { input, done, peakBytes, device: runtime.device.profile.name };
  } finally {
    await runtime.close();
  }
}

/** What one model of the table came to. */
export type EntryResult = {
  readonly entry: EvalEntry;
  readonly outcomes: readonly TaskOutcome[];
  readonly scores: readonly RowScore[];
  readonly datasets: readonly RowLosses[];
};

/** Evaluates the models of one base, and adds them to `done`. @returns bytes of GPU memory at the peak */
async function onBase(
  runtime: NodeRuntime,
  input: EvalInput,
  entries: readonly EvalEntry[],
  {
    config,
    base,
    done,
  }: { readonly config: EvalConfig; readonly base: EvalEntry['base']; readonly done: EntryResult[] },
  { onEvent, signal }: Listener,
): Promise<number> {
  const storage = { ...config, load_in_4bit: base === '4bit' };
  const plan = await planOf(input, storage);
  const remedies = 'load_in_4bit, a smaller batch_size, fewer adapters at once, shorter rows or windows';
  const { source } = input.opened;
  const engine = await openEngine(
    runtime,
    { plan, source, adapters: input.adapters },
    { config, remedies, onEvent, signal },
  );
  try {
    const { rows, texts } = input.work;
    const perEntry = rows.length + texts.length + input.datasets.reduce((sum, set) => sum + set.rows.count, 0);
    for (const entry of entries) {
      onEvent({ type: 'phase', phase: 'evaluate', total: perEntry });
      const tell = (count: number): void => {
        signal.throwIfAborted();
        for (let i = 0; i < count; i++) onEvent({ type: 'progress', phase: 'evaluate', label: entry.name });
      };
      done.push(await evaluateEntry(engine, input, entry, config, tell, (text) => onEvent({ type: 'note', text })));
    }
    return engine.machine.ledger.peak.peakBytes;
  } finally {
    engine.destroy();
  }
}

async function planOf(input: EvalInput, config: EvalConfig): Promise<GenerationPlan> {
  const { opened, work, batches, datasets, adapters } = input;
  const { model, source } = opened;
  return {
    model,
    storage: await baseStorage(config, model, source),
    adapters: adapters.map(({ layout }) => layout),
    computeDtype: floatType(config.compute_dtype).gpu,
    batchSize: config.batch_size,
    requests: work.texts.map(({ promptIds, maxNewTokens }) => ({ prompt: promptIds.length, maxNewTokens })),
    scoreShapes: shapesOf([...batches, ...datasets.flatMap((set) => set.batches)]),
  };
}

async function evaluateEntry(
  engine: GenerationEngine,
  { opened: { model, tokenizer }, defaults, work, batches, datasets: sets }: EvalInput,
  entry: EvalEntry,
  { seed, bootstrap_iters }: EvalConfig,
  tell: (count: number) => void,
  note: (text: string) => void,
): Promise<EntryResult> {
  const { number: adapter } = entry;
  const options = {
    // without a tokenizer there is nothing to ask
    tokenizer: tokenizer as NonNullable<typeof tokenizer>,
    batches,
    adapter,
    eosIds: defaults.eos_token_id ?? model.eos_token_id,
    minNewTokens: defaults.min_new_tokens ?? 0,
    seed,
  };
  const answers = await drained(ask(engine, work, options), tell);
  const outcomes = work.tasks.map((placed) => taskOutcome(placed, answers, bootstrap_iters));
  const padId = model.pad_token_id ?? 0;
  let { flags } = answers;
  const datasets: RowLosses[] = [];
  for (const set of sets) {
    const {
      sums,
      tokens,
      flags: raised,
    } = await drained(datasetLoss(engine.scorer as Scorer, set, { adapter, padId }), tell);
    flags |= raised;
    const [sum, count] = [sums.reduce((a, b) => a + b, 0), tokens.reduce((a, b) => a + b, 0)];
    datasets.push({ model: entry.name, loss: sum / count, sums, tokens });
  }
  for (const text of flagMessages(flags)) note(`${entry.name}: ${text}: set compute_dtype float32`);
  return { entry, outcomes, scores: answers.scores, datasets };
}

async function drained<T>(work: AsyncGenerator<number, T>, tell: (count: number) => void): Promise<T> {
  for (let next = await work.next(); ; next = await work.next()) {
    if (next.done) return next.value;
    tell(next.value);
  }
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
      nibble_version: packageManifest().version,
      model_source: 'nibble',
      model_name: entry.name,
      total_evaluation_time_seconds: String(seconds),
    };
    for (const file of await writeResults(directory, entry.name, dateId(started), outcomes, facts)) files.push(file);
  }
  return files;
}
