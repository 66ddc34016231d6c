/** A model directory on the tests' device, with its parts at hand: limits can be injected, and single phases run. */
import { settings, type TrainConfig } from '../../src/config/settings.ts';
import type { PackedDocuments } from '../../src/data/documents.ts';
import { openCheckpoint } from '../../src/formats/checkpoint.ts';
import { readModelConfig } from '../../src/formats/hf-config.ts';
import type { FileReader } from '../../src/formats/reader.ts';
import type { Command } from '../../src/gpu/command.ts';
import type { ProfileLimits } from '../../src/gpu/device-profile.ts';
import { liveCommands } from '../../src/gpu/live.ts';
import { Machine } from '../../src/gpu/machine.ts';
import type { Tape } from '../../src/gpu/tape.ts';
import type { Dtype, Tensor } from '../../src/gpu/tensor.ts';
import { type DeclaredModel, declareModel } from '../../src/model/declare.ts';
import { decoderLogits, decoderLoss } from '../../src/model/decoder.ts';
import { loadModel } from '../../src/model/load.ts';
import type { Checkpointing } from '../../src/model/ops/context.ts';
import type { ComputeDtype } from '../../src/model/weight.ts';
import { loadWasmModule } from '../../src/node/codec.ts';
import { nodeReader } from '../../src/node/files.ts';
import { allocateDocuments, documentContext } from '../../src/train/document-inputs.ts';
import { modelLayout } from '../../src/train/model-layout.ts';
import type { BatchShape } from '../../src/train/shapes.ts';
import { packStepScalars, STEP_BYTES } from '../../src/train/step-scalars.ts';
import { Codec } from '../../src/wasm/codec.ts';
import { createQuantizer } from '../../src/wasm/quantizer.ts';
import { DEFAULT_STEP, device, profileWith, stepTensor } from '../gpu/harness.ts';

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
  readonly checkpointing?: Checkpointing;
  readonly keptInputs?: ComputeDtype;
};

/** Loads a directory and plans its phases. Trainables: adapters start at zero unless written. */
export async function openModel(directory: string, options: OpenOptions) {
  const reader = withConfig(nodeReader(directory), options.configFile ?? 'config.json');
  const config = trainConfig(directory, options.config);
  const [model, source] = [await readModelConfig(reader), await openCheckpoint(reader)];
  const layout = await modelLayout({ config, model, source, adapter: null, maxPositions: options.shape.S });
  const machine = Machine.on(device, profileWith({ limits: { ...device.profile.limits, ...options.limits } }));
  const { residents } = machine;
  const declared = declareModel(residents, layout.spec, device.profile.limits.maxStorageBufferBindingSize);
  const module = await loadWasmModule();
  const context = { device, residents, quantizer: createQuantizer(module), codec: new Codec(module) };
  for await (const _ of loadModel({ ...context, sourceDtype: null }, declared, source)) {
    /* nobody is watching */
  }
  return new OpenModel({ machine, declared }, options);
}

export class OpenModel {
  readonly machine: Machine;
  readonly declared: DeclaredModel;
  readonly shape: BatchShape;
  readonly inputs: Record<'ids' | 'labels' | 'rowLoss' | 'step', Tensor>;
  readonly #kept: { readonly checkpointing: Checkpointing; readonly keptInputs: ComputeDtype };

  constructor(
    { machine, declared }: { readonly machine: Machine; readonly declared: DeclaredModel },
    { shape, checkpointing = 'off', keptInputs = 'f32' }: OpenOptions,
  ) {
    this.machine = machine;
    this.declared = declared;
    this.shape = shape;
    this.#kept = { checkpointing, keptInputs };
    const T = shape.B * shape.S;
    const staged = (label: string, n: number, dtype: Dtype) =>
      machine.residents.tensor({ label, shape: [n], dtype, category: 'staging' });
    this.inputs = {
      ids: staged('input_ids', T, 'u32'),
      labels: staged('labels', T, 'i32'),
      rowLoss: staged('row_loss', T, 'f32'),
      step: stepTensor(machine),
    };
  }

  tape(): Tape {
    return this.machine.tape({ step: this.inputs.step });
  }

  write(tensor: Tensor, data: Float32Array<ArrayBuffer> | Uint32Array<ArrayBuffer> | Int32Array<ArrayBuffer>): void {
    this.machine.write(tensor, data);
  }

  async read(tensor: Tensor): Promise<Float32Array<ArrayBuffer>> {
    return new Float32Array(await this.machine.read(tensor));
  }

  /** Plans what the tape recorded and runs it once, inside error scopes. */
  submit(commands: readonly Command[]): Promise<void> {
    return this.machine.runOnce({ name: 'test', commands });
  }

  /** One forward and backward from cleared gradients, or one evaluation. @returns the loss of every position */
  async run(
    phase: 'train' | 'eval',
    ids: Uint32Array,
    labels: Int32Array,
    documents: PackedDocuments | null = null,
  ): Promise<Float32Array<ArrayBuffer>> {
    const { model, trainable } = this.declared;
    const tape = this.tape();
    const backward = phase === 'train';
    if (backward) for (const { param, grad } of trainable.tensors.values()) tape.bindGrad(param, grad);
    decoderLoss(
      {
        tape,
        computeDtype: 'f32',
        ...this.shape,
        phase,
        ...this.#kept,
        ...(documents === null ? {} : this.#writeDocuments(documents)),
      },
      model,
      this.inputs.ids,
      this.inputs,
      backward,
    );
    this.write(this.inputs.ids, Uint32Array.from(ids));
    this.write(this.inputs.labels, Int32Array.from(labels));
    const scalars = new ArrayBuffer(STEP_BYTES);
    packStepScalars({ ...DEFAULT_STEP, inv_tokens: 1 / labels.filter((l) => l >= 0).length }, scalars);
    this.write(this.inputs.step, new Uint32Array(scalars));
    if (backward) for (const { grad } of trainable.segments) this.write(grad, new Float32Array(grad.elements));
    await this.submit(liveCommands(tape.commands));
    return this.read(this.inputs.rowLoss);
  }

  /** (B * S, V) of the head over the final hidden states: what the loss never holds whole. */
  async logits(ids: Uint32Array<ArrayBuffer>): Promise<Float32Array<ArrayBuffer>> {
    const { model } = this.declared;
    const tape = this.tape();
    const ctx = { tape, computeDtype: 'f32', ...this.shape, phase: 'eval' } as const;
    const shape = [ids.length, model.head.weight.out];
    const y = this.machine.residents.tensor({ label: 'logits', shape, dtype: 'f32', category: 'logits' });
    decoderLogits(ctx, model, this.inputs.ids, { row0: 0, rows: ids.length }, y);
    this.write(this.inputs.ids, ids);
    await this.submit(tape.commands);
    return this.read(y);
  }

  #writeDocuments(documents: PackedDocuments) {
    const T = this.shape.B * this.shape.S;
    const inputs = allocateDocuments(this.machine.residents, T);
    for (const key of ['positions', 'starts', 'ends'] as const)
      this.write(inputs[key], Uint32Array.from(documents[key]));
    return documentContext(inputs, T);
  }

  /** Gradients by trainable name. */
  async gradients(): Promise<Map<string, Float32Array<ArrayBuffer>>> {
    const found = new Map<string, Float32Array<ArrayBuffer>>();
    for (const [name, { grad }] of this.declared.trainable.tensors) found.set(name, await this.read(grad));
    return found;
  }

  destroy(): void {
    this.machine.destroy();
  }
}
