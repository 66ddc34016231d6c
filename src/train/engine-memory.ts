/**
 * A declared model made ready to train: inputs, plans for every batch shape, the arena they share. Built the same way with a
 * device and, for an estimate, without one.
 */
import type { Allocator } from '../gpu/allocator.ts';
import { Arena } from '../gpu/arena.ts';
import type { DeviceProfile } from '../gpu/device-profile.ts';
import type { ShaderLibrary } from '../gpu/kernel.ts';
import { liveCommands } from '../gpu/live.ts';
import { makePlan, type Plan } from '../gpu/plan.ts';
import { type PreparedPlan, preparePlan } from '../gpu/program.ts';
import type { Residents } from '../gpu/residents.ts';
import { Tape } from '../gpu/tape.ts';
import type { Tensor } from '../gpu/tensor.ts';
import { Readback } from '../gpu/transfer.ts';
import { type AdamwSettings, adamw } from '../kernels/adamw.ts';
import { gradNorm, gradNormWorkspace, METRIC_COUNT } from '../kernels/grad-norm.ts';
import { type LossScaling, lossScale, RATE_ROWS, RATE_WORDS, SCALER_WORDS } from '../kernels/loss-scale.ts';
import type { DeclaredModel } from '../model/declare.ts';
import { decoderLoss } from '../model/decoder.ts';
import type { Checkpointing } from '../model/ops/context.ts';
import { HEAD_SCRATCH_BYTES } from '../model/ops/cross-entropy.ts';
import { rowNorms } from '../model/ops/dora.ts';
import type { ComputeDtype } from '../model/weight.ts';
import { allocateDocuments, type DocumentInputs, documentContext } from './document-inputs.ts';
import { USED_BYTES } from './loss-scaler.ts';
import { STEP_BYTES } from './step-scalars.ts';

/** Sequences and tokens of each. Every distinct shape is a plan of its own. */
export type BatchShape = { readonly B: number; readonly S: number };

export type EngineSettings = {
  readonly computeDtype: ComputeDtype;
  readonly optimizer: AdamwSettings;
  /** 0: no clipping. */
  readonly maxGradNorm: number;
  /** Null: gradients are not scaled. */
  readonly lossScaling: LossScaling | null;
  readonly gradientAccumulationSteps: number;
  readonly checkpointing: Checkpointing;
  /** Whether training and evaluation batches say where documents begin and end within a row. */
  readonly documents: { readonly train: boolean; readonly evaluation: boolean };
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

export const F32_BYTES = 4;
/** Weights are read back in pieces of the staging buffer; smaller ones would make many round trips. */
const MIN_STAGING_BYTES = 256 * 1024;
/** An update's metrics stand at the start of the staging buffer, then flags, loss scale, its micro-batches' row losses. */
export const FLAGS_AT = F32_BYTES * METRIC_COUNT;
export const SCALE_AT = FLAGS_AT + F32_BYTES;
export const METRICS_BYTES = SCALE_AT + USED_BYTES;
/** Steps in flight: the loss of one is read while the next one runs. */
const STAGING_BUFFERS = 2;

export const UPDATE_PLAN = 'update';
/** Runs once, before a fresh DoRA adapter is trained. */
export const MAGNITUDES_PLAN = 'magnitudes';
export const planName = (phase: 'micro' | 'eval', { B, S }: BatchShape): string => `${phase}(${B},${S})`;

type Inputs = {
  readonly ids: Tensor;
  readonly labels: Tensor;
  readonly rowLoss: Tensor;
  /** Null where no rows are packed. */
  readonly documents: DocumentInputs | null;
  readonly metrics: Tensor;
  /** What kernels raise: src/kernels/flags.ts. */
  readonly flags: Tensor;
  readonly step: Tensor;
  /** Of src/kernels/loss-scale.ts; null where gradients are not scaled. */
  readonly scaling: { readonly scaler: Tensor; readonly rates: Tensor } | null;
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
    this.inputs = allocateInputs(parts.residents, rows, settings);
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
    const update = trainShapes.length > 0 ? [this.#recordUpdate()] : [];
    return [...micro, ...update, ...evaluation, ...this.#recordMagnitudes()];
  }

  #tape(): Tape {
    const { profile, shaders } = this.parts;
    const { step, flags } = this.inputs;
    return new Tape({ profile, shaders, ambient: { step, flags } });
  }

  #recordLoss(phase: 'micro' | 'eval', shape: BatchShape): Plan {
    const tape = this.#tape();
    const { model, trainable } = this.parts.declared;
    const backward = phase === 'micro';
    if (backward) for (const { param, grad } of trainable.tensors.values()) tape.bindGrad(param, grad);
    const T = shape.B * shape.S;
    const { ids, labels, rowLoss, documents } = this.inputs;
    const packed = this.settings.documents[backward ? 'train' : 'evaluation'];
    const ctx = {
      tape,
      computeDtype: this.settings.computeDtype,
      ...shape,
      ...(packed && documents !== null ? documentContext(documents, T) : {}),
      dropout: backward ? 'train' : 'eval',
      checkpointing: this.settings.checkpointing,
    } as const;
    decoderLoss(ctx, model, ids.slice(0, T), { labels: labels.slice(0, T), rowLoss: rowLoss.slice(0, T) }, backward);
    return makePlan(planName(phase, shape), liveCommands(tape.commands, this.inputs.flags.storage));
  }

  /** What DoRA starts from: the row norms of each adapted weight with its adapter. */
  #recordMagnitudes(): Plan[] {
    const { dora } = this.parts.declared;
    if (dora.length === 0) return [];
    const tape = this.#tape();
    const ctx = { tape, computeDtype: this.settings.computeDtype, B: 1, S: 1, dropout: 'eval' } as const;
    for (const { weight, lora } of dora) {
      rowNorms(ctx, weight, lora, { norm: lora.magnitude, scratchBudget: HEAD_SCRATCH_BYTES });
    }
    return [makePlan(MAGNITUDES_PLAN, tape.commands)];
  }

  #recordUpdate(): Plan {
    const tape = this.#tape();
    const { segments } = this.parts.declared.trainable;
    const { optimizer, maxGradNorm, lossScaling } = this.settings;
    const { metrics, scaling } = this.inputs;
    const gradients = segments.map((s) => s.grad);
    const [first, second] = gradNormWorkspace(gradients.map((g) => g.elements));
    const workspace = (label: string, n: number) => tape.tensor(label, [n], { category: 'workspace' });
    gradNorm(tape, {
      gradients,
      maxNorm: maxGradNorm,
      workspace: [workspace('norm[0]', first), workspace('norm[1]', second)],
      metrics,
    });
    if (lossScaling !== null && scaling !== null) lossScale(tape, { ...lossScaling, ...scaling, metrics });
    for (const { param, grad, m, v, decay } of segments) {
      adamw(tape, { ...optimizer, weightDecay: decay ? optimizer.weightDecay : 0, p: param, g: grad, m, v, metrics });
    }
    return makePlan(UPDATE_PLAN, tape.commands);
  }
}

function distinct(shapes: readonly BatchShape[]): BatchShape[] {
  return [...new Map(shapes.map((s) => [`${s.B},${s.S}`, s])).values()];
}

function allocateInputs(residents: Residents, rows: number, { lossScaling, documents }: EngineSettings): Inputs {
  const make = (label: string, n: number, dtype: 'u32' | 'i32' | 'f32') =>
    residents.tensor({ label, shape: [n], dtype, category: 'staging' });
  return {
    ids: make('input_ids', rows, 'u32'),
    labels: make('labels', rows, 'i32'),
    rowLoss: make('row_loss', rows, 'f32'),
    documents: documents.train || documents.evaluation ? allocateDocuments(residents, rows) : null,
    metrics: make('metrics', METRIC_COUNT, 'f32'),
    flags: make('flags', 1, 'u32'),
    step: residents.tensor({
      label: 'step',
      shape: [STEP_BYTES / F32_BYTES],
      dtype: 'u32',
      category: 'staging',
      usage: 'uniform',
    }),
    scaling:
      lossScaling !== null
        ? { scaler: make('loss_scale', SCALER_WORDS, 'u32'), rates: make('rates', RATE_ROWS * RATE_WORDS, 'f32') }
        : null,
  };
}
