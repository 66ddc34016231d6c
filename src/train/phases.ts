/**
 * Records the phases of training: forward and backward of a micro-batch, the update, evaluation, DoRA's first
 * magnitudes.
 */
import { liveCommands } from '../gpu/live.ts';
import type { Machine, Recorded } from '../gpu/machine.ts';
import type { Recorder } from '../gpu/recorder.ts';
import { gradNorm, gradNormWorkspace } from '../kernels/grad-norm.ts';
import { type LossScaling, lossScale } from '../kernels/loss-scale.ts';
import type { DeclaredModel } from '../model/declare.ts';
import { decoderLogits, decoderLoss } from '../model/decoder.ts';
import type { Segment } from '../model/flat.ts';
import type { Checkpointing } from '../model/ops/context.ts';
import { HEAD_SCRATCH_BYTES } from '../model/ops/cross-entropy.ts';
import { rowNorms } from '../model/ops/dora.ts';
import type { ComputeDtype } from '../model/weight.ts';
import { documentContext } from './document-inputs.ts';
import type { HeldState } from './held-state.ts';
import type { Inputs } from './inputs.ts';
import { pagePlan } from './pager.ts';
import type { BatchShape } from './shapes.ts';
import type { HeldSpan } from './state-layout.ts';
import { updateSpan } from './update.ts';
import type { UpdateRule } from './update-rule.ts';

export type EngineSettings = {
  readonly computeDtype: ComputeDtype;
  readonly optimizer: UpdateRule;
  /** Norm that gradients are clipped to; 0 leaves them as they are. */
  readonly maxGradNorm: number;
  /** Null where gradients are not scaled. */
  readonly lossScaling: LossScaling | null;
  readonly gradientAccumulationSteps: number;
  readonly checkpointing: Checkpointing;
  readonly keptInputs: ComputeDtype;
  /** Strength of NEFTune's noise on embeddings; null has none. */
  readonly neftuneAlpha: number | null;
  /** Whether training and evaluation batches say where documents begin and end within a row. */
  readonly documents: { readonly train: boolean; readonly evaluation: boolean };
  readonly trainShapes: readonly BatchShape[];
  readonly evalShapes: readonly BatchShape[];
  /** Tokens of the phase that eval_generate runs; null without it. */
  readonly sampleTokens: number | null;
};

export const UPDATE_PLAN = 'update';
/** Gives what follows a token of a row, for eval_generate. */
export const SAMPLE_PLAN = 'sample';
/** Runs once, before a fresh DoRA adapter is trained. */
export const MAGNITUDES_PLAN = 'magnitudes';
/** Name of the plan that runs a phase on batches of a shape. */
export const planName = (phase: 'micro' | 'eval', { B, S }: BatchShape): string => `${phase}(${B},${S})`;

type Parts = {
  readonly machine: Machine;
  readonly declared: DeclaredModel;
  readonly state: HeldState;
  readonly inputs: Inputs;
  readonly settings: EngineSettings;
};

/** Records every phase once for each shape it runs on; the update only where something is trained. */
export function recordPhases(parts: Parts): Recorded[] {
  const { trainShapes, evalShapes } = parts.settings;
  const micro = distinct(trainShapes).map((shape) => recordLoss(parts, 'micro', shape));
  const evaluation = distinct(evalShapes).map((shape) => recordLoss(parts, 'eval', shape));
  const update = trainShapes.length > 0 ? [recordUpdate(parts), ...recordPages(parts)] : [];
  return [...micro, ...update, ...evaluation, ...recordMagnitudes(parts), ...recordSample(parts)];
}

function recordLoss(
  { machine, declared, inputs, settings }: Parts,
  phase: 'micro' | 'eval',
  shape: BatchShape,
): Recorded {
  const { model, trainable } = declared;
  const { ids, labels, rowLoss, documents, step } = inputs;
  const tape = machine.tape({ step });
  const backward = phase === 'micro';
  if (backward) for (const { param, grad } of trainable.tensors.values()) tape.bindGrad(param, grad);
  const T = shape.B * shape.S;
  const packed = settings.documents[backward ? 'train' : 'evaluation'];
  const ctx = {
    tape,
    computeDtype: settings.computeDtype,
    ...shape,
    ...(packed && documents !== null ? documentContext(documents, T) : {}),
    phase: backward ? 'train' : 'eval',
    checkpointing: settings.checkpointing,
    keptInputs: settings.keptInputs,
    ...(settings.neftuneAlpha !== null && { neftuneAlpha: settings.neftuneAlpha }),
  } as const;
  decoderLoss(ctx, model, ids.slice(0, T), { labels: labels.slice(0, T), rowLoss: rowLoss.slice(0, T) }, backward);
  return { name: planName(phase, shape), commands: liveCommands(tape.commands, machine.flags.storage) };
}

/** Records the logits that follow one token of a row, as generation records a prompt: without dropout, every activation in f32. */
function recordSample({ machine, declared, inputs, settings }: Parts): Recorded[] {
  const { sampleTokens: S, computeDtype } = settings;
  const { sample, ids, step } = inputs;
  if (S === null || sample === null) return [];
  const tape = machine.tape({ step });
  const ctx = { tape, computeDtype, B: 1, S, phase: 'prefill' } as const;
  decoderLogits(ctx, declared.model, ids.slice(0, S), { picks: sample.pick, rows: 1 }, sample.logits);
  return [{ name: SAMPLE_PLAN, commands: liveCommands(tape.commands, machine.flags.storage) }];
}

/** Records DoRA's first magnitudes: the row norms of each adapted weight with its adapter. */
function recordMagnitudes({ machine, declared: { dora }, settings, inputs: { step } }: Parts): Recorded[] {
  if (dora.length === 0) return [];
  const tape = machine.tape({ step });
  const ctx = { tape, computeDtype: settings.computeDtype, B: 1, S: 1, phase: 'eval' } as const;
  for (const { weight, lora } of dora) {
    rowNorms(ctx, weight, lora, { norm: lora.magnitude, scratchBudget: HEAD_SCRATCH_BYTES });
  }
  return [{ name: MAGNITUDES_PLAN, commands: tape.commands }];
}

/** Records norm, clipping and loss scale, and the update of all state that stays on the GPU. */
function recordUpdate(parts: Parts): Recorded {
  const { machine, declared, inputs, settings, state } = parts;
  const { maxGradNorm, lossScaling } = settings;
  const { metrics, scaling, step } = inputs;
  const rec = machine.recorder({ step });
  const gradients = declared.trainable.segments.map((s) => s.grad);
  const [first, second] = gradNormWorkspace(gradients.map((g) => g.elements));
  const workspace = (label: string, n: number) => rec.tensor(label, [n], { category: 'workspace' });
  gradNorm(rec, {
    gradients,
    maxNorm: maxGradNorm,
    workspace: [workspace('norm[0]', first), workspace('norm[1]', second)],
    metrics,
  });
  if (lossScaling !== null && scaling !== null) lossScale(rec, { ...lossScaling, ...scaling, metrics });
  recordSpans(rec, parts, state.resident);
  return { name: UPDATE_PLAN, commands: rec.commands };
}

/** Records the update of each page of state, to be run after the others and under the same scalars. */
function recordPages(parts: Parts): Recorded[] {
  const { machine, inputs, state } = parts;
  return (state.pager?.pages ?? []).map(({ index, spans }) => {
    const rec = machine.recorder({ step: inputs.step });
    recordSpans(rec, parts, spans);
    return { name: pagePlan(index), commands: rec.commands };
  });
}

function recordSpans(rec: Recorder, { declared, inputs, settings, state }: Parts, spans: readonly HeldSpan[]): void {
  for (const span of spans) {
    const segment = declared.trainable.segments[span.segment] as Segment;
    updateSpan(rec, { rule: settings.optimizer, segment, span, metrics: inputs.metrics, codes: state.codes });
  }
}

function distinct(shapes: readonly BatchShape[]): BatchShape[] {
  return [...new Map(shapes.map((s) => [`${s.B},${s.S}`, s])).values()];
}
