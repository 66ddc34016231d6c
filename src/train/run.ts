/** A training run as a generator of events: load, compile, warm up, train, evaluate, save. */

import type { TrainingFacts } from '../adapters/card.ts';
import { START } from '../data/batches.ts';
import { ConfigError, RunStopped } from '../errors.ts';
import { type FileWriter, writeText } from '../formats/reader.ts';
import type { Ledger } from '../gpu/ledger.ts';
import { flagMessages } from '../kernels/flags.ts';
import type { LoadTimes } from '../model/load.ts';
import { afterEvaluation, type BestState, isExhausted, NOTHING_YET } from './best.ts';
import { trainingFacts } from './card-facts.ts';
import { restoreEngine, restoreWeights, writeCheckpoint } from './checkpoint.ts';
import { checkpointName, stepOfCheckpoint } from './checkpoint-store.ts';
import type { Engine } from './engine.ts';
import { evaluate } from './evaluate.ts';
import type { EvalResult, Evaluation, Sample, SampledPrompt, StepEvent, Timing, TrainEvent } from './events.ts';
import { INTERRUPTED_FILE, type Interruption } from './interruption.ts';
import { countParameters } from './model-layout.ts';
import { requireFiniteStep, requireTrained } from './non-finite.ts';
import { prepareEngine, secondsSince } from './prepare.ts';
import { columnsOf, evaluationsToKeep, type Progress, stepsOf } from './resume-file.ts';
import { riseAdvice } from './rising.ts';
import { beforeAndAfter, takeSamples } from './samples.ts';
import { saveTrained } from './save.ts';
import { isSaveDue, lastCheckpoint, Saver } from './saving.ts';
import type { RunInput, Runtime } from './session.ts';
import { type SubmittedStep, submitStep } from './steps.ts';
import { TimeLimit } from './time-limit.ts';
import type { TrainOptions } from './train-options.ts';
import { formatTrainerState, logEnd, TRAINER_STATE_FILE, TrainerLog, trainerState } from './trainer-state.ts';

export type TrainResult = {
  readonly timing: Timing;
  /** All steps of the run, those before it was resumed included. */
  readonly steps: readonly StepEvent[];
  readonly evaluations: readonly Evaluation[];
  readonly evalBefore: EvalResult | null;
  /** Evaluation of the weights that were saved. */
  readonly evalAfter: EvalResult | null;
  readonly best: BestState;
  readonly samples: readonly Sample[];
  readonly sampled: readonly SampledPrompt[];
  readonly checkpoints: Progress['checkpoints'];
  /** Steps from which the run has gone on. */
  readonly resumedAt: readonly number[];
  /** Seconds in `timing` that earlier processes spent on steps, evaluations and checkpoints. */
  readonly earlierSeconds: number;
  readonly trainableParams: number;
  readonly allParams: number;
  readonly ledger: Ledger;
  /** The error of each weight that this process quantized, by name; empty without measure_quantization_error. */
  readonly quantErrors: LoadTimes['quantErrors'];
  readonly engine: Engine;
};

/**
 * Trains as `input.config` says and yields what happens. The engine in the result is still open; the caller destroys
 * it.
 * @throws DataError, DeviceError; the signal's reason when aborted, at the next step boundary and after a checkpoint;
 * RunStopped when max_minutes are over
 */
export async function* train(
  runtime: Runtime,
  input: RunInput,
  options: TrainOptions,
): AsyncGenerator<TrainEvent, TrainResult> {
  const run = new Run(runtime, input, options);
  yield* run.prepare();
  try {
    return yield* run.trainPrepared();
  } catch (error) {
    yield* run.saveInterrupted(error);
    throw error;
  }
}

const F32_BYTES = 4;
/** Weights and two moments. */
const VALUES_PER_PARAMETER = 3;
const NOT_KEPT = { nibble_version: '', run: null };

class Run {
  readonly #runtime: Runtime;
  readonly #input: RunInput;
  readonly #options: TrainOptions;
  readonly #log: TrainerLog;
  readonly #saver: Saver | null;
  readonly #limit: TimeLimit;
  readonly #steps: StepEvent[];
  readonly #evaluations: Evaluation[];
  readonly #samples: Sample[];
  readonly #checkpoints: Progress['checkpoints'];
  readonly #resumedAt: readonly number[];
  readonly #timing: Timing = {
    load_s: 0,
    quantize_s: 0,
    quantize_busy_s: 0,
    compile_s: 0,
    compile_overlapped_s: 0,
    warmup_s: 0,
    train_s: 0,
    eval_s: 0,
    checkpoint_s: 0,
    save_s: 0,
  };
  #best: BestState = NOTHING_YET;
  /** Where the next step begins in the data. */
  #position = START;
  #isEvaluated = true;
  #isStoppedEarly = false;
  #loadedBest: string | null = null;
  #earlierSeconds = 0;
  #engine!: Engine;
  #quantErrors: TrainResult['quantErrors'] = new Map();
  #clock = 0;

  constructor(runtime: Runtime, input: RunInput, options: TrainOptions) {
    const { config, batches, layout } = input;
    const { checkpoints = null, resume = null, startedMs = performance.now(), onLogRow = () => undefined } = options;
    this.#runtime = runtime;
    this.#input = input;
    this.#options = options;
    const progress = resume?.file.progress;
    this.#steps = progress === undefined ? [] : stepsOf(progress.steps, batches.totalSteps);
    this.#evaluations = [...(progress?.evaluations ?? [])];
    this.#samples = [...(progress?.samples ?? [])];
    this.#checkpoints = [...(progress?.checkpoints ?? [])];
    this.#resumedAt = progress === undefined ? [] : [...progress.resumedAt, progress.step];
    this.#saver = checkpoints === null ? null : new Saver(checkpoints, config, resume?.name ?? null);
    const checkpointBytes = countParameters(layout).trainable * F32_BYTES * VALUES_PER_PARAMETER;
    this.#limit = new TimeLimit(config.max_minutes, startedMs, checkpointBytes);
    const { log: rows = [], unlogged = 0 } = progress ?? {};
    this.#log = new TrainerLog(config, onLogRow, { rows, unlogged, steps: this.#steps });
    if (progress !== undefined) this.#goOn(progress);
  }

  #goOn(progress: Progress): void {
    this.#best = progress.best;
    this.#position = progress.position;
    this.#isEvaluated = progress.isEvaluated;
    this.#isStoppedEarly = progress.isStoppedEarly;
    Object.assign(this.#timing, progress.seconds);
    const { train_s, eval_s, checkpoint_s } = progress.seconds;
    this.#earlierSeconds = train_s + eval_s + checkpoint_s;
  }

  async *prepare(): AsyncGenerator<TrainEvent, void> {
    const { signal, resume = null } = this.#options;
    const [runtime, input, timing] = [this.#runtime, this.#input, this.#timing];
    const prepared = yield* prepareEngine({ runtime, input, signal, timing });
    this.#engine = prepared.engine;
    this.#quantErrors = prepared.quantErrors;
    if (resume !== null) await restoreEngine(input, this.#engine, resume.reader, resume.file);
  }

  async *trainPrepared(): AsyncGenerator<TrainEvent, TrainResult> {
    const { config, batches } = this.#input;
    if (batches.evaluation.count > 0 && config.eval_on_start && this.#steps.length === 0) yield* this.#evaluation(0);
    if (this.#steps.length === 0) yield* this.#sample(0);
    yield* this.#train();
    const loadsBest = config.load_best_model_at_end && this.#best.checkpoint !== null;
    requireTrained(this.#steps, config.model_name_or_path, loadsBest);
    yield* this.#loadBest();
    yield* this.#sample(this.#savedStep);
    yield* this.#save();
    return this.#result();
  }

  async *#train(): AsyncGenerator<TrainEvent, void> {
    const { totalSteps } = this.#input.batches;
    yield { type: 'phase', phase: 'train', total: totalSteps - this.#steps.length };
    yield this.#memory();
    if (!this.#isEvaluated) yield* this.#afterStep(this.#steps.length);
    this.#clock = performance.now();
    let inFlight: SubmittedStep | null = null;
    for (let index = this.#steps.length; index < totalSteps && !this.#isStoppedEarly; index++) {
      const reason = this.#whyStop(index + 1);
      if (reason !== null) {
        if (inFlight !== null) yield* this.#finish(inFlight);
        yield* this.#stop(reason);
      }
      const submitted = await submitStep(this.#engine, this.#input, index, this.#position);
      this.#position = submitted.next;
      // the loss of a step is read while the next one runs
      if (inFlight !== null) yield* this.#finish(inFlight);
      inFlight = submitted;
      if (!this.#isBoundary(index + 1, submitted.epoch)) continue;
      yield* this.#finish(submitted);
      inFlight = null;
      yield* this.#afterStep(index + 1);
      this.#clock = performance.now();
    }
  }

  /** Waits for a step and logs it. Its time runs from the end of the step before. */
  async *#finish({ done, rows }: SubmittedStep): AsyncGenerator<TrainEvent, void> {
    const event = await done;
    const now = performance.now();
    const step = { ...event, stepMs: now - this.#clock };
    this.#clock = now;
    this.#timing.train_s += step.stepMs / 1000;
    this.#limit.took({ step: step.stepMs });
    this.#steps.push(step);
    this.#log.step(step);
    yield step;
    requireFiniteStep(step, rows, this.#input.config, this.#saver?.pathOf(this.#saver.newest) ?? null);
  }

  /** Whether the GPU has to be done with a step before the next one is submitted. */
  #isBoundary(step: number, epoch: number): boolean {
    const { config, batches } = this.#input;
    const isLast = step === batches.totalSteps;
    return (
      isLast || this.#evaluatesAfter(step, epoch) || isSaveDue(config, batches, { step, epoch, isBest: false, isLast })
    );
  }

  #evaluatesAfter(step: number, epoch: number): boolean {
    const { config, batches } = this.#input;
    if (batches.evaluation.count === 0) return false;
    if (step === batches.totalSteps) return true;
    if (config.eval_strategy === 'steps') return step % batches.evalSteps === 0;
    return config.eval_strategy === 'epoch' && Number.isInteger(epoch);
  }

  /** What follows a step that is done: evaluation, and then a checkpoint that knows of it. */
  async *#afterStep(step: number): AsyncGenerator<TrainEvent, void> {
    const { config, batches } = this.#input;
    const { epoch } = this.#steps.at(-1) as StepEvent;
    const evaluates = this.#evaluatesAfter(step, epoch);
    let isBest = false;
    if (evaluates) {
      this.#isEvaluated = false;
      const result = yield* this.#evaluation(step);
      yield* this.#sample(step, result.seconds);
      this.#isEvaluated = true;
      ({ state: this.#best, isBest } = afterEvaluation(this.#best, config, step, result));
      const advice = riseAdvice(this.#evaluations, config);
      if (advice !== null) yield { type: 'advice', ...advice };
      this.#isStoppedEarly = step < batches.totalSteps && isExhausted(this.#best, config);
    }
    const isLast = step === batches.totalSteps || this.#isStoppedEarly;
    if (isSaveDue(config, batches, { step, epoch, isBest, isLast })) yield* this.#checkpoint({ isBest, isStop: false });
    if (this.#isStoppedEarly) yield { type: 'note', text: this.#earlyStop(step) };
    else if (evaluates && !isLast) {
      yield { type: 'phase', phase: 'train', total: batches.totalSteps - step };
      yield this.#memory();
    }
  }

  #memory(): TrainEvent {
    const { currentBytes: liveBytes, peak } = this.#engine.machine.ledger;
    return { type: 'memory', liveBytes, peakBytes: peak.peakBytes, byCategory: peak.byCategory };
  }

  #earlyStop(step: number): string {
    const { patience, metric } = this.#best;
    return `stopped early after step ${step}: ${patience} evaluations in a row were no better than ${metric}`;
  }

  async *#evaluation(step: number): AsyncGenerator<TrainEvent, EvalResult> {
    const { evaluation } = this.#input.batches;
    const { signal } = this.#options;
    yield { type: 'phase', phase: 'eval', total: evaluation.count };
    const running = evaluate(this.#engine, evaluation, this.#input.config.loss_denominator);
    let next = await running.next();
    while (!next.done) {
      if (signal.aborted) yield* this.#stop(signal.reason);
      yield { type: 'progress', phase: 'eval', label: '' };
      next = await running.next();
    }
    const result = next.value;
    for (const what of flagMessages(this.#engine.takeEvalFlags()))
      yield { type: 'note', text: `evaluation after step ${step}: ${what}` };
    this.#timing.eval_s += result.seconds;
    this.#limit.took({ evaluation: result.seconds * 1000 });
    const epoch = this.#steps.at(-1)?.epoch ?? 0;
    this.#log.evaluation(step, epoch, result, evaluation.count);
    this.#evaluations.push({ step, epoch, result });
    yield { type: 'eval', step, epoch, result };
    return result;
  }

  /** Writes on after the prompts of eval_generate, if there are any, once for the weights of a step; `evaluated` s went before. */
  async *#sample(step: number, evaluated = 0): AsyncGenerator<TrainEvent, void> {
    const { samples } = this.#input;
    if (samples === null || this.#samples.some((sample) => sample.step === step)) return;
    const started = performance.now();
    for (const sample of yield* takeSamples(this.#engine, samples, this.#input, step)) this.#samples.push(sample);
    this.#timing.eval_s += secondsSince(started);
    this.#limit.took({ evaluation: 1000 * (evaluated + secondsSince(started)) });
  }

  /** Why the run ends before `step`: the signal's reason, or that its time is nearly over; null where it does not. */
  #whyStop(step: number): unknown {
    const { signal } = this.#options;
    if (signal.aborted) return signal.reason;
    const { config, batches } = this.#input;
    const epoch = step / batches.train.stepsPerEpoch;
    if (!this.#limit.isNear(this.#evaluatesAfter(step, epoch))) return null;
    const { max_minutes } = config;
    const done = step - 1;
    if (done === (this.#resumedAt.at(-1) ?? 0)) {
      const message = `${max_minutes} minutes are over before the first step and a checkpoint after it; give more`;
      return new ConfigError([{ path: 'max_minutes', message }]);
    }
    const path = this.#saver?.pathOf(checkpointName(done)) ?? null;
    const what = `stopped after step ${done} of ${batches.totalSteps}, since max_minutes ${max_minutes} are nearly over`;
    return path === null ? new Error(what) : new RunStopped(what, path);
  }

  /** Saves a checkpoint of the steps that are done, unless it is there or none are wanted. @throws the reason */
  async *#stop(reason: unknown): AsyncGenerator<TrainEvent, void> {
    const { save_strategy } = this.#input.config;
    const step = this.#steps.length;
    if (this.#saver !== null && step > 0 && save_strategy !== 'no') {
      if (this.#saver.newest !== checkpointName(step)) yield* this.#checkpoint({ isBest: false, isStop: true });
      else yield this.#checkpointEvent({ isBest: false, isStop: true });
    }
    throw reason;
  }

  async *#checkpoint(what: { readonly isBest: boolean; readonly isStop: boolean }): AsyncGenerator<TrainEvent, void> {
    const saver = this.#saver;
    if (saver === null) return;
    const started = performance.now();
    const lossScale = await this.#engine.scalerState();
    const { origin = NOT_KEPT } = this.#options;
    this.#best = await saver.save(this.#steps.length, this.#best, async (folder, best) => {
      const resume = { ...origin, progress: this.#progress(best, lossScale) };
      const state = formatTrainerState(this.#trainerState(best));
      await writeCheckpoint(this.#runtime, this.#input, this.#engine, folder, {
        resume,
        trainerState: state,
        facts: this.#facts(this.#steps.length),
      });
    });
    const seconds = secondsSince(started);
    this.#checkpoints.push({ step: this.#steps.length, seconds });
    this.#timing.checkpoint_s += seconds;
    this.#limit.took({ checkpoint: seconds * 1000 });
    yield this.#checkpointEvent(what);
  }

  #checkpointEvent(what: { readonly isBest: boolean; readonly isStop: boolean }): TrainEvent {
    const step = this.#steps.length;
    return { type: 'checkpoint', step, path: this.#saver?.pathOf(checkpointName(step)) ?? '', ...what };
  }

  #progress(best: BestState, lossScale: Progress['lossScale']): Progress {
    const { train_s, eval_s, checkpoint_s } = this.#timing;
    return {
      step: this.#steps.length,
      totalSteps: this.#input.batches.totalSteps,
      position: this.#position,
      isEvaluated: this.#isEvaluated,
      isStoppedEarly: this.#isStoppedEarly,
      steps: columnsOf(this.#steps),
      samples: this.#samples,
      evaluations: evaluationsToKeep(this.#evaluations, [best.step, stepOfCheckpoint(best.checkpoint ?? '')]),
      log: this.#log.rows,
      unlogged: this.#log.unlogged,
      best,
      lossScale,
      seconds: { train_s, eval_s, checkpoint_s },
      checkpoints: this.#checkpoints,
      resumedAt: [...this.#resumedAt],
    };
  }

  async *#loadBest(): AsyncGenerator<TrainEvent, void> {
    const { checkpoints = null } = this.#options;
    const { checkpoint, metric } = this.#best;
    if (!this.#input.config.load_best_model_at_end || checkpoints === null) return;
    const isThere = checkpoint !== null && (await checkpoints.names()).includes(checkpoint);
    if (!isThere) {
      const text =
        'load_best_model_at_end: there is no checkpoint of the best evaluation; the weights of the last step are kept';
      yield { type: 'note', text };
      return;
    }
    await restoreWeights(this.#input, this.#engine, checkpoints.reader(checkpoint));
    this.#loadedBest = checkpoint;
    yield {
      type: 'note',
      text: `the best checkpoint is loaded: ${checkpoints.pathOf(checkpoint)}, eval_loss ${metric}`,
    };
  }

  async *#save(): AsyncGenerator<TrainEvent, void> {
    const { writer } = this.#options;
    if (writer === null) return;
    yield { type: 'phase', phase: 'save', total: 0 };
    const started = performance.now();
    const facts = this.#facts(this.#savedStep);
    for (const text of await saveTrained(this.#runtime, this.#input, this.#engine, writer, facts))
      yield { type: 'note', text };
    await this.#saver?.keepBest(this.#best);
    this.#timing.save_s = secondsSince(started);
    await this.#writeTrainerState(writer);
  }

  /** Writes what was logged before `error` ended the steps; weights are in the checkpoints. */
  async *saveInterrupted(error: unknown): AsyncGenerator<TrainEvent, void> {
    const { writer } = this.#options;
    const done = this.#steps.length;
    if (writer === null || done === 0) return;
    const reason = error instanceof Error ? error.message.split('\n')[0] : String(error);
    const checkpoint = this.#saver?.pathOf(this.#saver.newest) ?? null;
    const max_steps = this.#input.batches.totalSteps;
    const interruption: Interruption = { reason: String(reason), step: done, max_steps, checkpoint };
    try {
      await this.#writeTrainerState(writer);
      await writeText(writer, INTERRUPTED_FILE, `${JSON.stringify(interruption, null, 2)}\n`);
    } catch {
      return; // the error that is being thrown says more
    }
    const weights = checkpoint === null ? '; no weights were written' : `. ${lastCheckpoint(checkpoint)}`;
    yield { type: 'note', text: `${writer.root}: trainer_state.json has the log up to step ${done}${weights}` };
  }

  async #writeTrainerState(writer: FileWriter): Promise<void> {
    const { config } = this.#input;
    const facts = { config, steps: this.#steps, parameters: this.#parameters, trainSeconds: this.#timing.train_s };
    logEnd(this.#log, facts);
    await writeText(writer, TRAINER_STATE_FILE, formatTrainerState(this.#trainerState(this.#best)));
  }

  #trainerState(best: BestState) {
    const { config, batches } = this.#input;
    const bestPath = best.checkpoint === null ? null : (this.#saver?.pathOf(best.checkpoint) ?? null);
    return trainerState(this.#log, {
      config,
      batches,
      steps: this.#steps,
      best,
      bestPath,
      parameters: this.#parameters,
    });
  }

  /** All parameters outside the embedding. */
  get #parameters(): number {
    const { layout, model } = this.#input;
    return countParameters(layout).all - model.vocab_size * model.hidden_size;
  }

  /** Step whose weights the run ends with. */
  get #savedStep(): number {
    const best = this.#loadedBest === null ? null : stepOfCheckpoint(this.#loadedBest);
    return best ?? this.#steps.length;
  }

  #facts(step: number): TrainingFacts {
    const { origin = NOT_KEPT } = this.#options;
    return trainingFacts(this.#input, {
      steps: this.#steps,
      evaluations: this.#evaluations,
      samples: this.#samples,
      step,
      device: this.#runtime.device.profile.name,
      nibbleVersion: origin.nibble_version,
    });
  }

  #result(): TrainResult {
    const { trainable, all } = countParameters(this.#input.layout);
    const saved = this.#savedStep;
    const evaluationAt = (step: number): EvalResult | null =>
      this.#evaluations.find((evaluation) => evaluation.step === step)?.result ?? null;
    return {
      timing: this.#timing,
      steps: this.#steps,
      evaluations: this.#evaluations,
      evalBefore: evaluationAt(0),
      evalAfter: evaluationAt(saved),
      best: this.#best,
      samples: this.#samples,
      sampled: beforeAndAfter(this.#samples, saved),
      checkpoints: this.#checkpoints,
      resumedAt: this.#resumedAt,
      earlierSeconds: this.#earlierSeconds,
      trainableParams: trainable,
      allParams: all,
      ledger: this.#engine.machine.ledger,
      quantErrors: this.#quantErrors,
      engine: this.#engine,
    };
  }
}
