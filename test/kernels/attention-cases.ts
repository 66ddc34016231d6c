/** One attention, forward and backward, on the GPU and in f64: used by the tests of every tier. */
import type { DeviceProfile } from '../../src/gpu/device-profile.ts';
import type { Tape } from '../../src/gpu/tape.ts';
import type { Tensor } from '../../src/gpu/tensor.ts';
import { attentionBwd, attentionFwd, planAttention } from '../../src/kernels/attention.ts';
import { qkvOperands } from '../../src/kernels/attention-operands.ts';
import { unpackHalves } from '../gpu/float16.ts';
import { Bench, profileWith } from '../gpu/harness.ts';
import { attentionBwdRef, attentionFwdRef } from '../ref/attention.ts';
import { expectClose, random } from '../ref/compare.ts';
import { f16Bits, f16Value } from '../ref/nf4.ts';

export type Case = {
  readonly B: number;
  readonly S: number;
  readonly H: number;
  readonly K: number;
  readonly D: number;
  readonly window?: number | null;
  /** Lengths of the documents in each row; the last takes what is left. */
  readonly documents?: readonly (readonly number[])[];
  readonly maxWorkgroups?: number;
  readonly computeDtype?: 'f32' | 'f16';
  /** o and dv in f16, as products read them; backward takes that o. Matrices only. */
  readonly halfOutputs?: boolean;
};

/** Past one and two of the largest blocks that a GPU takes (128 rows), for head dims that one and two subgroups share. */
export const GPU_CASES: readonly Case[] = [
  { B: 2, S: 129, H: 4, K: 2, D: 32 },
  { B: 1, S: 150, H: 2, K: 1, D: 64, window: 70, documents: [[40, 100]] },
  { B: 1, S: 300, H: 4, K: 1, D: 32, window: 140 },
  { B: 2, S: 300, H: 2, K: 1, D: 128, documents: [[128, 129], [1]] },
];

export const caseName = ({ B, S, H, K, D, window = null, documents }: Case): string =>
  `B=${B} S=${S} H=${H} K=${K} D=${D} window=${window}${documents ? ` documents=${JSON.stringify(documents)}` : ''}`;

/** Where each token's document begins and ends within its row. */
export function boundaries(rows: readonly (readonly number[])[], S: number) {
  const [starts, ends] = [new Uint32Array(rows.length * S), new Uint32Array(rows.length * S)];
  rows.forEach((lengths, b) => {
    let from = 0;
    for (const length of [...lengths, S]) {
      const to = Math.min(from + length, S);
      starts.fill(from, b * S + from, b * S + to);
      ends.fill(to, b * S + from, b * S + to);
      from = to;
    }
  });
  return { starts, ends };
}

export type Outcome = Readonly<Record<Name, Float32Array>> & { readonly flags: number };
type Name = (typeof NAMES)[number];
const NAMES = ['lse', 'o', 'delta', 'dq', 'dk', 'dv'] as const;
type Inputs = Readonly<Record<'q' | 'k' | 'v' | 'dO', Float32Array<ArrayBuffer>>>;

/** Not 1 / sqrt(D), which a kernel might have taken for granted. */
const shapeOf = ({ B, S, H, K, D, window = null }: Case) => ({
  B,
  Tq: S,
  Tk: S,
  H,
  K,
  D,
  window,
  scale: 0.9 / Math.sqrt(D),
});

/**
 * q and k of std `spread`: at 2 scores have a std of about 4, and the softmax is sharp in places. `halves`: what f16 holds
 * exactly, so that no rounding of an operand hides in a tolerance.
 */
export function inputsOf({ B, S, H, K, D }: Case, { spread = 2, halves = false } = {}): Inputs {
  const r = random(S * D);
  const normal = (heads: number, std = 1) => {
    const x = r.normal32(B * S * heads * D, std);
    return halves ? Float32Array.from(x, (value) => f16Value(f16Bits(value))) : x;
  };
  return { q: normal(H, spread), k: normal(K, spread), v: normal(K), dO: normal(H) };
}

export function referenceOf(one: Case, { q, k, v, dO }: Inputs) {
  const starts = one.documents && boundaries(one.documents, one.S).starts;
  const shape = { ...shapeOf(one), S: one.S, ...(starts && { starts }) };
  const { o, lse } = attentionFwdRef(shape, q, k, v);
  return { o, lse, ...attentionBwdRef(shape, q, k, v, o, lse, dO) };
}

/** Forward, and backward on the f64 forward's o and lse. Every output starts as NaN. */
export async function runCase(
  profile: Partial<DeviceProfile>,
  one: Case,
  inputs: Inputs,
  forward: { readonly o: Float64Array; readonly lse: Float64Array },
): Promise<Outcome> {
  const { B, S, H, K, D, documents, maxWorkgroups, computeDtype = 'f32', halfOutputs = false } = one;
  const bench = new Bench({ profile, ...(maxWorkgroups !== undefined && { maxWorkgroups }) });
  const { tape } = bench;
  const at = documents && boundaries(documents, S);
  const given = {
    q: bench.input('q', inputs.q),
    k: bench.input('k', inputs.k),
    v: bench.input('v', inputs.v),
  };
  const plan = planAttention(tape.profile, computeDtype, D);
  const halves = plan.forward.tier === 'subgroup_matrix' ? roundedTo(tape, one, given) : given;
  const call = {
    ...shapeOf(one),
    ...halves,
    o: outputOf(bench, 'o', [B * S, H * D], halfOutputs),
    lse: bench.output('lse', [B * S, H]),
    ...(at && { documents: { starts: bench.input('starts', at.starts), ends: bench.input('ends', at.ends) } }),
    computeDtype,
  };
  const grads = {
    delta: bench.output('delta', [B * S, H]),
    dq: bench.output('dq', [B * S, H * D]),
    dk: bench.output('dk', [B * S, K * D]),
    dv: outputOf(bench, 'dv', [B * S, K * D], halfOutputs),
  };
  attentionFwd(tape, call);
  const o = halfOutputs ? call.o : bench.input('o', Float32Array.from(forward.o));
  const lse = bench.input('lse', Float32Array.from(forward.lse));
  const backward = { ...call, ...(plan.backward.tier === 'subgroup_matrix' ? halves : given), ...grads };
  attentionBwd(tape, { ...backward, o, lse, dO: bench.input('dO', inputs.dO) });
  await bench.run();
  const tensors = { o: call.o, lse: call.lse, ...grads };
  const [flags = -1] = await bench.readU32(bench.flags);
  const read = await Promise.all(NAMES.map(async (name) => [name, await valuesOf(bench, tensors[name])] as const));
  return { ...(Object.fromEntries(read) as Record<Name, Float32Array>), flags };
}

const NAN_HALVES = 0x7e007e00;
function outputOf(bench: Bench, label: string, shape: readonly number[], half: boolean): Tensor {
  if (!half) return bench.output(label, shape);
  const words = shape.reduce((p, n) => p * n, 1) / 2;
  return bench.input(label, new Uint32Array(words).fill(NAN_HALVES), shape, { dtype: 'f16' });
}
async function valuesOf(bench: Bench, tensor: Tensor): Promise<Float32Array> {
  if (tensor.dtype !== 'f16') return bench.read(tensor);
  return Float32Array.from(unpackHalves(await bench.readU32(tensor), tensor.elements), f16Value);
}

type Qkv = { readonly q: Tensor; readonly k: Tensor; readonly v: Tensor };
/** q, k and v in f16, as attention on matrices reads them. */
function roundedTo(tape: Tape, { B, S, H, K, D }: Case, { q, k, v }: Qkv): Qkv {
  const half = (name: string, { shape }: Tensor) => tape.tensor(name, shape, { dtype: 'f16' });
  const to = { q: half('q16', q), k: half('k16', k), v: half('v16', v) };
  qkvOperands(tape, { T: B * S, S, H, K, D, turn: null, q, k, v, qOut: to.q, kOut: to.k, vOut: to.v });
  return to;
}

export type Tolerances = Readonly<Record<Name, { rtol: number; atol: number }>>;

// Scores of size 20 carry 20 * 2^-24 * a few, which exp turns into a relative error of p; o is of size 1 to 3. Gradients are
// sums over up to S*H/K terms p*(dp - delta) with dp of size 10 and that error of p.
const GRADIENT = { rtol: 1e-5, atol: 5e-5 };
export const F32: Tolerances = {
  o: { rtol: 0, atol: 1e-5 },
  lse: { rtol: 1e-6, atol: 3e-6 },
  delta: { rtol: 1e-6, atol: 5e-6 },
  dq: GRADIENT,
  dk: GRADIENT,
  dv: GRADIENT,
};

export function expectOutcome(got: Outcome, want: Readonly<Record<Name, ArrayLike<number>>>, tolerances: Tolerances) {
  for (const name of NAMES) expectClose(name, got[name], want[name] as Float64Array, tolerances[name]);
}

/** Rows of the smallest documents that are tried: several blocks of the tiers that work by few rows or by none. */
const LEAST_DOCUMENT = 32;

/** Rows or columns of the largest block by which a profile's kernels go: documents of as many share none. */
function largestBlock(profile: DeviceProfile, computeDtype: 'f32' | 'f16', D: number): number {
  const height = profile.subgroupMatrix?.M ?? 0;
  const { forward, backward } = planAttention(profile, computeDtype, D);
  const sizes = [forward, backward].map((plan) => {
    if (plan.tier === 'direct') return 1;
    if (plan.tier === 'simt') return Math.max(...Object.values(plan.blocks).flatMap(({ BR, BC }) => [BR, BC]));
    return Math.max(...Object.values(plan.blocks).flatMap(({ WR, BC }) => [WR * height, BC]));
  });
  return Math.max(...sizes);
}

/**
 * Two documents of whole blocks, NaN in what one holds: the other's results stay finite only if blocks of another document are
 * never multiplied, since 0 times NaN is NaN. @returns the rows of a document
 */
export async function runBesideNaN(
  changes: Partial<DeviceProfile>,
  computeDtype: 'f32' | 'f16',
  D = 16,
): Promise<number> {
  const half = Math.max(LEAST_DOCUMENT, largestBlock(profileWith(changes), computeDtype, D));
  const one: Case = { B: 1, S: 2 * half, H: 2, K: 1, D, documents: [[half, half]], computeDtype };
  const clean = inputsOf(one, { halves: true });
  const want = referenceOf(one, clean);
  const results = async (name: 'v' | 'dO', from: number, to: number) => {
    const x = clean[name].slice();
    const row = x.length / one.S;
    x.fill(Number.NaN, from * row, to * row);
    return runCase(changes, one, { ...clean, [name]: x }, want);
  };
  const finite = (got: Outcome, names: readonly Name[], from: number, to: number) => {
    for (const name of names) {
      const row = got[name].length / one.S;
      if (!got[name].slice(from * row, to * row).every(Number.isFinite))
        throw new Error(`${name} saw another document`);
    }
  };
  finite(await results('v', 0, half), ['o', 'dq', 'dk', 'dv'], half, one.S);
  finite(await results('dO', half, one.S), ['dq', 'dk', 'dv'], 0, half);
  return half;
}
