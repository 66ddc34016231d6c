/** Training on a machine: batches in, losses and norms out. */
import { max as largest } from 'simple-statistics';
import type { StartValues } from '../adapters/start-values.ts';
import type { PackedDocuments } from '../data/documents.ts';
import { KernelCallError } from '../errors.ts';
import type { Machine } from '../gpu/machine.ts';
import type { Span } from '../gpu/profiler.ts';
import type { Submission } from '../gpu/submission.ts';
import type { Tensor } from '../gpu/tensor.ts';
import type { Readback } from '../gpu/transfer.ts';
import { METRIC, METRIC_COUNT } from '../kernels/grad-norm.ts';
import type { DeclaredModel } from '../model/declare.ts';
import { wholeRows } from './document-inputs.ts';
import type { HeldState } from './held-state.ts';
import { allocateInputs, F32_BYTES, type Inputs } from './inputs.ts';
import { LossScaler, type RatesAt, type ScalerState, USED_BYTES } from './loss-scaler.ts';
import { pagePlan } from './pager.ts';
import { type EngineSettings, MAGNITUDES_PLAN, planName, recordPhases, SAMPLE_PLAN, UPDATE_PLAN } from './phases.ts';
import type { BatchShape } from './shapes.ts';
import { packStepScalars, STEP_BYTES, type StepScalars } from './step-scalars.ts';

/** A batch as the GPU reads it: (B, S) row-major; labels are shifted already, -100 where nothing is predicted. */
export type Batch = BatchShape & {
  readonly inputIds: Uint32Array;
  readonly labels: Int32Array;
  /** Where documents begin and end, for plans of packed rows; without it, each row counts as one document. */
  readonly documents?: PackedDocuments | null;
};

/** Results of a step, read back once the GPU is done. */
export type StepMetrics = {
  readonly loss: number;
  /** Before clipping, divided by the loss scale. */
  readonly gradNorm: number;
  /** False where the update was skipped. */
  readonly finite: boolean;
  /** Bits of src/kernels/flags.ts. */
  readonly flags: number;
  /** Factor on the loss of this step; null where gradients are not scaled. */
  readonly lossScale: number | null;
  /** Updates applied before this step, which decide its learning rate; with a loss scale, skipped ones do not count. */
  readonly updates: number;
};

/** Weights are read back in pieces of this size at least; smaller ones would make many round trips. */
const MIN_STAGING_BYTES = 256 * 1024;
/** Steps in flight: the loss of one is read while the next one runs. */
const STAGING_BUFFERS = 2;
/** Order in a staging buffer: an update's metrics, then flags, loss scale, and the row losses of its micro-batches. */
const FLAGS_AT = F32_BYTES * METRIC_COUNT;
const SCALE_AT = FLAGS_AT + F32_BYTES;
const METRICS_BYTES = SCALE_AT + USED_BYTES;

/** Trains a declared model on a machine; `destroy` frees its memory. */
export class Engine {
  readonly machine: Machine;
  readonly declared: DeclaredModel;
  readonly settings: EngineSettings;
  readonly state: HeldState;
  readonly inputs: Inputs;
  /** First values of pairs that were taken off the base's weights, and are so when they are saved; null without. */
  startPairs: StartValues | null = null;
  /** How often each micro-batch's plan was trained with, by its name. */
  readonly microSteps = new Map<string, number>();
  readonly #scalars = new ArrayBuffer(STEP_BYTES);
  readonly #scaler: LossScaler | null;
  #evalFlags = 0;
  /** Settles when all of the last step is submitted, where its state comes in pages. */
  #submitted: Promise<unknown> = Promise.resolve();

  /** Allocates and records everything and runs nothing: an estimate needs no more. `compile` comes next. */
  constructor(machine: Machine, declared: DeclaredModel, state: HeldState, settings: EngineSettings) {
    this.machine = machine;
    this.declared = declared;
    this.state = state;
    this.settings = settings;
    const { lossScaling, documents, gradientAccumulationSteps, sampleTokens } = settings;
    const shapes = [...settings.trainShapes, ...settings.evalShapes].map(({ B, S }) => B * S);
    const rows = largest([...shapes, sampleTokens ?? 1]);
    const sampled = sampleTokens === null ? null : declared.model.head.weight.out;
    const packed = documents.train || documents.evaluation;
    this.inputs = allocateInputs(machine.residents, rows, { packed, scaled: lossScaling !== null, sampled });
    const { step, scaling } = this.inputs;
    this.#scaler =
      lossScaling === null || scaling === null
        ? null
        : new LossScaler(machine, { ...scaling, step }, lossScaling.initScale);
    const lossBytes = F32_BYTES * rows * gradientAccumulationSteps;
    const logitBytes = F32_BYTES * ((sampled ?? 0) + 1);
    const bytes = Math.max(MIN_STAGING_BYTES, METRICS_BYTES + lossBytes, logitBytes);
    machine.prepare(recordPhases(this), { buffers: STAGING_BUFFERS, bytes });
  }

  /** Compiles all programs; weights may be loading meanwhile. @throws DeviceError */
  compile(): Promise<void> {
    this.state.writeTables();
    return this.machine.compile();
  }

  /**
   * Submits one optimizer step over its micro-batches and returns at once. The promise gives the loss, a sum over the
   * step's loss tokens divided by their number, when the GPU is done. At most two steps may be unread.
   * @param ratesAt with a loss scale: learning rate and bias corrections by the number of updates applied before the
   * step, which take the place of those in `scalars`
   */
  trainStep(
    batches: readonly Batch[],
    scalars: Omit<StepScalars, 'micro'>,
    ratesAt: RatesAt = () => scalars,
  ): Promise<StepMetrics> {
    const { pager } = this.state;
    if (pager === null) return this.#submitStep(batches, scalars, ratesAt);
    const step = this.#submitted.then(() => {
      const metrics = this.#submitStep(batches, scalars, ratesAt);
      // awaited below; a page that fails first must not leave it unhandled
      metrics.catch(() => undefined);
      return { metrics, paged: pager.run() };
    });
    this.#submitted = step.then(({ paged }) => paged);
    this.#submitted.catch(() => undefined);
    return step.then(async ({ metrics, paged }) => {
      await paged;
      await pager.settled();
      return metrics;
    });
  }

  /** Submits micro-batches and the update of the state that stays on the GPU. */
  #submitStep(batches: readonly Batch[], scalars: Omit<StepScalars, 'micro'>, ratesAt: RatesAt): Promise<StepMetrics> {
    const { rowLoss, metrics } = this.inputs;
    const into = this.machine.nextStaging();
    this.#scaler?.begin(ratesAt);
    let at = METRICS_BYTES;
    batches.forEach((batch, micro) => {
      this.#writeBatch(batch);
      this.#writeScalars({ ...scalars, micro });
      const bytes = F32_BYTES * batch.B * batch.S;
      const name = planName('micro', batch);
      this.microSteps.set(name, (this.microSteps.get(name) ?? 0) + 1);
      this.#scaled(name).read(rowLoss, { bytes, into, to: at }).submit();
      at += bytes;
    });
    const submission = this.#scaled(UPDATE_PLAN).read(metrics, { bytes: FLAGS_AT, into, to: 0 });
    this.#takeFlags(submission, into, FLAGS_AT);
    this.#scaler?.read(submission, into, SCALE_AT);
    submission.submit();
    return into.finish(this.machine.device, at).then((buffer) => this.#metricsOf(buffer, scalars));
  }

  #metricsOf(buffer: ArrayBuffer, { inv_tokens, step }: Omit<StepScalars, 'micro'>): StepMetrics {
    const values = new Float32Array(buffer);
    let loss = 0;
    for (let i = METRICS_BYTES / F32_BYTES; i < values.length; i++) loss += values[i] as number;
    const finite = values[METRIC.notFinite] === 0;
    return {
      loss: loss * inv_tokens,
      gradNorm: values[METRIC.norm] as number,
      finite,
      flags: new Uint32Array(buffer, FLAGS_AT, 1)[0] as number,
      ...(this.#scaler?.finish(buffer, SCALE_AT, finite) ?? { lossScale: null, updates: step }),
    };
  }

  /** Cross-entropy in nats of every position of a batch, (B, S) row-major; 0 where a position has no target. */
  async rowLosses(batch: Batch): Promise<Float32Array> {
    const into = this.machine.nextStaging();
    this.#writeBatch(batch);
    const bytes = F32_BYTES * batch.B * batch.S;
    const name = planName('eval', batch);
    const submission = this.machine.submission(name).run(name).read(this.inputs.rowLoss, { bytes, into, to: 0 });
    this.#takeFlags(submission, into, bytes);
    submission.submit();
    const buffer = await into.finish(this.machine.device, bytes + F32_BYTES);
    this.#evalFlags |= new Uint32Array(buffer, bytes, 1)[0] as number;
    return new Float32Array(buffer, 0, bytes / F32_BYTES);
  }

  /** Logits (V) of what follows a text of at most `sampleTokens` tokens. No step may be unread. */
  async nextLogits(ids: readonly number[]): Promise<Float32Array> {
    const { sampleTokens } = this.settings;
    const { sample } = this.inputs;
    if (sample === null || sampleTokens === null || ids.length > sampleTokens)
      throw new KernelCallError(SAMPLE_PLAN, `${ids.length} tokens, of ${sampleTokens ?? 'none'} that were planned`);
    const padded = new Uint32Array(sampleTokens);
    padded.set(ids);
    this.machine.write(this.inputs.ids, padded);
    this.machine.write(sample.pick, Uint32Array.of(ids.length - 1));
    const into = this.machine.nextStaging();
    const bytes = sample.logits.bytes;
    const submission = this.machine
      .submission(SAMPLE_PLAN)
      .run(SAMPLE_PLAN)
      .read(sample.logits, { bytes, into, to: 0 });
    this.#takeFlags(submission, into, bytes);
    submission.submit();
    const buffer = await into.finish(this.machine.device, bytes + F32_BYTES);
    this.#evalFlags |= new Uint32Array(buffer, bytes, 1)[0] as number;
    return new Float32Array(buffer, 0, bytes / F32_BYTES);
  }

  /** Returns the flags (src/kernels/flags.ts) that `rowLosses` and `nextLogits` raised since the last call, and lowers them. */
  takeEvalFlags(): number {
    const flags = this.#evalFlags;
    this.#evalFlags = 0;
    return flags;
  }

  /** Reads back an f32 tensor, such as an adapter's or a trained weight. */
  async readTensor(tensor: Tensor): Promise<Float32Array<ArrayBuffer>> {
    return new Float32Array(await this.machine.read(tensor));
  }

  writeTensor(tensor: Tensor, values: Float32Array<ArrayBuffer>): void {
    this.machine.write(tensor, values);
  }

  /**
   * Runs every program once and yields as `Machine.warmUp` does. No parameter changes, since the learning rate is 0 and
   * there are no loss tokens; the moments are cleared again.
   */
  async *warmUp(): AsyncGenerator<string, void> {
    this.#writeScalars({ lr: 0, bias1: 1, sqrt_bias2: 1, inv_tokens: 0, loss_scale: 1, step: 0, micro: 0, seed: 0 });
    yield* this.machine.warmUp(this.warmUpNames, (name) => {
      this.#writeDocuments(this.#shapeOf(name));
      this.state.pager?.blank();
    });
    this.clearOptimizer();
  }

  /** Names of the programs that `warmUp` runs. */
  get warmUpNames(): string[] {
    return this.machine.plans.map(({ name }) => name).filter((name) => name !== MAGNITUDES_PLAN);
  }

  /** Sets the magnitudes of a DoRA adapter to the row norms of the weights with the adapter as it is now. */
  initializeMagnitudes(): void {
    this.machine.submission(MAGNITUDES_PLAN).run(MAGNITUDES_PLAN).submit();
  }

  /** The loss scale after the last step; null where gradients are not scaled. No step may be unread. */
  async scalerState(): Promise<ScalerState | null> {
    return (await this.#scaler?.state()) ?? null;
  }

  /** Goes on with a loss scale. @throws KernelCallError where gradients are scaled and there is none, or the other way round */
  restoreScaler(state: ScalerState | null): void {
    if ((state === null) !== (this.#scaler === null)) throw new KernelCallError('loss scale', 'of another run');
    if (state !== null) this.#scaler?.reset(state);
  }

  /** Zero gradients and moments: the state before the first step. */
  clearOptimizer(): void {
    this.#scaler?.reset();
    const submission = this.machine.submission('clear');
    for (const { grad } of this.declared.trainable.segments) submission.clear(grad);
    submission.clear(this.machine.flags).submit();
    this.state.clear();
  }

  /**
   * Measures the GPU time of every dispatch of one micro-batch and one update. It trains, so call it after a run.
   * @throws DeviceError
   */
  async profileStep(batch: Batch): Promise<Span[]> {
    this.#writeBatch(batch);
    const pages = (this.state.pager?.pages ?? []).map(({ index }) => pagePlan(index));
    this.state.pager?.blank();
    return this.machine.profileRun([planName('micro', batch), UPDATE_PLAN, ...pages]);
  }

  /** Submits a phase of a step; with a loss scale, under the scalars that the GPU chose. */
  #scaled(name: string): Submission {
    const submission = this.machine.submission(name);
    this.#scaler?.lay(submission);
    return submission.run(name);
  }

  /** Copies the flags to byte `to` of a staging buffer and lowers them. */
  #takeFlags(submission: Submission, into: Readback, to: number): void {
    submission.read(this.machine.flags, { bytes: F32_BYTES, into, to }).clear(this.machine.flags);
  }

  #writeBatch(batch: Batch): void {
    this.machine.write(this.inputs.ids, batch.inputIds as Uint32Array<ArrayBuffer>);
    this.machine.write(this.inputs.labels, batch.labels as Int32Array<ArrayBuffer>);
    this.#writeDocuments(batch, batch.documents);
  }

  #writeDocuments(shape: BatchShape | undefined, documents?: PackedDocuments | null): void {
    const { documents: inputs } = this.inputs;
    if (inputs === null || shape === undefined) return;
    const given = documents ?? wholeRows(shape);
    for (const key of ['positions', 'starts', 'ends'] as const)
      this.machine.write(inputs[key], given[key] as Uint32Array<ArrayBuffer>);
  }

  /** Batch shape of a plan; undefined where it reads no batch. */
  #shapeOf(name: string): BatchShape | undefined {
    const { trainShapes, evalShapes } = this.settings;
    const named = (phase: 'micro' | 'eval') => (shape: BatchShape) => planName(phase, shape) === name;
    return trainShapes.find(named('micro')) ?? evalShapes.find(named('eval'));
  }

  #writeScalars(scalars: StepScalars): void {
    packStepScalars(scalars, this.#scalars);
    this.machine.write(this.inputs.step, new Uint8Array(this.#scalars));
  }

  destroy(): void {
    this.machine.destroy();
  }
}
