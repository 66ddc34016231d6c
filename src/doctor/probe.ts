/** Tries a device: subnormals, a few sums against f64, the time to compile a kernel. */
import type { Device } from '../gpu/device.ts';
import { Machine } from '../gpu/machine.ts';
import type { Recorder } from '../gpu/recorder.ts';
import type { Dtype, Tensor } from '../gpu/tensor.ts';
import { addFwd } from '../kernels/add.ts';
import { matmulNt } from '../kernels/matmul.ts';
import { scaleTiny } from '../kernels/subnormal.ts';
import type { CompileTimes, DeviceFacts, SelfTest, Subnormals } from './types.ts';

type Words = Float32Array<ArrayBuffer> | Uint32Array<ArrayBuffer>;

const PLAN = 'doctor';

/** A machine with a single phase. */
class Workbench {
  readonly #machine: Machine;
  readonly rec: Recorder;

  constructor(device: Device) {
    this.#machine = Machine.on(device);
    this.rec = this.#machine.recorder();
  }

  tensor(label: string, data: Words, dtype: Dtype = 'f32', elements = data.length): Tensor {
    const tensor = this.#machine.residents.tensor({ label, shape: [elements], dtype, category: 'activations' });
    this.#machine.write(tensor, data);
    return tensor;
  }

  /** Allocates a buffer of NaN, so that elements no kernel wrote cannot pass for results. */
  output(label: string, elements: number): Tensor {
    return this.tensor(label, new Float32Array(elements).fill(Number.NaN));
  }

  /** Compiles the recorded dispatches; `run` runs them once and returns its milliseconds. */
  async compile(): Promise<{ compileMs: number; run: () => Promise<number> }> {
    const start = performance.now();
    this.#machine.prepare([{ name: PLAN, commands: this.rec.commands }]);
    await this.#machine.compile();
    const compileMs = performance.now() - start;
    const run = async (): Promise<number> => {
      const before = performance.now();
      await this.#machine.run(PLAN);
      return performance.now() - before;
    };
    return { compileMs, run };
  }

  read(tensor: Tensor): Promise<ArrayBuffer> {
    return this.#machine.read(tensor);
  }

  destroy(): void {
    this.#machine.destroy();
  }
}

/** Compiles, runs and checks a few kernels. @throws DeviceError when the device fails */
export async function probeDevice(device: Device): Promise<Omit<DeviceFacts, 'backend'>> {
  const { profile, info } = device;
  // first, while none of its kernels is compiled yet
  const { compile, matmul } = await tryMatmul(device);
  const [add, multiply] = await tryElementwise(device);
  return {
    profile,
    adapter: info,
    compile,
    selfTests: [add, multiply, matmul],
    subnormals: await probeSubnormals(device),
  };
}

/** Finds out whether the device keeps or flushes subnormals of each float type it has. */
export async function probeSubnormals(device: Device): Promise<DeviceFacts['subnormals']> {
  return {
    f32: await subnormalsF32(device),
    f16: device.profile.shaderF16 ? await subnormalsF16(device) : null,
  };
}

const MATMUL = { M: 33, N: 31, K: 20 } as const;
const ELEMENTS = 1000;
const F32_EPS = 2 ** -23;

const wave = (n: number, k: number): Float32Array<ArrayBuffer> =>
  Float32Array.from({ length: n }, (_, i) => Math.sin(i * k + k) * 2);

async function tryMatmul(device: Device): Promise<{ compile: CompileTimes; matmul: SelfTest }> {
  const { M, N, K } = MATMUL;
  const bench = new Workbench(device);
  const [x, w] = [wave(M * K, 0.37), wave(N * K, 0.73)];
  const y = bench.output('y', M * N);
  matmulNt(bench.rec, { M, N, K, x: bench.tensor('x', x), w: bench.tensor('w', w), y });
  const { compileMs, run } = await bench.compile();
  const [firstRunMs, laterRunMs] = [await run(), await run()];
  const want = Float64Array.from({ length: M * N }, (_, i) => {
    let sum = 0;
    for (let k = 0; k < K; k++) sum += (x[Math.floor(i / N) * K + k] ?? 0) * (w[(i % N) * K + k] ?? 0);
    return sum;
  });
  // K products below 4, each sum rounded to f32
  const matmul = compared(`matmul ${M}x${N}x${K}`, new Float32Array(await bench.read(y)), want, 4 * K * F32_EPS);
  bench.destroy();
  return { compile: { kernel: 'matmul_nt', compileMs, firstRunMs, laterRunMs }, matmul };
}

async function tryElementwise(device: Device): Promise<[SelfTest, SelfTest]> {
  const bench = new Workbench(device);
  const [a, b] = [wave(ELEMENTS, 0.37), wave(ELEMENTS, 0.73)];
  const [sum, product] = [bench.output('sum', ELEMENTS), bench.output('product', ELEMENTS)];
  const first = bench.tensor('a', a);
  addFwd(bench.rec, { a: first, b: bench.tensor('b', b), y: sum });
  const scale = Math.fround(1.7);
  scaleTiny(bench.rec, { x: first, y: product, scale });
  await (await bench.compile()).run();
  // WGSL requires correctly rounded sums and products, so no error is allowed
  const add = compared(
    'add',
    new Float32Array(await bench.read(sum)),
    a.map((v, i) => v + (b[i] ?? 0)),
    0,
  );
  const multiply = compared(
    'multiply',
    new Float32Array(await bench.read(product)),
    a.map((v) => v * scale),
    0,
  );
  bench.destroy();
  return [add, multiply];
}

/** Compares each element; a NaN fails and leaves the error unknown. */
export function compared(name: string, got: ArrayLike<number>, want: ArrayLike<number>, limit: number): SelfTest {
  let worst = 0;
  for (let i = 0; i < want.length; i++) {
    const error = Math.abs((got[i] ?? Number.NaN) - (want[i] ?? Number.NaN));
    if (Number.isNaN(error)) return { name, passed: false, error: null, limit };
    worst = Math.max(worst, error);
  }
  return { name, passed: worst <= limit, error: worst, limit };
}

const F32_SMALLEST_NORMAL = 2 ** -126;

async function subnormalsF32(device: Device): Promise<Subnormals> {
  const bench = new Workbench(device);
  const [operand, result] = [bench.output('operand', 1), bench.output('result', 1)];
  // doubled, a flushed operand stays 0 while a kept one becomes a normal number; halved, only the result is subnormal
  scaleTiny(bench.rec, {
    x: bench.tensor('tiny', Float32Array.of(F32_SMALLEST_NORMAL / 2)),
    y: operand,
    scale: 2,
  });
  scaleTiny(bench.rec, { x: bench.tensor('small', Float32Array.of(F32_SMALLEST_NORMAL)), y: result, scale: 0.5 });
  await (await bench.compile()).run();
  const [doubled = 0] = new Float32Array(await bench.read(operand));
  const [halved = 0] = new Float32Array(await bench.read(result));
  bench.destroy();
  return { operands: doubled === 0 ? 'flushed' : 'kept', results: halved === 0 ? 'flushed' : 'kept' };
}

const F16_SMALLEST_NORMAL_BITS = 0x0400;
const F16_HALF_OF_THAT_BITS = 0x0200;
const SIGN_BIT = 0x8000;

async function subnormalsF16(device: Device): Promise<Subnormals> {
  const bench = new Workbench(device);
  const half = (label: string, bits: number): Tensor => bench.tensor(label, Uint32Array.of(bits), 'f16', 1);
  const [operand, result] = [half('operand', 0x7e00), half('result', 0x7e00)];
  scaleTiny(bench.rec, { x: half('tiny', F16_HALF_OF_THAT_BITS), y: operand, scale: 2 });
  scaleTiny(bench.rec, { x: half('small', F16_SMALLEST_NORMAL_BITS), y: result, scale: 0.5 });
  await (await bench.compile()).run();
  const isZero = async (tensor: Tensor): Promise<boolean> =>
    ((new Uint16Array(await bench.read(tensor))[0] ?? 0) & ~SIGN_BIT) === 0;
  const [operands, results] = [await isZero(operand), await isZero(result)];
  bench.destroy();
  return { operands: operands ? 'flushed' : 'kept', results: results ? 'flushed' : 'kept' };
}
