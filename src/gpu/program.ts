/** A plan made ready to replay: parameters written once, bind groups built once, then one submit per run. */
import { KernelCallError } from '../errors.ts';
import type { Allocation, Allocator } from './allocator.ts';
import type { Arena } from './arena.ts';
import type { DispatchCommand } from './command.ts';
import type { Device, Pipeline } from './device.ts';
import { alignUp, BINDING_ALIGNMENT } from './device-profile.ts';
import { PARAMS_BINDING } from './kernel.ts';
import type { Plan } from './plan.ts';
import type { Residents } from './residents.ts';
import type { Storage, Tensor } from './tensor.ts';

/** A plan with its parameter buffer. Needs no device, so that an estimate counts the same bytes. */
export type PreparedPlan = {
  readonly plan: Plan;
  readonly params: Allocation;
  readonly paramBytes: Uint8Array;
  /** Byte offset of each command's Params in the buffer. */
  readonly paramOffsets: readonly number[];
};

/** Lays out all Params of a plan in one uniform buffer; equal ones are stored once. */
export function preparePlan(plan: Plan, allocator: Allocator): PreparedPlan {
  const blocks: Uint8Array[] = [];
  const offsetOf = new Map<string, number>();
  const paramOffsets: number[] = [];
  let end = 0;
  for (const command of plan.commands) {
    const bytes = command.kind === 'dispatch' ? command.params : new Uint8Array();
    const key = bytes.join();
    let offset = offsetOf.get(key);
    if (offset === undefined) {
      offset = end;
      end += alignUp(Math.max(bytes.length, 1));
      offsetOf.set(key, offset);
      blocks.push(bytes);
    }
    paramOffsets.push(offset);
  }
  const paramBytes = new Uint8Array(Math.max(end, BINDING_ALIGNMENT));
  let at = 0;
  for (const block of blocks) {
    paramBytes.set(block, at);
    at += alignUp(Math.max(block.length, 1));
  }
  const params = allocator.allocate({
    label: `${plan.name}.params`,
    category: 'workspace',
    bytes: paramBytes.length,
    usage: 'uniform',
  });
  return { plan, params, paramBytes, paramOffsets };
}

/** Compiles the pipelines of several plans at once: the driver's threads take them as they come. @throws DeviceError */
export async function compilePipelines(device: Device, plans: readonly PreparedPlan[]): Promise<void> {
  const kernels = new Set(
    plans.flatMap(({ plan }) => plan.commands.flatMap((c) => (c.kind === 'dispatch' ? c.kernel : []))),
  );
  await device.guarded('compiling', () => Promise.all([...kernels].map((kernel) => device.pipeline(kernel))));
}

type Step =
  | {
      readonly kind: 'dispatch';
      readonly pipeline: GPUComputePipeline;
      readonly group: GPUBindGroup;
      readonly grid: readonly [number, number];
      readonly label: string;
    }
  | { readonly kind: 'copy'; readonly from: GPUBufferBinding; readonly to: GPUBufferBinding; readonly size: number }
  | { readonly kind: 'clear'; readonly target: GPUBufferBinding; readonly size: number };

/** The memory that a program binds: residents in their own buffers, planned storages in their arena slots. */
export type Memory = { readonly residents: Residents; readonly arena: Arena };

export class Program {
  readonly name: string;
  readonly #steps: readonly Step[];

  private constructor(name: string, steps: readonly Step[]) {
    this.name = name;
    this.#steps = steps;
  }

  /** Compiles pipelines in parallel, writes the parameters, builds every bind group. @throws DeviceError */
  static async compile(device: Device, prepared: PreparedPlan, memory: Memory): Promise<Program> {
    const { plan } = prepared;
    const dispatches = plan.commands.filter((c) => c.kind === 'dispatch');
    const kernels = new Map(dispatches.map((c) => [c.kernel.key, c.kernel]));
    const pipelines = new Map<string, Pipeline>();
    return device.guarded(`${plan.name}: building`, async () => {
      await Promise.all([...kernels].map(async ([key, kernel]) => pipelines.set(key, await device.pipeline(kernel))));
      device.gpu.queue.writeBuffer(bufferOf(prepared.params), 0, prepared.paramBytes as Uint8Array<ArrayBuffer>);
      const locate = (tensor: Tensor): GPUBufferBinding => locateTensor(plan, memory, tensor);
      const steps = plan.commands.map((command, i): Step => {
        if (command.kind === 'copy')
          return { kind: 'copy', from: locate(command.from), to: locate(command.to), size: command.from.bytes };
        if (command.kind === 'clear') {
          const target = locate(command.tensor);
          return { kind: 'clear', target, size: target.size as number };
        }
        const pipeline = pipelines.get(command.kernel.key) as Pipeline;
        const params = {
          buffer: bufferOf(prepared.params),
          offset: prepared.paramOffsets[i] as number,
          size: Math.max(16, alignUp(command.params.length, 16)),
        };
        const group = bindGroup(device, command, pipeline, locate, params);
        return { kind: 'dispatch', pipeline: pipeline.pipeline, group, grid: command.grid, label: command.kernel.key };
      });
      return new Program(plan.name, steps);
    });
  }

  get dispatchCount(): number {
    return this.#steps.filter((s) => s.kind === 'dispatch').length;
  }

  /** Records the whole program. `timestamps` puts every dispatch in a pass of its own. */
  encode(encoder: GPUCommandEncoder, timestamps?: (label: string) => GPUComputePassTimestampWrites | undefined): void {
    let pass: GPUComputePassEncoder | null = null;
    // A pass keeps its pipeline: two dispatches in five of a step have that of the one before.
    let current: GPUComputePipeline | null = null;
    for (const step of this.#steps) {
      if (step.kind === 'dispatch') {
        const timestampWrites = timestamps?.(step.label);
        pass ??= encoder.beginComputePass({ label: this.name, ...(timestampWrites && { timestampWrites }) });
        if (step.pipeline !== current) pass.setPipeline(step.pipeline);
        current = step.pipeline;
        pass.setBindGroup(0, step.group);
        pass.dispatchWorkgroups(...step.grid);
        if (timestamps === undefined) continue;
      }
      pass?.end();
      pass = null;
      current = null;
      if (step.kind === 'copy') copy(encoder, step);
      if (step.kind === 'clear') encoder.clearBuffer(step.target.buffer, step.target.offset ?? 0, step.size);
    }
    pass?.end();
  }
}

function copy(encoder: GPUCommandEncoder, { from, to, size }: Step & { kind: 'copy' }): void {
  encoder.copyBufferToBuffer(from.buffer, from.offset ?? 0, to.buffer, to.offset ?? 0, size);
}

function bindGroup(
  device: Device,
  command: DispatchCommand,
  { layout }: Pipeline,
  locate: (tensor: Tensor) => GPUBufferBinding,
  params: GPUBufferBinding,
): GPUBindGroup {
  const entries: GPUBindGroupEntry[] = command.bindings.map((b) => ({ binding: b.index, resource: locate(b.tensor) }));
  const own = command.kernel.bindings.find((b) => b.name === PARAMS_BINDING);
  if (own !== undefined) entries.push({ binding: own.index, resource: params });
  return device.gpu.createBindGroup({ label: command.kernel.key, layout, entries });
}

function locateTensor(plan: Plan, { residents, arena }: Memory, tensor: Tensor): GPUBufferBinding {
  const storage: Storage = tensor.storage;
  const allocation = storage.resident ? residents.allocationOf(storage) : arena.allocationOf(plan, storage);
  // Vec4 views need whole vectors; every buffer ends on one.
  return { buffer: bufferOf(allocation), offset: tensor.byteOffset, size: Math.max(16, alignUp(tensor.bytes, 16)) };
}

export function bufferOf(allocation: Allocation): GPUBuffer {
  if (allocation.buffer === null)
    throw new KernelCallError(allocation.entry.label, 'has no buffer: an estimate cannot run');
  return allocation.buffer;
}
