/** The streaming quantizer, in the calling thread or over given lanes. Knows no files and no GPU. */
import { KernelCallError } from '../errors.ts';
import { Codec, checkQuantCall, dtypeCode, MAX_SLAB_BYTES, quantTypeCode, REGION, type WasmModule } from './codec.ts';
import { quantState } from './nested.ts';
import { Pool } from './pipeline.ts';
import { type Lane, type SlabJob, type SlabResult, streamSlabs } from './slabs.ts';
import type { QuantizeArgs, Quantizer, QuantState } from './types.ts';

/** Smallest slab: the largest block of the widest source. Every slab is a multiple of it, so no block is cut. */
const SLAB_UNIT_BYTES = 4096 * 4;

/** A lane inside one instance: a region of its memory. Two let a read run while the other is quantized. */
export class LocalLane implements Lane {
  readonly #codec: Codec;
  readonly #base: number;

  constructor(codec: Codec, region: 0 | 1) {
    this.#codec = codec;
    this.#base = codec.region(region);
  }

  source(byteLength: number): Uint8Array<ArrayBuffer> {
    return this.#codec.bytes(this.#base + REGION.source, byteLength);
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
    const { wasm } = this.#codec;
    const started = performance.now();
    const code = quantTypeCode(spec.quantType);
    const badIndex = wasm.quantize4bit(code, dtypeCode(dtype), source, elements, spec.blockSize, packed, absmax);
    return {
      source: this.#codec.bytes(source, REGION.packed),
      packed: this.#codec.bytes(packed, Math.ceil(elements / 2)),
      absmax: this.#codec.floats(absmax, Math.ceil(elements / spec.blockSize)),
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
 * A quantizer over any lanes. A tensor takes lanes as soon as the tensor before it has begun its last slab, so that small
 * tensors keep them as busy as large ones. `dispose` runs once, after the last call has ended.
 */
export class LaneQuantizer implements Quantizer {
  readonly #codec: Codec;
  readonly #lanes: Pool<Lane>;
  readonly #slabBytes: number;
  readonly #dispose: () => Promise<void>;
  /** Resolves when the latest call has begun its last slab. */
  #turn: Promise<void> = Promise.resolve();
  #ended: Promise<unknown> = Promise.resolve();
  #closed = false;
  #busySeconds = 0;

  /** @param codec an instance that no lane uses: the second level is quantized while slabs of the next tensor are */
  constructor(codec: Codec, lanes: readonly Lane[], slabBytes: number, dispose: () => Promise<void>) {
    checkSlabBytes(slabBytes);
    this.#codec = codec;
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
    const state = quantState(this.#codec, absmax, Math.ceil(args.elements / 2), args.spec.doubleQuant);
    this.#busySeconds += seconds + (performance.now() - started) / 1000;
    return state;
  }
}

/**
 * Makes a quantizer in the calling thread, for browsers and edge runtimes too. Its memory is 24 MiB, whatever the tensor.
 * @param module the compiled `nibble.wasm`
 */
export function createQuantizer(module: WasmModule, { slabBytes = MAX_SLAB_BYTES } = {}): Quantizer {
  const codec = new Codec(module);
  const lanes = [new LocalLane(codec, 0), new LocalLane(codec, 1)];
  return new LaneQuantizer(new Codec(module), lanes, slabBytes, () => Promise.resolve());
}
