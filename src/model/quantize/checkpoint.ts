/** Quantizes a model directory into another, tensor by tensor: neither a model nor a weight is ever held whole. */
import { DataError } from '../../errors.ts';
import { quantizedConfig } from '../../formats/bnb4bit-config.ts';
import { bnb4bitTensors, packedBytes } from '../../formats/bnb4bit-write.ts';
import { INDEX_FILE, type TensorSource } from '../../formats/checkpoint.ts';
import { copyCompanions } from '../../formats/companions.ts';
import {
  DTYPE_BYTES,
  elementCount,
  type FloatDtype,
  floatType,
  isFloatDtype,
  rawBytes,
  type TorchFloat,
} from '../../formats/dtype.ts';
import { nonFiniteAt } from '../../formats/finite.ts';
import { CONFIG_FILE, type ModelConfig } from '../../formats/hf-config.ts';
import { type FileReader, type FileWriter, place, writeText } from '../../formats/reader.ts';
import { type TensorToWrite, writeSafetensors } from '../../formats/safetensors-write.ts';
import type { Codec } from '../../wasm/codec.ts';
import type { Quantizer } from '../../wasm/types.ts';
import { parameterCount } from '../modules.ts';
import { convert, slabReader } from '../slabs.ts';
import { bnbConfigOf, type OutputTensor, type QuantizedLayout, type QuantizeSettings } from './layout.ts';
import { shardIndex, shardsOf, type TensorGroup } from './shards.ts';
import { Spool, type Spooled, type SpoolStore, spooledData } from './spool.ts';

export type QuantizeJob = {
  readonly reader: FileReader;
  readonly source: TensorSource;
  readonly config: ModelConfig;
  readonly settings: QuantizeSettings;
  readonly layout: QuantizedLayout;
  readonly maxShardBytes: number;
  readonly writer: FileWriter;
  readonly spool: SpoolStore;
  readonly quantizer: Quantizer;
  readonly codec: Codec;
  readonly signal: AbortSignal;
  /** Called after each tensor of either phase. */
  readonly onTensor: (phase: 'quantize' | 'write', name: string) => void;
  /** Told of what a person should know. */
  readonly onNote: (text: string) => void;
  /** Where tokenizer, templates and the like come from; the model's own folder where it is left out. */
  readonly companions?: Companions;
};

export type Companions = {
  readonly reader: FileReader;
  /** Chat templates by file, in place of the folder's own; null for those. */
  readonly templates: ReadonlyMap<string, string> | null;
};

export type QuantizeResult = {
  /** Weight files, in order. */
  readonly files: readonly string[];
  /** Files copied from the source. */
  readonly copied: readonly string[];
};

type FourBit = OutputTensor & { readonly kind: '4bit' };

/**
 * Writes weights, their index, the companions and, last, config.json, so that a directory without it is unfinished.
 * @throws DataError naming a weight that is not finite, and for files that cannot be read or written
 */
export async function quantizeCheckpoint(job: QuantizeJob): Promise<QuantizeResult> {
  const spool = new Spool(job.spool);
  const groups: TensorGroup[] = [];
  for (const tensor of job.layout.tensors) {
    if (tensor.kind === 'plain') groups.push([plainTensor(job, tensor.name, tensor.dtype)]);
    else {
      groups.push(await quantizeTensor(job, spool, tensor));
      job.onTensor('quantize', tensor.name);
    }
  }
  const { settings } = job;
  return writeCheckpoint(job, groups, (config) =>
    quantizedConfig(config, bnbConfigOf(settings), settings.dtype, place(job.reader, CONFIG_FILE)),
  );
}

/** The part of a job that writing needs. */
export type WriteJob = Pick<
  QuantizeJob,
  | 'reader'
  | 'source'
  | 'config'
  | 'codec'
  | 'maxShardBytes'
  | 'writer'
  | 'signal'
  | 'onTensor'
  | 'onNote'
  | 'companions'
>;

/** Writes tensors, their index, the companions and, last, config.json as `configOf` has it. @throws DataError */
export async function writeCheckpoint(
  job: WriteJob,
  groups: readonly TensorGroup[],
  configOf: (config: string) => string,
): Promise<QuantizeResult> {
  const shards = shardsOf(groups, job.maxShardBytes);
  for (const { file, tensors } of shards)
    await writeSafetensors(
      job.writer,
      file,
      tensors.map((t) => reported(job, t)),
    );
  if (shards.length > 1) await writeText(job.writer, INDEX_FILE, shardIndex(shards, parameterCount(job.config)));
  const { reader, templates } = job.companions ?? { reader: job.reader, templates: null };
  const copied = await copyCompanions(reader, job.writer, job.onNote, templates);
  await writeText(job.writer, CONFIG_FILE, configOf(await job.reader.readText(CONFIG_FILE)));
  return { files: shards.map(({ file }) => file), copied };
}

/** Quantizes one weight into the spool. */
async function quantizeTensor(job: QuantizeJob, spool: Spool, tensor: FourBit): Promise<TensorGroup> {
  const { name, shape, stored } = tensor;
  const { settings, source, codec, quantizer, signal } = job;
  const dtype = settings.dtype ?? floatType(stored).torch;
  const packed = spool.reserve(packedBytes(shape));
  const read = slabReader(codec, source, name, stored, dtype);
  let written: Promise<void> = Promise.resolve();
  // a failed write is thrown below or by the next read; until then nobody awaits it
  written.catch(() => undefined);
  const state = await quantizer.quantize4bit({
    name: place(source, `${source.info(name).file}: ${name}`),
    elements: elementCount(shape),
    dtype,
    spec: settings,
    read: async (byteOffset, into) => {
      signal.throwIfAborted();
      // so that no more slabs wait for the disk than are under way
      await written;
      await read(byteOffset, into);
    },
    onPacked: (byteOffset, bytes) => {
      const own = bytes.slice();
      written = written.then(() => spool.write(packed, byteOffset, own));
      written.catch(() => undefined);
    },
  });
  await written;
  const scales = await spool.append(state.nested ? state.codes : rawBytes(state.absmax));
  const nested = state.nested
    ? { absmax: spooledData(spool, await spool.append(rawBytes(state.nestedAbsmax))), offset: state.offset }
    : null;
  const data = (range: Spooled) => spooledData(spool, range);
  const { quantType, blockSize, storage } = settings;
  return bnb4bitTensors({
    name,
    shape,
    dtype,
    quantType,
    blockSize,
    storage,
    packed: data(packed),
    absmax: data(scales),
    nested,
  });
}

/** Copies a tensor that is kept, converted to another float type where one is asked for. */
export function plainTensor(
  { source, codec, signal }: Pick<WriteJob, 'source' | 'codec' | 'signal'>,
  name: string,
  to: TorchFloat | null,
): TensorToWrite {
  const { dtype, shape, file } = source.info(name);
  const written = to === null ? dtype : floatType(to).safetensors;
  const data = async function* (): AsyncGenerator<Uint8Array> {
    let first = 0;
    for await (const raw of rawChunks(source, name)) {
      signal.throwIfAborted();
      const chunk = to === null ? raw : convert(codec, raw, dtype as FloatDtype, to);
      const bad = isFloatDtype(written) ? nonFiniteAt(chunk, floatType(written).torch) : -1;
      if (bad >= 0) throw notFinite(place(source, file), name, first + bad, to);
      first += chunk.byteLength / DTYPE_BYTES[written];
      yield chunk;
    }
  };
  return { name, shape, dtype: written, data };
}

function notFinite(file: string, name: string, element: number, to: TorchFloat | null): DataError {
  const as = to === null ? '' : ` as ${to}`;
  return new DataError(
    file,
    `${name}: element ${element} is not finite${as}. Was the checkpoint damaged, or saved from a run that diverged${to === 'float16' ? '; or is it too large for float16' : ''}?`,
  );
}

const CHUNK_BYTES = 2 * 2 ** 20;

async function* rawChunks(source: TensorSource, name: string): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  const { bytes } = source.info(name);
  const buffer = new Uint8Array(Math.min(bytes, CHUNK_BYTES));
  for (let first = 0; first < bytes; first += CHUNK_BYTES) {
    const chunk = buffer.subarray(0, Math.min(CHUNK_BYTES, bytes - first));
    await source.read(name, first, chunk);
    yield chunk;
  }
}

/** Reports a tensor after its last chunk. */
function reported({ source, onTensor }: WriteJob, tensor: TensorToWrite): TensorToWrite {
  return {
    ...tensor,
    data: async function* () {
      yield* tensor.data();
      if (source.has(tensor.name)) onTensor('write', tensor.name);
    },
  };
}
