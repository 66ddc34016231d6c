/**
 * A declared model made ready to train: inputs, plans for every batch shape, the arena they share. Built the same way with a
 * device and, for an estimate, without one.
 */
import type { Allocation, Allocator } from '../gpu/allocator.ts';
import { Arena } from '../gpu/arena.ts';
import type { Device } from '../gpu/device.ts';
import type { DeviceProfile } from '../gpu/device-profile.ts';
import type { ShaderLibrary } from '../gpu/kernel.ts';
import { makePlan, type Plan } from '../gpu/plan.ts';
import { profileProgram, type Span } from '../gpu/profiler.ts';
import { type PreparedPlan, Program, preparePlan } from '../gpu/program.ts';
import type { Residents } from '../gpu/residents.ts';
import { packStepScalars, STEP_BYTES, type StepScalars } from '../gpu/step-scalars.ts';
import { Tape } from '../gpu/tape.ts';
import type { Tensor } from '../gpu/tensor.ts';
import { Readback, upload } from '../gpu/transfer.ts';
import { type AdamwSettings, adamw } from '../kernels/adamw.ts';
import { gradNorm, gradNormWorkspace, METRIC, METRIC_COUNT } from '../kernels/grad-norm.ts';
import type { DeclaredModel } from '../model/declare.ts';
import { llamaLoss } from '../model/llama.ts';
import type { ComputeDtype } from '../model/weight.ts';

/** Sequences and tokens of each. Every distinct shape is a plan of its own. */
export type BatchShape = { readonly B: number; readonly S: number };
/** A batch as the GPU reads it: (B, S) row-major, labels already shifted, -100 for none. */
export type Batch = BatchShape & { readonly inputIds: Uint32Array; readonly labels: Int32Array };

export type EngineSettings = {
  readonly computeDtype: ComputeDtype;
  readonly optimizer: AdamwSettings;
  /** 0: no clipping. */
  readonly maxGradNorm: number;
  readonly gradientAccumulationSteps: number;
  readonly trainShapes: readonly BatchShape[];
  readonly evalShapes: readonly BatchShape[];
};

export type EngineParts = {
  readonly allocator: Allocator;
  readonly residents: Residents;
  readonly profile: DeviceProfile;
  readonly shaders: ShaderLibrary;
  readonly declared: DeclaredModel;
};

/** Gradient norm before clipping; `finite` false means that the update was skipped. */
export type StepMetrics = { readonly loss: number; readonly gradNorm: number; readonly finite: boolean };

const F32_BYTES = 4;
/** Weights are read back in pieces of the staging buffer; smaller ones would make many round trips. */
const MIN_STAGING_BYTES = 256 * 1024;
const METRICS_BYTES = F32_BYTES * (METRIC_COUNT + 1);
/** Steps in flight: the loss of one is read while the next one runs. */
const STAGING_BUFFERS = 2;

export const UPDATE_PLAN = 'update';
export const planName = (phase: 'micro' | 'eval', { B, S }: BatchShape): string => `${phase}(${B},${S})`;

type Inputs = {
  readonly ids: Tensor;
  readonly labels: Tensor;
  readonly rowLoss: Tensor;
  readonly metrics: Tensor;
  readonly step: Tensor;
};

/** Everything allocated, nothing run: what an estimate ends with. */
export class EngineMemory {
  readonly parts: EngineParts;
  readonly settings: EngineSettings;
  readonly inputs: Inputs;
  readonly staging: readonly Readback[];
  readonly prepared = new Map<string, PreparedPlan>();
  readonly arena: Arena;

  constructor(parts: EngineParts, settings: EngineSettings) {
    this.parts = parts;
    this.settings = settings;
    const shapes = [...settings.trainShapes, ...settings.evalShapes];
    const rows = Math.max(...shapes.map(({ B, S }) => B * S));
    this.inputs = allocateInputs(parts.residents, rows);
    const lossBytes = F32_BYTES * rows * settings.gradientAccumulationSteps;
    const stagingBytes = Math.max(MIN_STAGING_BYTES, METRICS_BYTES + lossBytes);
    this.staging = Array.from(
      { length: STAGING_BUFFERS },
      (_, i) => new Readback(parts.allocator, `readback[${i}]`, stagingBytes),
    );
    const plans = this.#recordAll();
    this.arena = new Arena(parts.allocator, plans);
    for (const plan of plans) this.prepared.set(plan.name, preparePlan(plan, parts.allocator));
  }

  #recordAll(): Plan[] {
    const { trainShapes, evalShapes } = this.settings;
    const micro = distinct(trainShapes).map((shape) => this.#recordLoss('micro', shape));
    const evaluation = distinct(evalShapes).map((shape) => this.#recordLoss('eval', shape));
    return [...micro, ...(trainShapes.length > 0 ? [this.#recordUpdate()] : []), ...evaluation];
  }

  #tape(): Tape {
    const { profile, shaders } = this.parts;
    return new Tape({ profile, shaders, step: this.inputs.step });
  }

  #recordLoss(phase: 'micro' | 'eval', shape: BatchShape): Plan {
    const tape = this.#tape();
    const { model, trainable } = this.parts.declared;
    const backward = phase === 'micro';
    if (backward) for (const { param, grad } of trainable.tensors.values()) tape.bindGrad(param, grad);
    const ctx = {
      tape,
      computeDtype: this.settings.computeDtype,
      ...shape,
      dropout: backward ? 'train' : 'eval',
    } as const;
    const T = shape.B * shape.S;
    const { ids, labels, rowLoss } = this.inputs;
    llamaLoss(ctx, model, ids.slice(0, T), { labels: labels.slice(0, T), rowLoss: rowLoss.slice(0, T) }, backward);
    return makePlan(planName(phase, shape), tape.commands);
  }

  #recordUpdate(): Plan {
    const tape = this.#tape();
    const { segments } = this.parts.declared.trainable;
    const { optimizer, maxGradNorm } = this.settings;
    const { metrics } = this.inputs;
    const gradients = segments.map((s) => s.grad);
    const [first, second] = gradNormWorkspace(gradients.map((g) => g.elements));
    const workspace = (label: string, n: number) => tape.tensor(label, [n], { category: 'workspace' });
    gradNorm(tape, {
      gradients,
      maxNorm: maxGradNorm,
      workspace: [workspace('norm[0]', first), workspace('norm[1]', second)],
      metrics,
    });
    for (const { param, grad, m, v, decay } of segments) {
      adamw(tape, { ...optimizer, weightDecay: decay ? optimizer.weightDecay : 0, p: param, g: grad, m, v, metrics });
    }
    return makePlan(UPDATE_PLAN, tape.commands);
  }
}

function distinct(shapes: readonly BatchShape[]): BatchShape[] {
  return [...new Map(shapes.map((s) => [`${s.B},${s.S}`, s])).values()];
}

function allocateInputs(residents: Residents, rows: number): Inputs {
  const make = (label: string, n: number, dtype: 'u32' | 'i32' | 'f32') =>
    residents.tensor({ label, shape: [n], dtype, category: 'staging' });
  return {
    ids: make('input_ids', rows, 'u32'),
    labels: make('labels', rows, 'i32'),
    rowLoss: make('row_loss', rows, 'f32'),
    metrics: make('metrics', METRICS_BYTES / F32_BYTES, 'f32'),
    step: residents.tensor({
      label: 'step',
      shape: [STEP_BYTES / F32_BYTES],
      dtype: 'u32',
      category: 'staging',
      usage: 'uniform',
    }),
  };
}

/** The running half: programs over the memory, fed with batches. */
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
    const staging = this.memory.staging[this.#turn++ % STAGING_BUFFERS] as Readback;
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
      { from: this.#at(inputs.metrics), bytes: METRICS_BYTES, to: 0 },
    ]);
    return staging.finish(this.device, at).then((buffer) => {
      const values = new Float32Array(buffer);
      let loss = 0;
      for (let i = METRICS_BYTES / F32_BYTES; i < values.length; i++) loss += values[i] as number;
      return {
        loss: loss * scalars.inv_tokens,
        gradNorm: values[METRIC.norm] as number,
        finite: values[METRIC.notFinite] === 0,
      };
    });
  }

  /** Cross-entropy of every position of a batch, 0 where it has no target. */
  async rowLosses(batch: Batch): Promise<Float32Array> {
    const staging = this.memory.staging[this.#turn++ % STAGING_BUFFERS] as Readback;
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
      for (const program of this.#programs.values()) program.run();
      await this.device.gpu.queue.onSubmittedWorkDone();
    });
    this.clearOptimizer();
  }

  /** Zero gradients and moments: the state before the first step. */
  clearOptimizer(): void {
    const encoder = this.device.gpu.createCommandEncoder({ label: 'clear' });
    for (const { grad, m, v } of this.memory.parts.declared.trainable.segments) {
      for (const tensor of [grad, m, v]) encoder.clearBuffer(this.#at(tensor).buffer as GPUBuffer);
    }
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

  #submit(
    program: Program,
    staging: Readback,
    copies: readonly { from: Allocation; bytes: number; to: number }[],
  ): void {
    const encoder = this.device.gpu.createCommandEncoder({ label: program.name });
    program.encode(encoder);
    for (const { from, bytes, to } of copies) staging.record(encoder, from, bytes, to);
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
