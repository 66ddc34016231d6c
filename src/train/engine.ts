/** Runs a prepared model: batches in, losses and norms out. */
import type { Allocation } from '../gpu/allocator.ts';
import type { Device } from '../gpu/device.ts';
import { profileProgram, type Span } from '../gpu/profiler.ts';
import { Program } from '../gpu/program.ts';
import { packStepScalars, STEP_BYTES, type StepScalars } from '../gpu/step-scalars.ts';
import type { Tensor } from '../gpu/tensor.ts';
import { type Readback, upload } from '../gpu/transfer.ts';
import { METRIC } from '../kernels/grad-norm.ts';
import {
  type BatchShape,
  type EngineMemory,
  F32_BYTES,
  FLAGS_AT,
  MAGNITUDES_PLAN,
  METRICS_BYTES,
  planName,
  UPDATE_PLAN,
} from './engine-memory.ts';

/** A batch as the GPU reads it: (B, S) row-major, labels already shifted, -100 for none. */
export type Batch = BatchShape & { readonly inputIds: Uint32Array; readonly labels: Int32Array };

/** Gradient norm before clipping; `finite` false means that the update was skipped; `flags` as in src/kernels/flags.ts. */
export type StepMetrics = {
  readonly loss: number;
  readonly gradNorm: number;
  readonly finite: boolean;
  readonly flags: number;
};

export class Engine {
  readonly device: Device;
  readonly memory: EngineMemory;
  readonly #programs: ReadonlyMap<string, Program>;
  readonly #scalars = new ArrayBuffer(STEP_BYTES);
  #turn = 0;

  private constructor(device: Device, memory: EngineMemory, programs: ReadonlyMap<string, Program>) {
    this.device = device;
    this.memory = memory;
    this.#programs = programs;
  }

  /** Compiles every pipeline and builds every bind group. @throws DeviceError */
  static async compile(device: Device, memory: EngineMemory): Promise<Engine> {
    const place = { residents: memory.parts.residents, arena: memory.arena };
    const programs = new Map<string, Program>();
    for (const [name, prepared] of memory.prepared) programs.set(name, await Program.compile(device, prepared, place));
    return new Engine(device, memory, programs);
  }

  /**
   * One optimizer step over its micro-batches. Returns as soon as it is submitted; the promise gives the loss (the sum over
   * the step's loss tokens divided by their number), when the GPU is done.
   */
  trainStep(batches: readonly Batch[], scalars: Omit<StepScalars, 'micro'>): Promise<StepMetrics> {
    const { inputs } = this.memory;
    const staging = this.memory.staging[this.#turn++ % this.memory.staging.length] as Readback;
    let at = METRICS_BYTES;
    batches.forEach((batch, micro) => {
      this.#writeBatch(batch);
      this.#writeScalars({ ...scalars, micro });
      const bytes = F32_BYTES * batch.B * batch.S;
      this.#submit(this.#program(planName('micro', batch)), staging, [
        { from: this.#at(inputs.rowLoss), bytes, to: at },
      ]);
      at += bytes;
    });
    this.#submit(this.#program(UPDATE_PLAN), staging, [
      { from: this.#at(inputs.metrics), bytes: FLAGS_AT, to: 0 },
      { from: this.#at(inputs.flags), bytes: F32_BYTES, to: FLAGS_AT, clear: true },
    ]);
    return staging.finish(this.device, at).then((buffer) => {
      const values = new Float32Array(buffer);
      let loss = 0;
      for (let i = METRICS_BYTES / F32_BYTES; i < values.length; i++) loss += values[i] as number;
      return {
        loss: loss * scalars.inv_tokens,
        gradNorm: values[METRIC.norm] as number,
        finite: values[METRIC.notFinite] === 0,
        flags: new Uint32Array(buffer, FLAGS_AT, 1)[0] as number,
      };
    });
  }

  /** Cross-entropy of every position of a batch, 0 where it has no target. */
  async rowLosses(batch: Batch): Promise<Float32Array> {
    const staging = this.memory.staging[this.#turn++ % this.memory.staging.length] as Readback;
    this.#writeBatch(batch);
    const bytes = F32_BYTES * batch.B * batch.S;
    const from = this.#at(this.memory.inputs.rowLoss);
    this.#submit(this.#program(planName('eval', batch)), staging, [{ from, bytes, to: 0 }]);
    return new Float32Array(await staging.finish(this.device, bytes));
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
   * learning rate of 0 and no loss tokens no parameter changes; the moments are cleared again.
   */
  async warmUp(): Promise<void> {
    await this.device.guarded('warm-up', async () => {
      this.#writeScalars({ lr: 0, bias1: 1, sqrt_bias2: 1, inv_tokens: 0, loss_scale: 1, step: 0, micro: 0, seed: 0 });
      for (const [name, program] of this.#programs) if (name !== MAGNITUDES_PLAN) program.run();
      await this.device.gpu.queue.onSubmittedWorkDone();
    });
    this.clearOptimizer();
  }

  /** Sets the magnitudes of a DoRA adapter to the row norms of the weights with the adapter as it is now. */
  initializeMagnitudes(): void {
    this.#program(MAGNITUDES_PLAN).run();
  }

  /** Zero gradients and moments: the state before the first step. */
  clearOptimizer(): void {
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

  #submit(
    program: Program,
    staging: Readback,
    copies: readonly { from: Allocation; bytes: number; to: number; clear?: boolean }[],
  ): void {
    const encoder = this.device.gpu.createCommandEncoder({ label: program.name });
    program.encode(encoder);
    for (const { from, bytes, to, clear } of copies) {
      staging.record(encoder, from, bytes, to);
      if (clear === true) encoder.clearBuffer(from.buffer as GPUBuffer);
    }
    this.device.gpu.queue.submit([encoder.finish()]);
  }

  #program(name: string): Program {
    const program = this.#programs.get(name);
    if (program === undefined)
      throw new Error(`engine: no plan ${name} among ${[...this.#programs.keys()].join(', ')}`);
    return program;
  }

  #writeBatch({ inputIds, labels }: Batch): void {
    upload(this.device, this.#at(this.memory.inputs.ids), 0, inputIds as Uint32Array<ArrayBuffer>);
    upload(this.device, this.#at(this.memory.inputs.labels), 0, labels as Int32Array<ArrayBuffer>);
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
