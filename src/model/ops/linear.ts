/** A linear layer y = x W^T (+ b) with an optional LoRA or DoRA adapter, forward and backward. */
import type { Tensor } from '../../gpu/tensor.ts';
import { biasBwd, biasFwd } from '../../kernels/bias.ts';
import { isTrainable, shardsOf, type TokenRows, type Weight } from '../weight.ts';
import { bankForward } from './banked.ts';
import { type OpContext, onceIfSelective, operandDtype } from './context.ts';
import { backproject, type GradRows, project, type Rows, weightGrad } from './dense.ts';
import { type DoraSaved, doraBackward, doraForward, isDora, rowNorms } from './dora.ts';
import {
  droppedInput,
  drops,
  type LoraPair,
  loraBackward,
  loraDown,
  loraInput,
  loraInputTerm,
  loraTerm,
  undrop,
} from './lora.ts';

import { headTokens, headTokensBackward, headTokensInput } from './tokens.ts';

export type { LoraPair } from './lora.ts';

export type LinearLayer = {
  /** The module's name in the checkpoint. */
  readonly name: string;
  readonly weight: Weight;
  /** (out) f32. */
  readonly bias: Tensor | null;
  readonly lora: LoraPair | null;
  /** Tokens whose rows of the head are trained. */
  readonly tokens?: TokenRows | null;
};

/** x (T, in) -> y (T, out). */
export function linear(ctx: OpContext, x: Tensor, layer: LinearLayer): Tensor {
  const { tape } = ctx;
  const { weight } = layer;
  const T = ctx.B * ctx.S;
  const rows = { x, T, weight, chunk: 0 };
  const { y, saved } = onceIfSelective(ctx, () => {
    const requiresGrad = x.requiresGrad || isTrained(layer);
    const y = tape.tensor(`${weight.name}.y`, [T, weight.out], { requiresGrad, halfGrad: takesHalfGrad(ctx, layer) });
    const norm = tape.once(() => layerNorms(ctx, layer));
    return { y, saved: linearForward(ctx, rows, layer, norm, y) };
  });
  tape.onBackward([y], () => {
    const dx = x.requiresGrad ? tape.gradTarget(x, writesHalfGrad(ctx, layer)) : null;
    linearBackward(ctx, rows, layer, saved, tape.gradOf(y), dx);
  });
  return y;
}

/** Whether the gradient of y goes to products alone: DoRA scales it, and a trained bias sums it, in f32. */
function takesHalfGrad(ctx: OpContext, { weight, bias, lora }: LinearLayer): boolean {
  return operandDtype(ctx, weight.out) === 'f16' && !isDora(lora) && !lora?.bias && bias?.requiresGrad !== true;
}

/** Whether the gradient of x is one product, which can be stored in f16: shards, DoRA's scaling and dropout's term are added up in f32. */
function writesHalfGrad(ctx: OpContext, { weight, lora }: LinearLayer): boolean {
  const sums = isDora(lora) || (lora !== null && drops(ctx, lora));
  return operandDtype(ctx, weight.in) === 'f16' && !sums && shardsOf(ctx.tape, weight, ctx.computeDtype).length === 1;
}

/** Whether the base weight, the bias or an adapter of the layer is trained. */
export function isTrained({ weight, bias, lora, tokens }: LinearLayer): boolean {
  return lora !== null || Boolean(tokens) || isTrainable(weight) || bias?.requiresGrad === true;
}

/** The row norms that a DoRA adapter divides by; they hold for every row of x. Null without DoRA. */
export function layerNorms(ctx: OpContext, { weight, lora }: LinearLayer, scratchBudget?: number): Tensor | null {
  return isDora(lora) ? rowNorms(ctx, weight, lora, scratchBudget === undefined ? {} : { scratchBudget }) : null;
}

/** Values that backward needs beside x: x A^T, and with DoRA those of src/model/ops/dora.ts. */
type Saved = { readonly xa: Tensor | null; readonly dora: DoraSaved | null };

/** Writes y (T, out). @param norm from `layerNorms` */
export function linearForward(
  ctx: OpContext,
  rows: Rows,
  { name, bias, lora, tokens }: LinearLayer,
  norm: Tensor | null,
  y: Tensor,
): Saved {
  const { T, weight } = rows;
  const bank = ctx.adapters?.linears.get(name);
  if (bank !== undefined) {
    bankForward(ctx, rows, bank, bias, y);
    return { xa: null, dora: null };
  }
  if (isDora(lora) && norm !== null) {
    const dora = doraForward(ctx, rows, lora, norm, y);
    if (bias !== null) biasFwd(ctx.tape, { T, N: weight.out, b: bias, y });
    if (tokens) headTokens(ctx, rows, tokens, { y });
    return { xa: null, dora };
  }
  const xa = lora === null ? null : loraDown(ctx, rows, lora, droppedInput(ctx, rows, lora));
  project(ctx, rows, y, { bias, ...(lora && xa && { plus: loraTerm(lora, xa) }) });
  if (lora?.bias) biasFwd(ctx.tape, { T, N: weight.out, b: lora.bias, y, scale: lora.scaling });
  if (tokens) headTokens(ctx, rows, tokens, { y });
  return { xa, dora: null };
}

/** Adds to the gradients of what the layer trains; writes (or adds) that of x where it is wanted. */
export function linearBackward(
  ctx: OpContext,
  rows: Rows,
  layer: LinearLayer,
  saved: Saved,
  dy: Tensor,
  dx: GradRows | null,
): void {
  const { tokens } = layer;
  const taken = tokens ? headTokensBackward(ctx, rows, tokens, dy) : null;
  tableBackward(ctx, rows, layer, saved, dy, dx);
  if (tokens && taken !== null && dx !== null) headTokensInput(ctx, rows, tokens, taken, dx);
}

/** The same for all but trained tokens. */
function tableBackward(
  ctx: OpContext,
  rows: Rows,
  { bias, lora }: LinearLayer,
  { xa, dora }: Saved,
  dy: Tensor,
  dx: GradRows | null,
): void {
  const { tape } = ctx;
  const { T, weight } = rows;
  weightGrad(ctx, rows, dy);
  if (bias?.requiresGrad) biasBwd(tape, { T, N: weight.out, dy, db: tape.gradTarget(bias).grad });
  if (isDora(lora) && dora !== null) {
    doraBackward(ctx, rows, lora, dora, dy, dx);
    return;
  }
  const input = lora === null ? null : droppedInput(ctx, rows, lora);
  const dxa = lora && xa && input ? loraBackward(ctx, rows, lora, { input, xa, dy }) : null;
  if (dx === null) return;
  if (lora === null || dxa === null) backproject(ctx, rows, dy, dx);
  else if (!drops(ctx, lora)) backproject(ctx, rows, dy, dx, loraInputTerm(lora, dxa));
  else {
    backproject(ctx, rows, dy, dx);
    const dropped = tape.tensor(`${weight.name}.d_dropped`, rows.x.shape, { category: 'workspace' });
    loraInput(ctx, rows, lora, dxa, dropped);
    undrop(ctx, rows, lora, dropped, { grad: dx.grad, accumulate: true });
  }
}
