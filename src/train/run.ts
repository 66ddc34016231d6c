/** A training run as a generator of events: load, compile, warm up, train, evaluate, save. */

import { trainableParametersLine } from '../adapters/files.ts';
import { START } from '../data/batches.ts';
import { DataError } from '../errors.ts';
import { type FileWriter, writeText } from '../formats/reader.ts';
import type { Ledger } from '../gpu/ledger.ts';
import { flagMessages } from '../kernels/flags.ts';
import type { LoadTimes } from '../model/load.ts';
import type { Engine } from './engine.ts';
import { evaluate } from './evaluate.ts';
import type { EvalResult, StepEvent, Timing, TrainEvent } from './events.ts';
import { loadNote, NOTHING_LOADED, type Timed, timed } from './load-times.ts';
import { countParameters } from './model-layout.ts';
import { saveTrainedAdapter, saveTrainedModel } from './save.ts';
import { savedDtype } from './saved-bytes.ts';
import { allocate, fill, initialize, type RunInput, type Runtime } from './session.ts';
import { type SubmittedStep, submitStep } from './steps.ts';
import { formatTrainerState, TrainerLog, type TrainerState, trainerState } from './trainer-state.ts';

/** Hugging Face's log of a run; the last file that training writes. */
export const TRAINER_STATE_FILE = 'trainer_state.json';
/** Says why a run stopped early: a file of its own, since trainer_state.json has Hugging Face's fields only. */
export const INTERRUPTED_FILE = 'interrupted.json';
export type Interruption = { readonly reason: string; readonly step: number; readonly max_steps: number };

type TrainOptions = {
  readonly signal: AbortSignal;
  /** Folder for the results; null keeps nothing. */
  readonly writer: FileWriter | null;
};

export type TrainResult = {
  readonly timing: Timing;
  readonly steps: readonly StepEvent[];
  readonly evalBefore: EvalResult | null;
  readonly evalAfter: EvalResult | null;
  readonly trainableParams: number;
  readonly allParams: number;
  readonly ledger: Ledger;
  readonly engine: Engine;
};

/**
 * Trains as `input.config` says and yields what happens. The engine in the result is still open; the caller destroys
 * it.
 * @throws DataError, DeviceError; the signal's reason when aborted, at the next step boundary
 */
export async function* train(
  runtime: Runtime,
  input: RunInput,
  options: TrainOptions,
): AsyncGenerator<TrainEvent, TrainResult> {
  const run = new Run(runtime, input, options);
  yield* run.prepare();
  try {
    return yield* trainPrepared(run, input);
  } catch (error) {
    yield* run.saveInterrupted(error);
    throw error;
  }
}

async function* trainPrepared(run: Run, { config, batches }: RunInput): AsyncGenerator<TrainEvent, TrainResult> {
  const evaluates = batches.evaluation.count > 0;
  const evalBefore = evaluates && config.eval_on_start ? yield* run.evaluation(0) : null;
  yield* run.steps();
  run.requireTrained();
  const evalAfter = evaluates ? (run.lastEvaluation ?? (yield* run.evaluation(batches.totalSteps))) : null;
  yield* run.save();
  return run.result(evalBefore, evalAfter);
}

class Run {
  readonly #runtime: Runtime;
  readonly #input: RunInput;
  readonly #options: TrainOptions;
  readonly #log: TrainerLog;
  readonly #steps: StepEvent[] = [];
  readonly #timing: Timing = {
    load_s: 0,
    quantize_s: 0,
    quantize_busy_s: 0,
    compile_s: 0,
    compile_overlapped_s: 0,
    warmup_s: 0,
    train_s: 0,
    eval_s: 0,
    save_s: 0,
  };
  #engine!: Engine;
  #clock = 0;
  /** Evaluation after the last step, where the schedule asked for one there. */
  lastEvaluation: EvalResult | null = null;

  constructor(runtime: Runtime, input: RunInput, options: TrainOptions) {
    this.#runtime = runtime;
    this.#input = input;
    this.#options = options;
    this.#log = new TrainerLog(input.config);
  }

  /** Pipelines are compiled while weights are loaded; the weights decide when the phase ends. */
  async *prepare(): AsyncGenerator<TrainEvent, void> {
    const started = performance.now();
    this.#engine = await allocate(this.#runtime, this.#input);
    const compiling = timed(this.#engine.compile());
    try {
      const { quantizeSeconds, quantizeBusySeconds } = yield* this.#load(compiling);
      const loaded = performance.now();
      this.#timing.quantize_s = quantizeSeconds;
      this.#timing.quantize_busy_s = quantizeBusySeconds;
      this.#timing.load_s = (loaded - started) / 1000 - quantizeSeconds;
      yield* this.#compile(compiling, loaded);
    } finally {
      // A run that stops here closes the device next.
      await compiling.ended;
    }
    yield* this.#warmUp();
  }

  async *#load(compiling: Timed<void>): AsyncGenerator<TrainEvent, LoadTimes> {
    const { signal } = this.#options;
    const { declared } = this.#engine;
    yield { type: 'phase', phase: 'load', total: declared.weights.size + declared.vectors.size };
    const filling = fill(this.#runtime, this.#input, this.#engine, signal);
    try {
      let next = await filling.next();
      for (; !next.done; next = await filling.next()) {
        signal.throwIfAborted();
        // What does not compile need not wait for gigabytes.
        compiling.throwIfFailed();
        yield { type: 'progress', phase: 'load', label: next.value };
      }
      return next.value;
    } finally {
      await filling.return(NOTHING_LOADED);
    }
  }

  async *#compile(compiling: Timed<void>, loaded: number): AsyncGenerator<TrainEvent, void> {
    yield { type: 'phase', phase: 'compile', total: 0 };
    await compiling.result;
    const { from, to } = await compiling.ended;
    this.#timing.compile_overlapped_s = (Math.min(to, loaded) - from) / 1000;
    await initialize(this.#input, this.#engine);
    this.#timing.compile_s = secondsSince(loaded);
    this.#options.signal.throwIfAborted();
    yield { type: 'note', text: loadNote(this.#timing) };
    const { trainable, all } = countParameters(this.#input.layout);
    yield { type: 'note', text: trainableParametersLine(trainable, all) };
  }

  async *#warmUp(): AsyncGenerator<TrainEvent, void> {
    yield { type: 'phase', phase: 'warmup', total: this.#engine.warmUpNames.length };
    const started = performance.now();
    for await (const label of this.#engine.warmUp()) {
      this.#options.signal.throwIfAborted();
      yield { type: 'progress', phase: 'warmup', label };
    }
    this.#timing.warmup_s = secondsSince(started);
  }

  async *steps(): AsyncGenerator<TrainEvent, void> {
    const { totalSteps } = this.#input.batches;
    yield { type: 'phase', phase: 'train', total: totalSteps };
    let state = START;
    this.#clock = performance.now();
    let inFlight: SubmittedStep | null = null;
    for (let i = 0; i < totalSteps; i++) {
      const { signal } = this.#options;
      if (signal.aborted && inFlight !== null) yield await this.#finish(inFlight);
      signal.throwIfAborted();
      const submitted = await submitStep(this.#engine, this.#input, i, state);
      state = submitted.next;
      // the loss of a step is read while the next one runs
      if (inFlight !== null) yield await this.#finish(inFlight);
      inFlight = submitted;
      if (!this.#evaluatesAfter(i + 1, submitted.epoch)) continue;
      yield await this.#finish(submitted);
      inFlight = null;
      const result = yield* this.evaluation(i + 1);
      if (i + 1 === totalSteps) this.lastEvaluation = result;
      else yield { type: 'phase', phase: 'train', total: totalSteps - (i + 1) };
      this.#clock = performance.now();
    }
    if (inFlight !== null) yield await this.#finish(inFlight);
  }

  /** @throws DataError where every step that had a label was skipped: what would be saved is what was there before */
  requireTrained(): void {
    const skipped = this.#steps.filter(({ finite }) => !finite);
    if (skipped.length === 0 || this.#steps.some(({ finite, lossTokens }) => finite && lossTokens > 0)) return;
    const said = flagMessages(skipped.reduce((all, { flags }) => all | flags, 0));
    const what = said.join('; ') || 'gradients were not finite';
    throw new DataError(
      this.#input.config.model_name_or_path,
      `every one of ${skipped.length} updates was skipped (${what}), so nothing was trained and no weights are written. ` +
        'Set compute_dtype: float32 or a lower learning_rate, or see whether the model gives a finite loss at all.',
    );
  }

  /** Waits for a step and logs it. Its time runs from the end of the step before. */
  async #finish({ done }: SubmittedStep): Promise<StepEvent> {
    const event = await done;
    const now = performance.now();
    const step = { ...event, stepMs: now - this.#clock };
    this.#clock = now;
    this.#timing.train_s += step.stepMs / 1000;
    this.#steps.push(step);
    this.#log.step(step);
    return step;
  }

  #evaluatesAfter(step: number, epoch: number): boolean {
    const { config, batches } = this.#input;
    if (batches.evaluation.count === 0) return false;
    if (config.eval_strategy === 'steps') return step % config.eval_steps === 0;
    return config.eval_strategy === 'epoch' && Number.isInteger(epoch);
  }

  async *evaluation(step: number): AsyncGenerator<TrainEvent, EvalResult> {
    const { evaluation } = this.#input.batches;
    yield { type: 'phase', phase: 'eval', total: evaluation.count };
    const running = evaluate(this.#engine, evaluation, this.#input.config.loss_denominator);
    let next = await running.next();
    while (!next.done) {
      this.#options.signal.throwIfAborted();
      yield { type: 'progress', phase: 'eval', label: '' };
      next = await running.next();
    }
    const result = next.value;
    for (const what of flagMessages(this.#engine.takeEvalFlags()))
      yield { type: 'note', text: `evaluation after step ${step}: ${what}` };
    this.#timing.eval_s += result.seconds;
    const epoch = this.#steps.at(-1)?.epoch ?? 0;
    this.#log.evaluation(step, epoch, result, evaluation.count);
    yield { type: 'eval', step, epoch, result };
    return result;
  }

  async *save(): AsyncGenerator<TrainEvent, void> {
    const { writer } = this.#options;
    if (writer === null) return;
    const { config, layout, model, source } = this.#input;
    yield { type: 'phase', phase: 'save', total: 0 };
    const started = performance.now();
    if (layout.lora !== null) await saveTrainedAdapter(this.#engine, layout, source, writer);
    else {
      const dtype = savedDtype(config, model);
      const from = this.#runtime.readerOf(config.model_name_or_path);
      const notes: string[] = [];
      const note = (text: string) => void notes.push(text);
      await saveTrainedModel(this.#engine, from, writer, { dtype, codec: this.#runtime.codec, note });
      for (const text of notes) yield { type: 'note', text };
    }
    this.#timing.save_s = secondsSince(started);
    await writeText(writer, TRAINER_STATE_FILE, formatTrainerState(this.#trainerState()));
  }

  /** Writes what was logged before `error` ended the steps; only a run that ends well writes weights. */
  async *saveInterrupted(error: unknown): AsyncGenerator<TrainEvent, void> {
    const { writer } = this.#options;
    const done = this.#steps.length;
    if (writer === null || done === 0) return;
    const reason = error instanceof Error ? error.message.split('\n')[0] : String(error);
    const interruption: Interruption = {
      reason: String(reason),
      step: done,
      max_steps: this.#input.batches.totalSteps,
    };
    try {
      await writeText(writer, TRAINER_STATE_FILE, formatTrainerState(this.#trainerState()));
      await writeText(writer, INTERRUPTED_FILE, `${JSON.stringify(interruption, null, 2)}\n`);
    } catch {
      return; // the error that is being thrown says more
    }
    yield {
      type: 'note',
      text: `${writer.root}: trainer_state.json has the log up to step ${done}; no weights were written`,
    };
  }

  #trainerState(): TrainerState {
    const { config, batches, model } = this.#input;
    const { all } = countParameters(this.#input.layout);
    const parameters = all - model.vocab_size * model.hidden_size;
    const trainSeconds = this.#timing.train_s;
    return trainerState(this.#log, { config, batches, steps: this.#steps, trainSeconds, parameters });
  }

  result(evalBefore: EvalResult | null, evalAfter: EvalResult | null): TrainResult {
    const { trainable, all } = countParameters(this.#input.layout);
    return {
      timing: this.#timing,
      steps: this.#steps,
      evalBefore,
      evalAfter,
      trainableParams: trainable,
      allParams: all,
      ledger: this.#engine.machine.ledger,
      engine: this.#engine,
    };
  }
}

function secondsSince(started: number): number {
  return (performance.now() - started) / 1000;
}
