/** Runs a prepared model: batches in, losses and norms out. */
import type { PackedDocuments } from '../data/documents.ts';
import type { Allocation } from '../gpu/allocator.ts';
import type { Device } from '../gpu/device.ts';
import { profileProgram, type Span } from '../gpu/profiler.ts';
import { compilePipelines, Program } from '../gpu/program.ts';
import type { Tensor } from '../gpu/tensor.ts';
import { type Readback, upload } from '../gpu/transfer.ts';
import { METRIC } from '../kernels/grad-norm.ts';
import { wholeRows } from './document-inputs.ts';
import {
  type BatchShape,
  type EngineMemory,
  F32_BYTES,
  FLAGS_AT,
  MAGNITUDES_PLAN,
  METRICS_BYTES,
  planName,
  SCALE_AT,
  UPDATE_PLAN,
} from './engine-memory.ts';
import { LossScaler, type RatesAt } from './loss-scaler.ts';
import { packStepScalars, STEP_BYTES, type StepScalars } from './step-scalars.ts';

/** A batch as the GPU reads it: (B, S) row-major, labels already shifted, -100 for none. */
export type Batch = BatchShape & {
  readonly inputIds: Uint32Array;
  readonly labels: Int32Array;
  /** Read by plans for packed rows; to those, a batch without is one of rows that are one document each. */
  readonly documents?: PackedDocuments | null;
};

/** What a step was found to be once it had run. */
export type StepMetrics = {
  readonly loss: number;
  /** Before clipping, without the loss scale. */
  readonly gradNorm: number;
  /** False: the update was skipped. */
  readonly finite: boolean;
  /** As in src/kernels/flags.ts. */
  readonly flags: number;
  /** What the loss of this step was multiplied with; null where gradients are not scaled. */
  readonly lossScale: number | null;
  /** Updates before this one, by which its learning rate goes; with a loss scale, skipped ones do not count. */
  readonly updates: number;
};

export class Engine {
  readonly device: Device;
  readonly memory: EngineMemory;
  readonly #programs: ReadonlyMap<string, Program>;
  readonly #scalars = new ArrayBuffer(STEP_BYTES);
  readonly #scaler: LossScaler | null;
  #turn = 0;
  #evalFlags = 0;

  private constructor(device: Device, memory: EngineMemory, programs: ReadonlyMap<string, Program>) {
    this.device = device;
    this.memory = memory;
    this.#programs = programs;
    this.#scaler = this.#makeScaler();
  }

  #makeScaler(): LossScaler | null {
    const { inputs, settings } = this.memory;
    if (inputs.scaling === null || settings.lossScaling === null) return null;
    const { scaler, rates } = inputs.scaling;
    const buffers = { scaler: this.#at(scaler), rates: this.#at(rates), step: this.#at(inputs.step) };
    return new LossScaler(this.device, buffers, settings.lossScaling.initScale);
  }

  /** Compiles every pipeline and builds every bind group; reads no weight, so that they may be on their way. @throws DeviceError */
  static async compile(device: Device, memory: EngineMemory): Promise<Engine> {
    const place = { residents: memory.parts.residents, arena: memory.arena };
    await compilePipelines(device, [...memory.prepared.values()]);
    const programs = new Map<string, Program>();
    for (const [name, prepared] of memory.prepared) programs.set(name, await Program.compile(device, prepared, place));
    return new Engine(device, memory, programs);
  }

  /**
   * One optimizer step over its micro-batches. Returns as soon as it is submitted; the promise gives the loss (the sum over
   * the step's loss tokens divided by their number), when the GPU is done. At most two steps may be unread.
   * @param ratesAt with a loss scale, what takes the place of the learning rate and bias corrections in `scalars`, by the
   *   number of updates applied before
   */
  trainStep(
    batches: readonly Batch[],
    scalars: Omit<StepScalars, 'micro'>,
    ratesAt: RatesAt = () => scalars,
  ): Promise<StepMetrics> {
    const { inputs } = this.memory;
    const staging = this.memory.staging[this.#turn++ % this.memory.staging.length] as Readback;
    this.#scaler?.begin(ratesAt);
    let at = METRICS_BYTES;
    batches.forEach((batch, micro) => {
      this.#writeBatch(batch);
      this.#writeScalars({ ...scalars, micro });
      const bytes = F32_BYTES * batch.B * batch.S;
      const encoder = this.#encode(this.#program(planName('micro', batch)), this.#scaler);
      staging.record(encoder, this.#at(inputs.rowLoss), bytes, at);
      this.#submit(encoder);
      at += bytes;
    });
    const encoder = this.#encode(this.#program(UPDATE_PLAN), this.#scaler);
    staging.record(encoder, this.#at(inputs.metrics), FLAGS_AT, 0);
    this.#takeFlags(encoder, staging, FLAGS_AT);
    this.#scaler?.record(encoder, staging.staging, SCALE_AT);
    this.#submit(encoder);
    return staging.finish(this.device, at).then((buffer) => this.#metricsOf(buffer, scalars));
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
      ...(this.#scaler?.read(buffer, SCALE_AT, finite) ?? { lossScale: null, updates: step }),
    };
  }

  /** Cross-entropy of every position of a batch, 0 where it has no target. */
  async rowLosses(batch: Batch): Promise<Float32Array> {
    const staging = this.memory.staging[this.#turn++ % this.memory.staging.length] as Readback;
    this.#writeBatch(batch);
    const bytes = F32_BYTES * batch.B * batch.S;
    const encoder = this.#encode(this.#program(planName('eval', batch)));
    staging.record(encoder, this.#at(this.memory.inputs.rowLoss), bytes, 0);
    this.#takeFlags(encoder, staging, bytes);
    this.#submit(encoder);
    const buffer = await staging.finish(this.device, bytes + F32_BYTES);
    this.#evalFlags |= new Uint32Array(buffer, bytes, 1)[0] as number;
    return new Float32Array(buffer, 0, bytes / F32_BYTES);
  }

  /** What kernels raised in `rowLosses` since this was last asked: src/kernels/flags.ts. */
  takeEvalFlags(): number {
    const flags = this.#evalFlags;
    this.#evalFlags = 0;
    return flags;
  }

  /** Reads an f32 tensor (an adapter, a trained weight) back. */
  async readTensor(tensor: Tensor): Promise<Float32Array<ArrayBuffer>> {
    const staging = this.memory.staging[0] as Readback;
    const bytes = await staging.read(this.device, this.#at(tensor), tensor.byteOffset, tensor.bytes);
    return new Float32Array(bytes.buffer);
  }

  writeTensor(tensor: Tensor, values: Float32Array<ArrayBuffer>): void {
    upload(this.device, this.#at(tensor), tensor.byteOffset, values);
  }

  /**
   * Runs every program once, inside error scopes, so that drivers which compile at the first dispatch have done so. With a
   * learning rate of 0 and no loss tokens no parameter changes; the moments are cleared again. Yields the name of each once
   * it is done: on a software driver that can take a minute.
   */
  async *warmUp(): AsyncGenerator<string, void> {
    this.#writeScalars({ lr: 0, bias1: 1, sqrt_bias2: 1, inv_tokens: 0, loss_scale: 1, step: 0, micro: 0, seed: 0 });
    for (const name of this.warmUpNames) {
      this.#writeDocuments(this.#shapeOf(name));
      await this.device.guarded(`warm-up of ${name}`, async () => {
        this.#program(name).run();
        await this.device.gpu.queue.onSubmittedWorkDone();
      });
      yield name;
    }
    this.clearOptimizer();
  }

  /** The programs that warming up runs. */
  get warmUpNames(): string[] {
    return [...this.#programs.keys()].filter((name) => name !== MAGNITUDES_PLAN);
  }

  /** Sets the magnitudes of a DoRA adapter to the row norms of the weights with the adapter as it is now. */
  initializeMagnitudes(): void {
    this.#program(MAGNITUDES_PLAN).run();
  }

  /** Zero gradients and moments: the state before the first step. */
  clearOptimizer(): void {
    this.#scaler?.reset();
    const encoder = this.device.gpu.createCommandEncoder({ label: 'clear' });
    for (const { grad, m, v } of this.memory.parts.declared.trainable.segments) {
      for (const tensor of [grad, m, v]) encoder.clearBuffer(this.#at(tensor).buffer as GPUBuffer);
    }
    encoder.clearBuffer(this.#at(this.memory.inputs.flags).buffer as GPUBuffer);
    this.device.gpu.queue.submit([encoder.finish()]);
  }

  /** GPU time of every dispatch of one micro-batch and one update. Trains on it: for after a run. @throws DeviceError */
  async profileStep(batch: Batch): Promise<Span[]> {
    const { allocator } = this.memory.parts;
    this.#writeBatch(batch);
    const programs = [this.#program(planName('micro', batch)), this.#program(UPDATE_PLAN)];
    const spans: Span[] = [];
    for (const program of programs) spans.push(...(await profileProgram(this.device, allocator, program)));
    return spans;
  }

  /** Every program, for those who measure what a replay costs. */
  programs(): Iterable<Program> {
    return this.#programs.values();
  }

  #encode(program: Program, scaler: LossScaler | null = null): GPUCommandEncoder {
    const encoder = this.device.gpu.createCommandEncoder({ label: program.name });
    scaler?.encode(encoder);
    program.encode(encoder);
    return encoder;
  }

  /** Copies the flags to byte `to` of a staging buffer and lowers them. */
  #takeFlags(encoder: GPUCommandEncoder, staging: Readback, to: number): void {
    const flags = this.#at(this.memory.inputs.flags);
    staging.record(encoder, flags, F32_BYTES, to);
    encoder.clearBuffer(flags.buffer as GPUBuffer);
  }

  #submit(encoder: GPUCommandEncoder): void {
    this.device.gpu.queue.submit([encoder.finish()]);
  }

  #program(name: string): Program {
    const program = this.#programs.get(name);
    if (program === undefined)
      throw new Error(`engine: no plan ${name} among ${[...this.#programs.keys()].join(', ')}`);
    return program;
  }

  #writeBatch(batch: Batch): void {
    upload(this.device, this.#at(this.memory.inputs.ids), 0, batch.inputIds as Uint32Array<ArrayBuffer>);
    upload(this.device, this.#at(this.memory.inputs.labels), 0, batch.labels as Int32Array<ArrayBuffer>);
    this.#writeDocuments(batch, batch.documents);
  }

  #writeDocuments(shape: BatchShape | undefined, documents?: PackedDocuments | null): void {
    const { documents: inputs } = this.memory.inputs;
    if (inputs === null || shape === undefined) return;
    const given = documents ?? wholeRows(shape);
    for (const key of ['positions', 'starts', 'ends'] as const)
      upload(this.device, this.#at(inputs[key]), 0, given[key] as Uint32Array<ArrayBuffer>);
  }

  /** Of a plan that reads a batch. */
  #shapeOf(name: string): BatchShape | undefined {
    const { trainShapes, evalShapes } = this.memory.settings;
    const named = (phase: 'micro' | 'eval') => (shape: BatchShape) => planName(phase, shape) === name;
    return trainShapes.find(named('micro')) ?? evalShapes.find(named('eval'));
  }

  #writeScalars(scalars: StepScalars): void {
    packStepScalars(scalars, this.#scalars);
    upload(this.device, this.#at(this.memory.inputs.step), 0, new Uint8Array(this.#scalars));
  }

  #at(tensor: Tensor): Allocation {
    return this.memory.parts.residents.allocationOf(tensor.storage);
  }

  destroy(): void {
    this.memory.arena.destroy();
    this.memory.parts.residents.destroy();
    for (const { params } of this.memory.prepared.values()) this.memory.parts.allocator.free(params);
    for (const { staging } of this.memory.staging) this.memory.parts.allocator.free(staging);
  }
}
