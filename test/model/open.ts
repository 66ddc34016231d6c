/** A model directory on the tests' device, with its parts at hand: limits can be injected, and single phases run. */
import { settings, type TrainConfig } from '../../src/config/settings.ts';
import { openCheckpoint } from '../../src/formats/checkpoint.ts';
import { readModelConfig } from '../../src/formats/hf-config.ts';
import { nodeReader } from '../../src/formats/node.ts';
import type { FileReader } from '../../src/formats/reader.ts';
import { GpuAllocator } from '../../src/gpu/allocator.ts';
import type { ProfileLimits } from '../../src/gpu/device-profile.ts';
import { Ledger } from '../../src/gpu/ledger.ts';
import { Program } from '../../src/gpu/program.ts';
import { Residents } from '../../src/gpu/residents.ts';
import { packStepScalars, STEP_BYTES } from '../../src/gpu/step-scalars.ts';
import type { Tensor } from '../../src/gpu/tensor.ts';
import { Readback, upload } from '../../src/gpu/transfer.ts';
import { declareModel } from '../../src/model/declare.ts';
import { loadModel } from '../../src/model/load.ts';
import { type BatchShape, EngineMemory, planName } from '../../src/train/engine-memory.ts';
import { planModel } from '../../src/train/model-plan.ts';
import { QuantKernels } from '../../src/wasm/kernels.ts';
import { loadWasmModule } from '../../src/wasm/node.ts';
import { createQuantizer } from '../../src/wasm/quantizer.ts';
import { DEFAULT_STEP, device } from '../gpu/harness.ts';

export const GOLDEN = new URL('../golden/', import.meta.url).pathname;

export function trainConfig(directory: string, overrides: Partial<TrainConfig> = {}): TrainConfig {
  return { ...settings.parse({ model_name_or_path: directory }), eval_steps: 1, ...overrides } as TrainConfig;
}

/** Reads `configFile` where config.json is asked for. */
export function withConfig(reader: FileReader, configFile: string): FileReader {
  return { ...reader, readText: (path) => reader.readText(path === 'config.json' ? configFile : path) };
}

export type OpenOptions = {
  readonly config?: Partial<TrainConfig>;
  readonly shape: BatchShape;
  readonly configFile?: string;
  /** What the tape believes of the device. */
  readonly limits?: Partial<ProfileLimits>;
};

/** Loads a directory and plans its phases. Trainables: adapters start at zero unless written. */
export async function openModel(directory: string, options: OpenOptions) {
  const reader = withConfig(nodeReader(directory), options.configFile ?? 'config.json');
  const config = trainConfig(directory, options.config);
  const [model, source] = [await readModelConfig(reader), await openCheckpoint(reader)];
  const plan = await planModel({ config, model, source, adapter: null, maxPositions: options.shape.S });
  const allocator = new GpuAllocator(device.gpu, new Ledger());
  const residents = new Residents(allocator);
  const declared = declareModel(residents, plan.spec, device.profile.limits.maxStorageBufferBindingSize);
  const profile = { ...device.profile, limits: { ...device.profile.limits, ...options.limits } };
  const parts = { allocator, residents, declared, profile, shaders: device.shaders };
  const memory = new EngineMemory(parts, {
    ...{ computeDtype: 'f32', maxGradNorm: 0, gradientAccumulationSteps: 1 },
    optimizer: { beta1: 0.9, beta2: 0.999, eps: 1e-8, weightDecay: 0 },
    ...{ trainShapes: [options.shape], evalShapes: [options.shape] },
  });
  const module = await loadWasmModule();
  const context = { device, residents, quantizer: createQuantizer(module), kernels: new QuantKernels(module) };
  for await (const _ of loadModel({ ...context, sourceDtype: null }, declared, source)) {
    /* nobody is watching */
  }
  return new OpenModel(memory, options.shape);
}

export class OpenModel {
  readonly memory: EngineMemory;
  readonly shape: BatchShape;
  readonly #readback: Readback;

  constructor(memory: EngineMemory, shape: BatchShape) {
    this.memory = memory;
    this.shape = shape;
    this.#readback = new Readback(memory.parts.allocator, 'test.readback', 2 ** 16);
  }

  get declared() {
    return this.memory.parts.declared;
  }

  write(tensor: Tensor, data: Float32Array<ArrayBuffer> | Uint32Array<ArrayBuffer> | Int32Array<ArrayBuffer>): void {
    upload(device, this.memory.parts.residents.allocationOf(tensor.storage), tensor.byteOffset, data);
  }

  async read(tensor: Tensor): Promise<Float32Array<ArrayBuffer>> {
    const from = this.memory.parts.residents.allocationOf(tensor.storage);
    return new Float32Array((await this.#readback.read(device, from, tensor.byteOffset, tensor.bytes)).buffer);
  }

  /** One forward and backward from cleared gradients, or one evaluation. @returns the loss of every position */
  async run(phase: 'micro' | 'eval', ids: Uint32Array, labels: Int32Array): Promise<Float32Array<ArrayBuffer>> {
    const { inputs, arena, parts } = this.memory;
    const prepared = this.memory.prepared.get(planName(phase, this.shape));
    if (prepared === undefined) throw new Error(`no plan for ${phase}`);
    const program = await Program.compile(device, prepared, { residents: parts.residents, arena });
    this.write(inputs.ids, Uint32Array.from(ids));
    this.write(inputs.labels, Int32Array.from(labels));
    const scalars = new ArrayBuffer(STEP_BYTES);
    packStepScalars({ ...DEFAULT_STEP, inv_tokens: 1 / labels.filter((l) => l >= 0).length }, scalars);
    this.write(inputs.step, new Uint32Array(scalars));
    for (const { grad } of parts.declared.trainable.segments) this.write(grad, new Float32Array(grad.elements));
    await device.guarded(phase, async () => {
      program.run();
      await device.gpu.queue.onSubmittedWorkDone();
    });
    return (await this.read(inputs.rowLoss)).slice(0, ids.length);
  }

  /** Gradients by trainable name. */
  async gradients(): Promise<Map<string, Float32Array<ArrayBuffer>>> {
    const found = new Map<string, Float32Array<ArrayBuffer>>();
    for (const [name, { grad }] of this.declared.trainable.tensors) found.set(name, await this.read(grad));
    return found;
  }

  destroy(): void {
    this.memory.arena.destroy();
    this.memory.parts.residents.destroy();
    for (const { params } of this.memory.prepared.values()) this.memory.parts.allocator.free(params);
    for (const { staging } of [...this.memory.staging, this.#readback]) this.memory.parts.allocator.free(staging);
  }
}
