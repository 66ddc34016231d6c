/** Evaluates every model of a table: base by base, each with its adapters on it. */
import type { EvalConfig } from '../config/eval.ts';
import { ask } from '../eval/answer.ts';
import { datasetLoss } from '../eval/dataset-loss.ts';
import type { RowScore } from '../eval/encode.ts';
import { type TaskOutcome, taskOutcome } from '../eval/outcome.ts';
import { shapesOf } from '../eval/score.ts';
import type { RowLosses } from '../eval/table.ts';
import { floatType } from '../formats/dtype.ts';
import type { GenerationEngine } from '../generate/engine.ts';
import type { GenerationPlan } from '../generate/plan.ts';
import type { Scorer } from '../generate/scorer.ts';
import { flagMessages } from '../kernels/flags.ts';
import { baseStorage } from '../model/base-storage.ts';
import { type EvalInput, readEvalInput } from './eval-input.ts';
import type { EvalEntry, EvalJob, Listener } from './eval-types.ts';
import { foundFolders, openEngine } from './generation-engine.ts';
import { deviceNotes } from './run-notes.ts';
import { type NodeRuntime, openNodeRuntime } from './runtime.ts';

export type Evaluated = {
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
