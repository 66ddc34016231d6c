/** Attention and matrix products at the quick suite's shapes, by the tier `direct`, which software drivers use. */
import { GpuAllocator } from '#dist/gpu/allocator.js';
import { Arena } from '#dist/gpu/arena.js';
import { Ledger } from '#dist/gpu/ledger.js';
import { makePlan } from '#dist/gpu/plan.js';
import { Program, preparePlan } from '#dist/gpu/program.js';
import { Residents } from '#dist/gpu/residents.js';
import { Tape } from '#dist/gpu/tape.js';
import { attentionBwd, attentionFwd } from '#dist/kernels/attention.js';
import { matmulNn, matmulNt, matmulTn } from '#dist/kernels/matmul.js';
import { closeDevice } from '#dist/node/device.js';
import { STEP_BYTES } from '#dist/train/step-scalars.js';
import { nameOf, openTunedDevice, secondsOf } from '../shared/device.mjs';

/** @typedef {import('#dist/gpu/tensor.js').Tensor} Tensor */
/** @typedef {(label: string, elements: number, dtype?: 'f32' | 'u32', usage?: 'storage' | 'uniform') => Tensor} MakeTensor */
/** @typedef {(tape: Tape, tensor: MakeTensor) => void} Write records one kernel on tensors that it makes */
/** @typedef {(repeats: number, clock: import('../shared/clock.mjs').Clock) => Promise<number>} Seconds of one run, of so many in one submit */

const [B, S, H, K, D] = [2, 64, 4, 2, 32];
const ROWS = B * S;
const [HIDDEN, FFN, VOCABULARY, RANK] = [128, 384, 1024, 8];
const ATTENTION = { B, S, H, K, D, window: null, scale: 1 / Math.sqrt(D) };

/** M, N and K of products of each kind. */
const PAIRED = [
  [ROWS, HIDDEN, HIDDEN],
  [ROWS, FFN, HIDDEN],
  [ROWS, HIDDEN, FFN],
  [ROWS, VOCABULARY, HIDDEN],
  [ROWS, RANK, HIDDEN],
  [ROWS, HIDDEN, RANK],
];
const PRODUCTS = {
  nt: PAIRED,
  nn: PAIRED,
  tn: [
    [ROWS, RANK, HIDDEN],
    [ROWS, HIDDEN, RANK],
  ],
};

/** @type {Write} */
function forward(tape, tensor) {
  const [q, o] = ['q', 'o'].map((label) => tensor(label, ROWS * H * D));
  const [k, v] = ['k', 'v'].map((label) => tensor(label, ROWS * K * D));
  attentionFwd(tape, { ...ATTENTION, q, k, v, o, lse: tensor('lse', ROWS * H) });
}

/** @type {Write} */
function backward(tape, tensor) {
  const [q, o, dO, dq] = ['q', 'o', 'dO', 'dq'].map((label) => tensor(label, ROWS * H * D));
  const [k, v, dk, dv] = ['k', 'v', 'dk', 'dv'].map((label) => tensor(label, ROWS * K * D));
  const [lse, delta] = ['lse', 'delta'].map((label) => tensor(label, ROWS * H));
  attentionBwd(tape, { ...ATTENTION, q, k, v, o, lse, dO, delta, dq, dk, dv });
}

/** @type {(op: string, M: number, N: number, depth: number) => Write} */
const product = (op, M, N, depth) => (tape, tensor) => {
  const [small, wide, w] = [tensor('x', M * depth), tensor('y', M * N), tensor('w', N * depth)];
  const sizes = { M, N, K: depth };
  if (op === 'nt') matmulNt(tape, { ...sizes, x: small, w, y: wide });
  else if (op === 'nn') matmulNn(tape, { ...sizes, x: wide, w, y: small });
  else matmulTn(tape, { ...sizes, d: wide, x: small, y: w });
};

/** @returns the device's name, and by the name of each kernel how long it takes */
export async function openQuickKernels() {
  const device = await openTunedDevice('lavapipe');
  const allocator = new GpuAllocator(device.gpu, new Ledger());
  const profile = { ...device.profile, tier: /** @type {const} */ ('direct') };

  /** @param {Write} write @returns {Promise<Seconds>} */
  async function prepare(write) {
    const residents = new Residents(allocator);
    /** @type {MakeTensor} */
    const tensor = (label, elements, dtype = 'f32', usage = 'storage') =>
      residents.tensor({ label, shape: [elements], dtype, category: 'activations', usage });
    const step = tensor('step', STEP_BYTES / 4, 'u32', 'uniform');
    const tape = new Tape({ profile, shaders: device.shaders, step, flags: tensor('flags', 1, 'u32') });
    write(tape, tensor);
    const plan = makePlan('kernel', tape.commands);
    const arena = new Arena(allocator, [plan]);
    const program = await Program.compile(device, preparePlan(plan, allocator), { residents, arena });
    return (repeats, clock) => secondsOf(device, (encoder) => program.encode(encoder), repeats, clock);
  }

  /** @type {Map<string, Seconds>} */
  const kernels = new Map();
  kernels.set('attention, forward', await prepare(forward));
  kernels.set('attention, backward', await prepare(backward));
  for (const [op, sizes] of Object.entries(PRODUCTS))
    for (const [M, N, depth] of sizes)
      kernels.set(`matmul ${op}, M ${M}, N ${N}, K ${depth}`, await prepare(product(op, M, N, depth)));
  return { kernels, adapter: nameOf(device), close: () => closeDevice(device) };
}
