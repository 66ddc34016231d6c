/** Attention and matrix products at the quick suite's shapes, by the tier `direct`, which software drivers use. */
import { Machine } from '#dist/gpu/machine.js';
import { attentionBwd, attentionFwd } from '#dist/kernels/attention.js';
import { matmulNn, matmulNt, matmulTn } from '#dist/kernels/matmul.js';
import { closeDevice } from '#dist/node/device.js';
import { nameOf, openTunedDevice, secondsOf } from '../shared/device.mjs';

/** @typedef {import('#dist/gpu/tensor.js').Tensor} Tensor */
/** @typedef {import('#dist/gpu/recorder.js').Recorder} Recorder */
/** @typedef {(label: string, elements: number) => Tensor} MakeTensor */
/** @typedef {(rec: Recorder, tensor: MakeTensor) => void} Write records one kernel on tensors that it makes */
/** @typedef {(repeats: number, clock: import('../shared/clock.mjs').Clock) => Promise<number>} Seconds of one run, of so many in one submit */

const [B, S, H, K, D] = [2, 64, 4, 2, 32];
const ROWS = B * S;
const [HIDDEN, FFN, VOCABULARY, RANK] = [128, 384, 1024, 8];
const ATTENTION = { B, S, Tq: S, Tk: S, H, K, D, window: null, scale: 1 / Math.sqrt(D) };

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
function forward(rec, tensor) {
  const [q, o] = ['q', 'o'].map((label) => tensor(label, ROWS * H * D));
  const [k, v] = ['k', 'v'].map((label) => tensor(label, ROWS * K * D));
  attentionFwd(rec, { ...ATTENTION, q, k, v, o, lse: tensor('lse', ROWS * H) });
}

/** @type {Write} */
function backward(rec, tensor) {
  const [q, o, dO, dq] = ['q', 'o', 'dO', 'dq'].map((label) => tensor(label, ROWS * H * D));
  const [k, v, dk, dv] = ['k', 'v', 'dk', 'dv'].map((label) => tensor(label, ROWS * K * D));
  const [lse, delta] = ['lse', 'delta'].map((label) => tensor(label, ROWS * H));
  attentionBwd(rec, { ...ATTENTION, q, k, v, o, lse, dO, delta, dq, dk, dv });
}

/** @type {(op: string, M: number, N: number, depth: number) => Write} */
const product = (op, M, N, depth) => (rec, tensor) => {
  const [small, wide, w] = [tensor('x', M * depth), tensor('y', M * N), tensor('w', N * depth)];
  const sizes = { M, N, K: depth };
  if (op === 'nt') matmulNt(rec, { ...sizes, x: small, w, y: wide });
  else if (op === 'nn') matmulNn(rec, { ...sizes, x: wide, w, y: small });
  else matmulTn(rec, { ...sizes, d: wide, x: small, y: w });
};

/** @returns the device's name, and by the name of each kernel how long it takes */
export async function openQuickKernels() {
  const device = await openTunedDevice('lavapipe');
  const profile = { ...device.profile, tier: /** @type {const} */ ('direct') };

  /** @param {Write} write @returns {Promise<Seconds>} */
  async function prepare(write) {
    const machine = Machine.on(device, profile);
    /** @type {MakeTensor} */
    const tensor = (label, elements) =>
      machine.residents.tensor({ label, shape: [elements], dtype: 'f32', category: 'activations' });
    const rec = machine.recorder();
    write(rec, tensor);
    machine.prepare([{ name: 'kernel', commands: rec.commands }]);
    await machine.compile();
    return (repeats, clock) => secondsOf(machine, (submission) => submission.run('kernel'), repeats, clock);
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
