#!/usr/bin/env node
/**
 * Row 1 of docs/fidelity.md: our 4-bit codes, scales and dequantized weights against bitsandbytes', byte by byte.
 * `node bench/fidelity/quantization.mjs --python PYTHON` over dist/; NIBBLE_DEVICE chooses the device.
 */
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
/** numerics: one nibble in a million may differ where another reciprocal was taken (CUDA's approximate one). */
const F32_TOLERANCE = 1e-6;

const given = options();
const codec = new Codec(await loadWasmModule());
const figures = [];
const note = (what, reached, bound, unit, more) =>
  figures.push({ what, reached, bound, unit, ...(more === undefined ? {} : { note: more }) });

function differing(a, b) {
  if (a.byteLength !== b.byteLength) throw new Error(`${a.byteLength} bytes against ${b.byteLength}`);
  const [x, y] = [a, b].map((v) => new Uint8Array(v.buffer, v.byteOffset, v.byteLength));
  if (Buffer.compare(x, y) === 0) return 0;
  return x.reduce((count, byte, i) => count + (byte === y[i] ? 0 : 1), 0);
}

/** Of packed nibbles, not of bytes. */
function differingNibbles(a, b) {
  let count = 0;
  a.forEach((byte, i) => {
    const x = byte ^ b[i];
    if (x !== 0) count += (x >> 4 !== 0) + ((x & 15) !== 0);
  });
  return count;
}

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

function compareCodes(folder, meta) {
  const file = (name) => new Uint8Array(readFileSync(path.join(folder, name)));
  for (const { dtype, elements, offset } of meta.quantized) {
    const source = { dtype, raw: file(`${dtype}.source`), elements, offset };
    const of = `of ${elements.toLocaleString('en-US')} elements from ${dtype}`;
    for (const quantType of ['nf4', 'fp4']) {
      const options = { quantType, blockSize: 64, doubleQuant: false };
      const { packed, state } = quantize4bit(codec, source.raw, dtype, options);
      const absmax = differing(state.absmax, file(`${dtype}.${quantType}.absmax`));
      note(`absmax, ${quantType}, ${of}`, absmax, 0, 'differing bytes');
      if (quantType === 'nf4') compareNf4(file, source, of, packed);
      else compareFp4(file, source, of, packed);
    }
    compareNested(file, source);
  }
  compareBlockSizes(file, meta.blocks);
}

function codeBound({ dtype, elements }) {
  return dtype === 'float32' ? Math.floor(elements * F32_TOLERANCE) : 0;
}

function compareNf4(file, source, of, packed) {
  const theirs = file(`${source.dtype}.nf4.packed`);
  note(`packed codes, nf4, ${of}`, differing(packed, theirs), codeBound(source), 'differing bytes');
}

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

function compareNested(file, { dtype, raw, offset }) {
  const options = { quantType: 'nf4', blockSize: 64, doubleQuant: true };
  const double = quantize4bit(codec, raw, dtype, options).state;
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

function compareBlockSizes(file, { sizes, elements }) {
  const raw = file('blocks.source');
  for (const quantType of ['nf4', 'fp4']) {
    let [bytes, scales] = [0, 0];
    for (const blockSize of sizes) {
      const { packed, state } = quantize4bit(codec, raw, 'bfloat16', { quantType, blockSize, doubleQuant: false });
      const theirs = file(`blocks${blockSize}.${quantType}.packed`);
      bytes += differing(quantType === 'nf4' ? packed : quantizeAsCpu(raw, 'bfloat16', blockSize), theirs);
      scales += differing(state.absmax, file(`blocks${blockSize}.${quantType}.absmax`));
    }
    const table = quantType === 'nf4' ? 'nf4' : "fp4 by bitsandbytes' CPU table";
    const what = `${table} in blocks of ${sizes.join(', ')}, ${elements.toLocaleString('en-US')} elements from bfloat16 each`;
    note(`packed codes, ${what}`, bytes, 0, 'differing bytes');
    note(`absmax, ${what}`, scales, 0, 'differing bytes');
  }
}

/** Nibbles that differ only in the sign of zero, and the others. */
function fp4Differences(a, b) {
  const all = differingNibbles(a, b);
  const unsigned = (packed) => packed.map((byte) => (byte & 0x70 ? byte & 0xf0 : 0) | (byte & 0x07 ? byte & 0x0f : 0));
  const sizes = differingNibbles(unsigned(a), unsigned(b));
  return { sizes, zeros: all - sizes };
}

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
      const state = await prequantizedState(source, weight, stored);
      const packed = new Uint8Array(stored.packed.bytes);
      await source.read(weight, 0, packed);
      const spec = { quantType: stored.quantType, blockSize: stored.blockSize };
      elements += out * width;
      for (const [kind, dtype] of [
        ['f32', 'float32'],
        ['bf16', 'bfloat16'],
      ]) {
        const want = await bytesOf(wanted, `${module}.${kind}`);
        wasmBytes += differing(dequantize4bit(codec, { packed, state }, out * width, spec, dtype), want);
        if (kind !== 'f32') continue;
        const count = differingElements(onGpu.get(weight), new Float32Array(want.buffer));
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

function differingElements(a, b) {
  if (a.length !== b.length) throw new Error(`${a.length} elements against ${b.length}`);
  const [x, y] = [a, b].map((v) => new Uint32Array(v.buffer, v.byteOffset, v.length));
  return x.reduce((count, bits, i) => count + (bits === y[i] ? 0 : 1), 0);
}

async function bytesOf(source, name) {
  const bytes = new Uint8Array(source.info(name).bytes);
  await source.read(name, 0, bytes);
  return bytes;
}

await withScratch(given, async (folder) => {
  python(given, 'quantization.py', folder);
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
