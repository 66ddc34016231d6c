/** The quantizer in Node: its module from disk, and a pool of worker threads. */
import { readFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { DataError, KernelCallError } from '../errors.ts';
import {
  Codec,
  compileWasm,
  dtypeCode,
  MAX_SLAB_BYTES,
  quantTypeCode,
  REGION,
  type WasmModule,
} from '../wasm/codec.ts';
import { LaneQuantizer } from '../wasm/quantizer.ts';
import type { Lane, SlabJob, SlabResult } from '../wasm/slabs.ts';
import { bytesPerElement, type Quantizer } from '../wasm/types.ts';
import { WORKER_SOURCE } from '../wasm/worker-source.ts';

/** With more workers, quantizing only waits for the file to be read. */
const MOST_WORKERS = 8;
/** Two slabs a worker: one is quantized while the other is read or handed on. */
const LANES_PER_WORKER = 2;

/**
 * Reads and compiles the package's `nibble.wasm`.
 * @throws DataError when it has not been built
 */
export async function loadWasmModule(build: 'release' | 'debug' = 'release'): Promise<WasmModule> {
  const file = new URL(`../../build/nibble${build === 'debug' ? '.debug' : ''}.wasm`, import.meta.url);
  const bytes = await readFile(file).catch((cause: unknown) => {
    throw new DataError(file.pathname, 'the quantizer is not there; run "npm run build:wasm"', { cause });
  });
  return compileWasm(new Uint8Array(bytes));
}

type Reply = { readonly buffer: ArrayBuffer; readonly badIndex: number; readonly seconds: number };
type Waiting = { readonly resolve: (reply: Reply) => void; readonly reject: (error: Error) => void };

/** A thread that answers jobs in the order they were posted. It keeps the process alive only while it has one. */
class WorkerThread {
  readonly #worker: Worker;
  readonly #waiting: Waiting[] = [];
  #failure: Error | undefined;

  constructor(module: WasmModule, region: number) {
    const workerData = { module, region, packed: REGION.packed, absmax: REGION.absmax };
    // execArgv: loaders and flags of the parent are not for the worker
    this.#worker = new Worker(WORKER_SOURCE, { eval: true, workerData, execArgv: [], name: 'nibble-quantizer' });
    this.#worker.on('message', (reply: Reply) => {
      const job = this.#waiting.shift();
      if (this.#waiting.length === 0) this.#worker.unref();
      job?.resolve(reply);
    });
    this.#worker.on('error', (error) => this.#fail(error as Error));
    this.#worker.on('exit', (code) => this.#fail(new KernelCallError('quantizer worker', `exited with code ${code}`)));
    // after the listeners, since adding one makes the thread hold the process again
    this.#worker.unref();
  }

  post(job: object, buffer: ArrayBuffer): Promise<Reply> {
    if (this.#failure) return Promise.reject(this.#failure);
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.#worker.ref();
      this.#worker.postMessage({ ...job, buffer }, [buffer]);
    });
  }

  /** @throws the error that ended the thread */
  assertAlive(): void {
    if (this.#failure) throw this.#failure;
  }

  async terminate(): Promise<void> {
    await this.#worker.terminate();
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    for (const job of this.#waiting.splice(0)) job.reject(this.#failure);
  }
}

/** A lane whose buffer travels to a worker and back. */
class WorkerLane implements Lane {
  readonly #thread: WorkerThread;
  #buffer = new ArrayBuffer(REGION.byteLength);

  constructor(thread: WorkerThread) {
    this.#thread = thread;
  }

  source(byteLength: number): Uint8Array<ArrayBuffer> {
    // a dead thread keeps the buffer it was sent
    this.#thread.assertAlive();
    return new Uint8Array(this.#buffer, REGION.source, byteLength);
  }

  async quantize({ elements, dtype, spec }: SlabJob): Promise<SlabResult> {
    const packedBytes = Math.ceil(elements / 2);
    const blocks = Math.ceil(elements / spec.blockSize);
    const job = {
      code: quantTypeCode(spec.quantType),
      dtype: dtypeCode(dtype),
      elements,
      blockSize: spec.blockSize,
      sourceBytes: elements * bytesPerElement(dtype),
      packedBytes,
      absmaxBytes: blocks * 4,
    };
    const { buffer, badIndex, seconds } = await this.#thread.post(job, this.#buffer);
    this.#buffer = buffer;
    return {
      source: new Uint8Array(buffer, REGION.source, job.sourceBytes),
      packed: new Uint8Array(buffer, REGION.packed, packedBytes),
      absmax: new Float32Array(buffer, REGION.absmax, blocks),
      badIndex,
      seconds,
    };
  }
}

/**
 * Makes a quantizer over worker threads, bit for bit equal to the one of a single thread. Reading and `onPacked` stay
 * in the calling thread. Each worker costs 12 MiB of linear memory and two slabs, until the quantizer is closed.
 */
export function createQuantizerPool(
  module: WasmModule,
  { workers = Math.min(MOST_WORKERS, availableParallelism()), slabBytes = MAX_SLAB_BYTES } = {},
): Quantizer {
  if (!Number.isSafeInteger(workers) || workers < 1) {
    throw new KernelCallError('createQuantizerPool', `got ${workers} workers, needs a positive integer`);
  }
  const codec = new Codec(module);
  const threads = Array.from({ length: workers }, () => new WorkerThread(module, codec.region(0)));
  // neighbouring slabs go to different workers
  const lanes = Array.from({ length: workers * LANES_PER_WORKER }, (_, i) => new WorkerLane(threads[i % workers]!));
  return new LaneQuantizer(codec, lanes, slabBytes, async () => {
    await Promise.all(threads.map((thread) => thread.terminate()));
  });
}
