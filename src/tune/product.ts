/** One matrix product with buffers of its own, for the tuner and the micro-benchmarks to time and check. */
import type { Device } from '../gpu/device.ts';
import type { DeviceProfile } from '../gpu/device-profile.ts';
import { Machine } from '../gpu/machine.ts';
import type { Tensor } from '../gpu/tensor.ts';
import { matmulNn, matmulNt, matmulTn } from '../kernels/matmul.ts';

export type ProductCall = {
  readonly op: 'nt' | 'nn' | 'tn';
  readonly M: number;
  readonly N: number;
  readonly K: number;
  /** Dtype of w; operands of tn are always f32. */
  readonly dtype: 'f32' | 'f16';
  /** LoRA term of rank r for nt and nn: folded in as a second source of the sums, or added by a second product. */
  readonly lora?: { readonly r: number; readonly folded: boolean };
};

/** Milliseconds since any moment. */
export type Clock = () => number;

export type Product = {
  /** Seconds of one product, the mean over `repeats` of them in one submit, from submit to done. */
  seconds(repeats?: number): Promise<number>;
  /** Fills the operands with a fixed pattern, runs once and reads the result. */
  result(): Promise<Float32Array>;
  /**
   * Fills the operands with noise: on zeros, a GPU at its power limit computes products a tenth faster than on weights.
   */
  fillWithNoise(): void;
  free(): void;
};

/** Shortest sample: submitting hardly counts in it, and the clock of an idle GPU has time to rise. */
const LEAST_SECONDS = 0.05;

/**
 * Finds how many runs in one submit make a sample last LEAST_SECONDS, and the seconds of a single run.
 * @param seconds measures one run, as the mean over so many in one submit
 */
export async function repeatsOf(
  seconds: (repeats: number) => Promise<number>,
): Promise<{ repeats: number; once: number }> {
  let once = await seconds(1);
  // the clock may have been low during the first run
  if (once < LEAST_SECONDS) once = await seconds(1);
  return { repeats: Math.max(1, Math.ceil(LEAST_SECONDS / once)), once };
}

const PRODUCT_PLAN = 'product';

/** Compiles the product and runs it once, since software drivers compile at the first dispatch. @throws DeviceError */
export async function prepareProduct(
  device: Device,
  profile: DeviceProfile,
  call: ProductCall,
  now: Clock = () => performance.now(),
): Promise<Product> {
  const machine = Machine.on(device, profile);
  const { operands, y, commands } = recordProduct(machine, call);
  machine.prepare([{ name: PRODUCT_PLAN, commands }]);
  await machine.compile();
  const seconds = async (repeats = 1): Promise<number> => {
    const started = now();
    machine.submission(PRODUCT_PLAN).run(PRODUCT_PLAN, repeats).submit();
    await device.wait(device.gpu.queue.onSubmittedWorkDone());
    return (now() - started) / 1000 / repeats;
  };
  const fillWithNoise = (): void => {
    for (const operand of operands) {
      const { dtype: kind, elements } = operand;
      const words = kind === 'f32' ? elements : Math.ceil(elements / 2);
      for (let at = 0; at < words; at += NOISE_WORDS) {
        const part = noise(kind === 'f32' ? 'f32' : 'f16').subarray(0, Math.min(NOISE_WORDS, words - at));
        machine.write(operand, part, 4 * at);
      }
    }
  };
  const result = async (): Promise<Float32Array> => {
    for (const operand of operands) machine.write(operand, pattern(operand));
    await seconds();
    return new Float32Array(await machine.read(y));
  };
  await device.guarded('first run', seconds);
  return { seconds, result, fillWithNoise, free: () => machine.destroy() };
}

function recordProduct(machine: Machine, { op, M, N, K, dtype, lora }: ProductCall) {
  const rec = machine.recorder();
  const tensor = (label: string, elements: number, kind: 'f32' | 'f16' = 'f32'): Tensor =>
    machine.residents.tensor({ label, shape: [elements], dtype: kind, category: 'activations' });
  const sizes = { M, N, K };
  const [first, second] = [
    tensor('first', op === 'nt' ? M * K : M * N),
    tensor('w', op === 'tn' ? M * K : N * K, dtype),
  ];
  const y = tensor('y', op === 'nt' ? M * N : op === 'nn' ? M * K : N * K);
  const low = lora && {
    r: lora.r,
    x: tensor('low', M * lora.r),
    w: tensor('up', lora.r * (op === 'nt' ? N : K)),
    scale: 1,
  };
  const extras = low && lora.folded ? { plus: low } : {};
  if (op === 'nt') matmulNt(rec, { ...sizes, x: first, w: second, y, ...extras });
  else if (op === 'nn') matmulNn(rec, { ...sizes, x: first, w: second, y, ...extras });
  else matmulTn(rec, { ...sizes, d: first, x: second, y });
  if (low && !lora.folded) {
    if (op === 'nt') matmulNt(rec, { ...low, M, N, K: low.r, y, accumulate: true });
    else matmulNn(rec, { ...low, M, N: low.r, K, y, accumulate: true });
  }
  return { operands: [first, second, ...(low ? [low.x, low.w] : [])], y, commands: rec.commands };
}

/**
 * Noise repeats after so many words and is made once: making it anew would take longer than the products of a sweep.
 */
const NOISE_WORDS = 2 ** 20;
const noises = new Map<'f32' | 'f16', Uint32Array<ArrayBuffer>>();

/**
 * Numbers of either sign from 1/2 to 1 in size, by the upper bits of a linear congruential generator: its lower ones
 * repeat.
 */
function noise(dtype: 'f32' | 'f16'): Uint32Array<ArrayBuffer> {
  const known = noises.get(dtype);
  if (known !== undefined) return known;
  const words = new Uint32Array(NOISE_WORDS);
  const [kept, exponents] = dtype === 'f32' ? [0x807fffff, 0x3f000000] : [0x83ff83ff, 0x38003800];
  let state = 1;
  noises.set(dtype, words);
  for (let i = 0; i < words.length; i++) {
    state = Math.imul(state, 1_664_525) + 1_013_904_223;
    words[i] = ((state ^ (state >>> 15)) & kept) | exponents;
  }
  return words;
}

/** Eighths from -1 to 1: exact in f16, with sums that are exact in f32 in any order. */
function pattern({ dtype, elements }: Tensor): Float32Array<ArrayBuffer> | Uint32Array<ArrayBuffer> {
  const value = (i: number): number => (((i * 7919) % 17) - 8) / 8;
  if (dtype === 'f32') return Float32Array.from({ length: elements }, (_, i) => value(i));
  return Uint32Array.from(
    { length: Math.ceil(elements / 2) },
    (_, i) => half(value(2 * i)) | (half(value(2 * i + 1)) << 16),
  );
}

/** f16 bits of an eighth from -1 to 1. */
function half(value: number): number {
  if (value === 0) return 0;
  const exponent = Math.floor(Math.log2(Math.abs(value)));
  const mantissa = (Math.abs(value) / 2 ** exponent - 1) * 2 ** 10;
  return (value < 0 ? 0x8000 : 0) | ((exponent + 15) << 10) | mantissa;
}
