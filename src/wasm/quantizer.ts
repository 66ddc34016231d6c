/** The streaming quantizer, in one thread or over whatever lanes it is given. Knows no files and no GPU. */
import { KernelCallError } from '../errors.ts';
import { checkQuantCall, dtypeCode, fp4Flag, MAX_SLAB_BYTES, QuantKernels, REGION, type WasmModule } from './codec.ts';
import { quantState } from './nested.ts';
import { Pool } from './pipeline.ts';
import { type Lane, type SlabJob, type SlabResult, streamSlabs } from './slabs.ts';
import type { QuantizeArgs, Quantizer, QuantState } from './types.ts';

/** Smallest slab: the largest block of the widest source. Every slab is a multiple of it, so no block is cut. */
const SLAB_UNIT_BYTES = 4096 * 4;

/** A lane inside one instance: a region of its memory. Two let a read run while the other is quantized. */
export class LocalLane implements Lane {
  readonly #kernels: QuantKernels;
  readonly #base: number;

  constructor(kernels: QuantKernels, region: 0 | 1) {
    this.#kernels = kernels;
    this.#base = kernels.region(region);
  }

  source(byteLength: number): Uint8Array<ArrayBuffer> {
    return this.#kernels.bytes(this.#base + REGION.source, byteLength);
  }

  quantize(job: SlabJob): Promise<SlabResult> {
    return Promise.resolve(this.quantizeNow(job));
  }

  quantizeNow({ elements, dtype, spec }: SlabJob): SlabResult {
    const [source, packed, absmax] = [REGION.source, REGION.packed, REGION.absmax].map((at) => this.#base + at) as [
      number,
      number,
      number,
    ];
    const { wasm } = this.#kernels;
    const started = performance.now();
    const fp4 = fp4Flag(spec.quantType);
    const badIndex = wasm.quantize4bit(fp4, dtypeCode(dtype), source, elements, spec.blockSize, packed, absmax);
    return {
      source: this.#kernels.bytes(source, REGION.packed),
      packed: this.#kernels.bytes(packed, Math.ceil(elements / 2)),
      absmax: this.#kernels.floats(absmax, Math.ceil(elements / spec.blockSize)),
      badIndex,
      seconds: (performance.now() - started) / 1000,
    };
  }
}

/** @throws KernelCallError when the slabs would cut a block or not fit a lane */
function checkSlabBytes(slabBytes: number): void {
  if (slabBytes % SLAB_UNIT_BYTES !== 0 || slabBytes < SLAB_UNIT_BYTES || slabBytes > MAX_SLAB_BYTES) {
    throw new KernelCallError(
      'quantizer',
      `got slabBytes ${slabBytes}, needs a multiple of ${SLAB_UNIT_BYTES} up to ${MAX_SLAB_BYTES}`,
    );
  }
}

/**
 * The Quantizer over any lanes. A tensor takes the lanes that the one before it needs no more, so that small tensors keep
 * them as busy as large ones. `dispose` runs once, after the last call has ended.
 */
export class LaneQuantizer implements Quantizer {
  readonly #kernels: QuantKernels;
  readonly #lanes: Pool<Lane>;
  readonly #slabBytes: number;
  readonly #dispose: () => Promise<void>;
  /** The latest call has begun its last slab. */
  #turn: Promise<void> = Promise.resolve();
  #ended: Promise<unknown> = Promise.resolve();
  #closed = false;
  #busySeconds = 0;

  /** @param kernels of an instance that no lane uses: the second level is quantized while slabs of the next tensor are */
  constructor(kernels: QuantKernels, lanes: readonly Lane[], slabBytes: number, dispose: () => Promise<void>) {
    checkSlabBytes(slabBytes);
    this.#kernels = kernels;
    this.#lanes = new Pool(lanes);
    this.#slabBytes = slabBytes;
    this.#dispose = dispose;
  }

  get busySeconds(): number {
    return this.#busySeconds;
  }

  quantize4bit(args: QuantizeArgs): Promise<QuantState> {
    if (this.#closed) return Promise.reject(new KernelCallError('quantize4bit', 'the quantizer has been closed'));
    let allBegun = (): void => undefined;
    const before = this.#turn;
    this.#turn = new Promise((resolve) => {
      allBegun = resolve;
    });
    const run = before.then(() => this.#run(args, allBegun)).finally(allBegun);
    this.#ended = Promise.allSettled([this.#ended, run]);
    return run;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#ended;
    await this.#dispose();
  }

  async #run(args: QuantizeArgs, onAllBegun: () => void): Promise<QuantState> {
    checkQuantCall(`quantize4bit(${args.name})`, args.elements, args.spec);
    const { absmax, seconds } = await streamSlabs(args, this.#lanes, this.#slabBytes, onAllBegun);
    const started = performance.now();
    const state = quantState(this.#kernels, absmax, Math.ceil(args.elements / 2), args.spec.doubleQuant);
    this.#busySeconds += seconds + (performance.now() - started) / 1000;
    return state;
  }
}

/**
 * A quantizer in the calling thread; works in browsers and on edge runtimes. Its memory is 24 MiB, whatever the tensor.
 * @param module the compiled `nibble.wasm`
 */
export function createQuantizer(module: WasmModule, { slabBytes = MAX_SLAB_BYTES } = {}): Quantizer {
  const kernels = new QuantKernels(module);
  const lanes = [new LocalLane(kernels, 0), new LocalLane(kernels, 1)];
  return new LaneQuantizer(new QuantKernels(module), lanes, slabBytes, () => Promise.resolve());
}
