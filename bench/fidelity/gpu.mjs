/** The 4-bit weights of a checkpoint as the GPU decodes them: our loader, our kernel, the result read back. */

import { readBnb4bit } from '#dist/formats/bnb4bit.js';
import { Machine } from '#dist/gpu/machine.js';
import { dequant4bit } from '#dist/kernels/dequant.js';
import { declareModel } from '#dist/model/declare.js';
import { loadModel } from '#dist/model/load.js';
import { loadWasmModule } from '#dist/node/codec.js';
import { closeDevice, openDevice } from '#dist/node/device.js';
import { Codec } from '#dist/wasm/codec.js';
import { createQuantizer } from '#dist/wasm/quantizer.js';
import { chosenDevice, nameOf } from '../shared/device.mjs';

/** @typedef {Awaited<ReturnType<typeof openGpu>>} Gpu */

export async function openGpu() {
  const device = await openDevice({ device: chosenDevice() });
  return { device, adapterName: nameOf(device), close: () => closeDevice(device) };
}

/**
 * @param {Gpu} gpu
 * @param {import('#dist/formats/hf-config.js').ModelConfig} config
 * @param {import('#dist/formats/checkpoint.js').TensorSource} source
 * @returns {Promise<Map<string, Float32Array>>} weights by tensor name
 */
export async function dequantizeOnGpu({ device }, config, source) {
  const machine = Machine.on(device);
  const { residents } = machine;
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
  const rec = machine.recorder();
  const found = new Map();
  for (const [name, weight] of declared.weights) {
    if (weight.kind !== '4bit') continue;
    const { blockSize, packed, scales, tables } = weight;
    const n = weight.out * weight.in;
    const w = residents.tensor({ label: `${name}.f32`, shape: [n], dtype: 'f32', category: 'staging' });
    dequant4bit(rec, { n, blockSize, firstBlock: 0, packed, scales, tables, w });
    found.set(name, w);
  }
  await machine.runOnce({ name: 'dequantize', commands: rec.commands });
  const values = new Map();
  for (const [name, w] of found) values.set(name, new Float32Array(await machine.read(w)));
  machine.destroy();
  return values;
}
