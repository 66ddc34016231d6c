/** The 4-bit weights of a checkpoint as the GPU decodes them: our loader, our kernel, the result read back. */

import { readBnb4bit } from '#dist/formats/bnb4bit.js';
import { GpuAllocator } from '#dist/gpu/allocator.js';
import { Arena } from '#dist/gpu/arena.js';
import { Ledger } from '#dist/gpu/ledger.js';
import { makePlan } from '#dist/gpu/plan.js';
import { Program, preparePlan } from '#dist/gpu/program.js';
import { Residents } from '#dist/gpu/residents.js';
import { Tape } from '#dist/gpu/tape.js';
import { Readback } from '#dist/gpu/transfer.js';
import { dequant4bit } from '#dist/kernels/dequant.js';
import { declareModel } from '#dist/model/declare.js';
import { loadModel } from '#dist/model/load.js';
import { loadWasmModule } from '#dist/node/codec.js';
import { closeDevice, openDevice } from '#dist/node/device.js';
import { STEP_BYTES } from '#dist/train/step-scalars.js';
import { Codec } from '#dist/wasm/codec.js';
import { createQuantizer } from '#dist/wasm/quantizer.js';
import { chosenDevice, nameOf } from '../shared/device.mjs';

/** @typedef {Awaited<ReturnType<typeof openGpu>>} Gpu */

export async function openGpu() {
  const device = await openDevice({ adapter: chosenDevice() });
  return { device, adapterName: nameOf(device), close: () => closeDevice(device) };
}

/**
 * @param {Gpu} gpu
 * @param {import('#dist/formats/hf-config.js').ModelConfig} config
 * @param {import('#dist/formats/checkpoint.js').TensorSource} source
 * @returns {Promise<Map<string, Float32Array>>} weights by tensor name
 */
export async function dequantizeOnGpu({ device }, config, source) {
  const allocator = new GpuAllocator(device.gpu, new Ledger());
  const residents = new Residents(allocator);
  const records = new Map();
  for (const name of source.names()) {
    const stored = name.endsWith('.weight') ? await readBnb4bit(source, name) : null;
    if (stored !== null) records.set(name.replace(/\.weight$/, ''), stored);
  }
  /** @type {(module: string) => import('#dist/model/declare.js').StoredAs} */
  const storedAs = (module) => {
    const stored = records.get(module);
    if (stored === undefined) return { kind: 'dense', dtype: 'f32' };
    const { quantType, blockSize, nested } = stored;
    return { kind: '4bit', quantType, blockSize, doubleQuant: nested !== undefined };
  };
  const spec = { config, full: false, storedAs, lora: null, maxPositions: 8 };
  const declared = declareModel(residents, spec, device.profile.limits.maxStorageBufferBindingSize);
  const module = await loadWasmModule();
  const context = {
    device,
    residents,
    quantizer: createQuantizer(module),
    codec: new Codec(module),
    sourceDtype: null,
  };
  for await (const _ of loadModel(context, declared, source));
  /** @type {(label: string, n: number, dtype: 'f32' | 'u32', usage?: 'storage' | 'uniform') => import('#dist/gpu/tensor.js').Tensor} */
  const resident = (label, n, dtype, usage = 'storage') =>
    residents.tensor({ label, shape: [n], dtype, category: 'staging', usage });
  const step = resident('step', STEP_BYTES / 4, 'u32', 'uniform');
  const tape = new Tape({ profile: device.profile, shaders: device.shaders, step });
  const found = new Map();
  for (const [name, weight] of declared.weights) {
    if (weight.kind !== '4bit') continue;
    const { blockSize, packed, scales, tables } = weight;
    const n = weight.out * weight.in;
    const w = resident(`${name}.f32`, n, 'f32');
    dequant4bit(tape, { n, blockSize, firstBlock: 0, packed, scales, tables, w });
    found.set(name, w);
  }
  const plan = makePlan('dequantize', tape.commands);
  const arena = new Arena(allocator, [plan]);
  const prepared = preparePlan(plan, allocator);
  const program = await Program.compile(device, prepared, { residents, arena });
  await device.guarded('dequantize', async () => {
    program.run();
    await device.gpu.queue.onSubmittedWorkDone();
  });
  const readback = new Readback(allocator, 'readback', Math.max(...[...found.values()].map((w) => w.bytes)));
  const values = new Map();
  for (const [name, w] of found) {
    const bytes = await readback.read(device, residents.allocationOf(w.storage), w.byteOffset, w.bytes);
    values.set(name, new Float32Array(bytes.buffer, bytes.byteOffset, w.elements).slice());
  }
  residents.destroy();
  arena.destroy();
  allocator.free(readback.staging);
  allocator.free(prepared.params);
  return values;
}
