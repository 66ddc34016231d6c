/**
 * Fills a declared model from a checkpoint. Slabs of several weights are under way at once: read, quantized by workers and
 * uploaded; neither the file nor a weight is ever held whole.
 */
import type { TensorSource } from '../formats/checkpoint.ts';
import { ropeTables } from '../formats/rope.ts';
import type { Device } from '../gpu/device.ts';
import type { Residents } from '../gpu/residents.ts';
import { Uploads } from '../gpu/transfer.ts';
import type { Codec } from '../wasm/codec.ts';
import type { QuantError } from '../wasm/quant-error.ts';
import { CODE_BOOKS } from '../wasm/tables.ts';
import type { Quantizer, SourceDtype } from '../wasm/types.ts';
import type { CodeTables, DeclaredModel } from './declare.ts';
import { loadVector, loadWeight, Stopwatch, slabPool, type WeightContext, write } from './load-weight.ts';

export type LoadContext = {
  readonly device: Device;
  readonly residents: Residents;
  readonly quantizer: Quantizer;
  readonly codec: Codec;
  /** The dtype that base weights are rounded to before they are quantized; null keeps the checkpoint's. */
  readonly sourceDtype: SourceDtype | null;
  /** Whether the error of every quantized weight is measured: a pass over it, in this thread. */
  readonly measuresError?: boolean;
  /** Ends the load between two slabs. */
  readonly signal?: AbortSignal;
};

export type LoadTimes = {
  /** Seconds during which a weight was being quantized, its reading and uploading included. */
  readonly quantizeSeconds: number;
  /** Seconds that the quantizer's threads worked, added up. */
  readonly quantizeBusySeconds: number;
  /** The error of each weight that was quantized here, by name; empty where it was not asked for. */
  readonly quantErrors: ReadonlyMap<string, QuantError>;
};

/**
 * Tensors under way at once. Their slabs bound the memory they hold; a quantized one also holds its scales, a sixteenth of a
 * byte an element.
 */
const TENSORS_IN_FLIGHT = 16;

/**
 * Loads a model and yields the name of each tensor once it is loaded, in the model's order.
 * @throws DataError naming the first tensor in that order that is missing, of another shape, of a type that is no float, or not
 * finite; DeviceError; the signal's reason. After a throw or a `return` nothing is under way any more.
 */
export async function* loadModel(
  ctx: LoadContext,
  declared: DeclaredModel,
  source: TensorSource,
): AsyncGenerator<string, LoadTimes> {
  const uploads = new Uploads(ctx.device);
  let ended = false;
  const waitForRoom = async (): Promise<void> => {
    await uploads.room();
    ctx.signal?.throwIfAborted();
    if (ended) throw new Error('the load has ended');
  };
  const quantizing = new Stopwatch();
  const quantErrors = new Map<string, QuantError>();
  const noteError =
    ctx.measuresError === true ? (name: string, error: QuantError) => quantErrors.set(name, error) : null;
  const weights: WeightContext = { ...ctx, source, uploads, slabs: slabPool(), quantizing, noteError, waitForRoom };
  writeTables(weights, declared);
  const busyBefore = ctx.quantizer.busySeconds;
  const underWay: { readonly name: string; readonly done: Promise<void> }[] = [];
  const begin = ({ name, load }: Job): void => {
    const done = load(weights);
    // a tensor may fail before it is awaited; its error is thrown in order
    done.catch(() => undefined);
    underWay.push({ name, done });
  };
  const first = async (): Promise<string> => {
    const { name, done } = underWay[0] as (typeof underWay)[number];
    await done;
    underWay.shift();
    return name;
  };
  try {
    for (const job of jobsOf(declared)) {
      if (underWay.length === TENSORS_IN_FLIGHT) yield await first();
      begin(job);
    }
    while (underWay.length > 0) yield await first();
    await uploads.finish();
  } finally {
    ended = true;
    await Promise.allSettled(underWay.map(({ done }) => done));
  }
  return {
    quantizeSeconds: quantizing.seconds,
    quantizeBusySeconds: ctx.quantizer.busySeconds - busyBefore,
    quantErrors,
  };
}

type Job = { readonly name: string; readonly load: (ctx: WeightContext) => Promise<void> };

function jobsOf({ vectors, weights }: DeclaredModel): Job[] {
  return [
    ...[...vectors].map(([name, tensor]): Job => ({ name, load: (ctx) => loadVector(ctx, name, tensor) })),
    ...[...weights].map(([name, weight]): Job => ({ name, load: (ctx) => loadWeight(ctx, name, weight) })),
  ];
}

function writeTables(ctx: WeightContext, { tables, model }: DeclaredModel): void {
  for (const table of tables) write(ctx, table.tensor, valuesOf(table));
  const { cos, sin } = ropeTables(model.config, model.rope.cos.shape[0] ?? 0);
  write(ctx, model.rope.cos, cos as Float32Array<ArrayBuffer>);
  write(ctx, model.rope.sin, sin as Float32Array<ArrayBuffer>);
}

function valuesOf({ quantType, dynamicCode }: CodeTables): Float32Array<ArrayBuffer> {
  return new Float32Array([...CODE_BOOKS[quantType], ...dynamicCode]);
}
