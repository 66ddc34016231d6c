#!/usr/bin/env node
/** Our 4-bit codes, scales and dequantized weights against bitsandbytes', byte by byte. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { readBnb4bit } from '#dist/formats/bnb4bit.js';
import { openCheckpoint, openSafetensors } from '#dist/formats/checkpoint.js';
import { readModelConfig } from '#dist/formats/hf-config.js';
import { allLinears } from '#dist/model/modules.js';
import { prequantizedState } from '#dist/model/prequantized.js';
import { loadWasmModule } from '#dist/node/codec.js';
import { nodeReader } from '#dist/node/files.js';
import { dequantize4bit, quantize4bit } from '#dist/wasm/buffers.js';
import { Codec, dtypeCode, MAX_SLAB_BYTES, REGION } from '#dist/wasm/codec.js';
import { dequantizeOnGpu, openGpu } from './gpu.mjs';
import { options, python, record, withScratch } from './peer.mjs';

/** The module's number for FP4 as bitsandbytes encodes it on a CPU; no setting reaches it. */
const FP4_CPU = 2;
const QUANT_TYPES = /** @type {const} */ (['nf4', 'fp4']);
/** One nibble in a million may differ where another reciprocal was taken (CUDA's approximate one). */
const F32_TOLERANCE = 1e-6;

const given = options('quantization', 'Takes a minute and 0.3 GB of scratch. NIBBLE_DEVICE picks the device.');
const codec = new Codec(await loadWasmModule());
/** @type {import('../shared/records.mjs').Figure[]} */
const figures = [];
/** @type {(what: string, reached: number, bound: number | null, unit: string, more?: string) => void} */
const note = (what, reached, bound, unit, more) => {
  figures.push({ what, reached, bound, unit, ...(more === undefined ? {} : { note: more }) });
};

/** @typedef {import('#dist/wasm/types.js').SourceDtype} SourceDtype */
/** @typedef {import('#dist/wasm/types.js').QuantType} QuantType */
/** @typedef {(name: string) => Uint8Array<ArrayBuffer>} ReadFile */
/** @typedef {{ dtype: SourceDtype, raw: Uint8Array<ArrayBuffer>, elements: number, offset: number }} Source offset: bitsandbytes', of nested scales */

/**
 * @typedef {object} Meta what quantization.py wrote
 * @property {{ dtype: SourceDtype, elements: number, offset: number }[]} quantized
 * @property {{ sizes: number[], elements: number }} blocks
 * @property {{ case: string, bitsandbytes_differs: number }[]} given
 * @property {Record<string, string>} versions
 */

/** @param {Uint8Array<ArrayBuffer>} raw @param {SourceDtype} dtype @param {QuantType} quantType @param {number} [blockSize] */
function quantizePlain(raw, dtype, quantType, blockSize = 64) {
  const { packed, state } = quantize4bit(codec, raw, dtype, { quantType, blockSize, doubleQuant: false });
  if (state.nested) throw new Error('asked for plain scales');
  return { packed, absmax: state.absmax };
}

/** @param {Uint8Array<ArrayBuffer>} raw @param {SourceDtype} dtype */
function quantizeNested(raw, dtype) {
  const { state } = quantize4bit(codec, raw, dtype, { quantType: 'nf4', blockSize: 64, doubleQuant: true });
  if (!state.nested) throw new Error('asked for nested scales');
  return state;
}

/** @param {ArrayBufferView} a @param {ArrayBufferView} b @returns bytes */
function differing(a, b) {
  if (a.byteLength !== b.byteLength) throw new Error(`${a.byteLength} bytes against ${b.byteLength}`);
  const [x, y] = [a, b].map((v) => new Uint8Array(v.buffer, v.byteOffset, v.byteLength));
  if (Buffer.compare(x, y) === 0) return 0;
  return x.reduce((count, byte, i) => count + (byte === y[i] ? 0 : 1), 0);
}

/** @param {Uint8Array} a @param {Uint8Array} b @returns packed nibbles, of which a byte has two */
function differingNibbles(a, b) {
  let count = 0;
  a.forEach((byte, i) => {
    const x = byte ^ b[i];
    count += (x >> 4 === 0 ? 0 : 1) + ((x & 15) === 0 ? 0 : 1);
  });
  return count;
}

/** FP4 by bitsandbytes' CPU table. @param {Uint8Array} raw @param {SourceDtype} dtype */
function quantizeAsCpu(raw, dtype, blockSize = 64) {
  const [base, size] = [codec.region(0), dtype === 'float32' ? 4 : 2];
  const packed = new Uint8Array(raw.byteLength / size / 2);
  for (let first = 0; first < raw.byteLength; first += MAX_SLAB_BYTES) {
    const part = raw.subarray(first, first + MAX_SLAB_BYTES);
    codec.bytes(base, part.byteLength).set(part);
    const elements = part.byteLength / size;
    const target = base + REGION.packed;
    codec.wasm.quantize4bit(FP4_CPU, dtypeCode(dtype), base, elements, blockSize, target, base + REGION.absmax);
    packed.set(codec.bytes(target, elements / 2), first / size / 2);
  }
  return packed;
}

/** @param {string} folder @param {Meta} meta */
function compareCodes(folder, meta) {
  /** @type {ReadFile} */
  const file = (name) => new Uint8Array(readFileSync(path.join(folder, name)));
  for (const { dtype, elements, offset } of meta.quantized) {
    const source = { dtype, raw: file(`${dtype}.source`), elements, offset };
    const of = `of ${elements.toLocaleString('en-US')} elements from ${dtype}`;
    for (const quantType of QUANT_TYPES) {
      const { packed, absmax } = quantizePlain(source.raw, dtype, quantType);
      const scales = differing(absmax, file(`${dtype}.${quantType}.absmax`));
      note(`absmax, ${quantType}, ${of}`, scales, 0, 'differing bytes');
      if (quantType === 'nf4') compareNf4(file, source, of, packed);
      else compareFp4(file, source, of, packed);
    }
    compareNested(file, source);
  }
  compareBlockSizes(file, meta.blocks);
}

/** @param {Pick<Source, 'dtype' | 'elements'>} source */
function codeBound({ dtype, elements }) {
  return dtype === 'float32' ? Math.floor(elements * F32_TOLERANCE) : 0;
}

/** @param {ReadFile} file @param {Source} source @param {string} of @param {Uint8Array} packed */
function compareNf4(file, source, of, packed) {
  const theirs = file(`${source.dtype}.nf4.packed`);
  note(`packed codes, nf4, ${of}`, differing(packed, theirs), codeBound(source), 'differing bytes');
}

/** @param {ReadFile} file @param {Source} source @param {string} of @param {Uint8Array} packed */
function compareFp4(file, source, of, packed) {
  const { dtype, raw } = source;
  const theirs = file(`${dtype}.fp4.packed`);
  const bound = codeBound(source);
  note(
    `packed codes, fp4 by bitsandbytes' CPU table, ${of}`,
    differing(quantizeAsCpu(raw, dtype), theirs),
    bound,
    'differing bytes',
    'an encoding that exists for this comparison; no setting reaches it',
  );
  note(
    `packed codes, fp4 as shipped (CUDA's table), ${of}, against that rule in numpy`,
    differing(packed, file(`${dtype}.fp4.cuda`)),
    bound,
    'differing bytes',
  );
  const { zeros, sizes } = fp4Differences(packed, theirs);
  const tables = `fp4: CUDA's table against the CPU's, ${of}`;
  note(`${tables}: another magnitude`, sizes, null, 'nibbles', 'values within 14 ulp of a threshold');
  note(`${tables}: the other of the two zeros`, zeros, null, 'nibbles', 'both decode to zero');
}

/** @param {ReadFile} file @param {Source} source */
function compareNested(file, { dtype, raw, offset }) {
  const double = quantizeNested(raw, dtype);
  const codes = `nested codes, ${double.codes.length.toLocaleString('en-US')} of nf4 from ${dtype}`;
  const byRule = differing(double.codes, file(`${dtype}.codes`));
  note(`${codes}, against the midpoint rule in numpy`, byRule, 0, 'differing codes');
  const scales = differing(double.nestedAbsmax, file(`${dtype}.nested_absmax`));
  note(`nested absmax and offset of these`, scales + (double.offset === offset ? 0 : 1), 0, 'differing bytes');
  note(
    `${codes}, against bitsandbytes' CPU table`,
    differing(double.codes, file(`${dtype}.bnb_codes`)),
    null,
    'differing codes',
    'its table of 65,536 entries is an approximation',
  );
}

/** @param {ReadFile} file @param {Meta['blocks']} blocks */
function compareBlockSizes(file, { sizes, elements }) {
  const raw = file('blocks.source');
  for (const quantType of QUANT_TYPES) {
    let [bytes, scales] = [0, 0];
    for (const blockSize of sizes) {
      const { packed, absmax } = quantizePlain(raw, 'bfloat16', quantType, blockSize);
      const theirs = file(`blocks${blockSize}.${quantType}.packed`);
      bytes += differing(quantType === 'nf4' ? packed : quantizeAsCpu(raw, 'bfloat16', blockSize), theirs);
      scales += differing(absmax, file(`blocks${blockSize}.${quantType}.absmax`));
    }
    const table = quantType === 'nf4' ? 'nf4' : "fp4 by bitsandbytes' CPU table";
    const what = `${table} in blocks of ${sizes.join(', ')}, ${elements.toLocaleString('en-US')} elements from bfloat16 each`;
    note(`packed codes, ${what}`, bytes, 0, 'differing bytes');
    note(`absmax, ${what}`, scales, 0, 'differing bytes');
  }
}

/** Nibbles that differ only in the sign of zero, and the others. @param {Uint8Array} a @param {Uint8Array} b */
function fp4Differences(a, b) {
  const all = differingNibbles(a, b);
  const unsigned = (/** @type {Uint8Array} */ packed) =>
    packed.map((byte) => (byte & 0x70 ? byte & 0xf0 : 0) | (byte & 0x07 ? byte & 0x0f : 0));
  const sizes = differingNibbles(unsigned(a), unsigned(b));
  return { sizes, zeros: all - sizes };
}

/** @param {string} folder @param {Meta} meta @param {import('./gpu.mjs').Gpu} gpu */
async function compareGiven(folder, meta, gpu) {
  let [elements, wasmBytes, gpuPlain, gpuNested, theirs, nestedElements] = [0, 0, 0, 0, 0, 0];
  for (const { case: name, bitsandbytes_differs } of meta.given) {
    const reader = nodeReader(path.join(folder, name));
    const source = await openCheckpoint(reader);
    const wanted = await openSafetensors(nodeReader(folder), `${name}.safetensors`);
    const config = await readModelConfig(reader);
    theirs += bitsandbytes_differs;
    const onGpu = await dequantizeOnGpu(gpu, config, source);
    for (const { name: module, out, in: width } of allLinears(config)) {
      const weight = `${module}.weight`;
      const stored = await readBnb4bit(source, weight);
      const decoded = onGpu.get(weight);
      if (stored === null || decoded === undefined) throw new Error(`${name}: ${weight} is not quantized`);
      const state = await prequantizedState(source, weight, stored);
      const packed = new Uint8Array(stored.packed.bytes);
      await source.read(weight, 0, packed);
      const spec = { quantType: stored.quantType, blockSize: stored.blockSize };
      elements += out * width;
      for (const [kind, dtype] of DECODED) {
        const want = await bytesOf(wanted, `${module}.${kind}`);
        wasmBytes += differing(dequantize4bit(codec, { packed, state }, out * width, spec, dtype), want);
        if (kind !== 'f32') continue;
        const count = differingElements(decoded, new Float32Array(want.buffer));
        if (state.nested) [gpuNested, nestedElements] = [gpuNested + count, nestedElements + out * width];
        else gpuPlain += count;
      }
    }
  }
  const of = `${meta.given.length} checkpoints that transformers saved (nf4 and fp4, plain and nested, four storage types, eight block sizes; ${elements.toLocaleString('en-US')} weights)`;
  note(`weights of ${of}, to f32 and to bf16, in WebAssembly`, wasmBytes, 0, 'differing bytes');
  note(
    `the same by bitsandbytes' own dequantization, where in_features is a multiple of the block`,
    theirs,
    0,
    'differing bytes',
    'the reference above is the definition; this shows that bitsandbytes agrees with it',
  );
  note(`those with plain scales, to f32, loaded and decoded on the GPU`, gpuPlain, 0, 'differing weights');
  note(
    `those with nested scales (${nestedElements.toLocaleString('en-US')} weights), likewise`,
    gpuNested,
    null,
    'differing weights',
    "WGSL may fuse the multiply and add of a nested scale, as bitsandbytes' own CUDA kernels do: 1 ulp of the scale",
  );
}

/** What weights are decoded to. */
const DECODED = /** @type {const} */ ([
  ['f32', 'float32'],
  ['bf16', 'bfloat16'],
]);

/** @param {Float32Array} a @param {Float32Array} b */
function differingElements(a, b) {
  if (a.length !== b.length) throw new Error(`${a.length} elements against ${b.length}`);
  const [x, y] = [a, b].map((v) => new Uint32Array(v.buffer, v.byteOffset, v.length));
  return x.reduce((count, bits, i) => count + (bits === y[i] ? 0 : 1), 0);
}

/** @param {import('#dist/formats/checkpoint.js').TensorSource} source @param {string} name */
async function bytesOf(source, name) {
  const bytes = new Uint8Array(source.info(name).bytes);
  await source.read(name, 0, bytes);
  return bytes;
}

await withScratch(given, async (folder) => {
  python(given, 'quantization.py', folder);
  /** @type {Meta} */
  const meta = JSON.parse(readFileSync(path.join(folder, 'meta.json'), 'utf8'));
  compareCodes(folder, meta);
  const gpu = await openGpu();
  try {
    await compareGiven(folder, meta, gpu);
    const title = '4-bit codes, scales and dequantized weights against bitsandbytes';
    record(given, 'quantization', { row: 1, title, adapter: gpu.adapterName, versions: meta.versions, figures });
  } finally {
    await gpu.close();
  }
});
