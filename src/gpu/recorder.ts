/** Records a phase as a list of commands over symbolic tensors, and checks each: all of the GPU that a kernel's host half sees. */
import { DeviceError, KernelCallError } from '../errors.ts';
import type { Category } from './category.ts';
import type { BoundTensor, Command } from './command.ts';
import type { DeviceProfile } from './device-profile.ts';
import { type Binding, PARAMS_BINDING, packParams, requireSameNames, type ShaderLibrary } from './kernel.ts';
import type { KernelSpec } from './kernel-spec.ts';
import { bytesOf, type Dtype, Tensor } from './tensor.ts';

export type DispatchCall = KernelSpec & {
  readonly params: Readonly<Record<string, number>>;
  /** Tensors by the names in the shader; the second form also says how many elements the kernel touches. */
  readonly buffers: Readonly<Record<string, Tensor | readonly [Tensor, elements: number]>>;
} & Work;

/** Invocations that a kernel of the usual workgroup size needs, rounded up to workgroups; or workgroups of its own size. */
type Work = { readonly threads: number } | { readonly workgroups: number };

/**
 * Resident tensors that a phase binds by itself, by the name of a shader's binding: the trainer's step, the word of flags. They
 * hold what changes from run to run, which the parameters of a recorded dispatch cannot.
 */
export type Ambient = Readonly<Record<string, Tensor>>;

/** Where a kernel writes a gradient: `accumulate` false means that it is the first writer and stores. */
export type GradTarget = { readonly grad: Tensor; readonly accumulate: boolean };

export type RecorderOptions = {
  readonly profile: DeviceProfile;
  readonly shaders: ShaderLibrary;
  readonly ambient?: Ambient;
};

/** What a planned tensor is; f32 activations without a gradient where nothing is said. */
export type TensorOptions = { dtype?: Dtype; category?: Category; requiresGrad?: boolean; halfGrad?: boolean };

export class Recorder {
  readonly profile: DeviceProfile;
  readonly shaders: ShaderLibrary;
  readonly commands: Command[] = [];
  readonly #ambient: ReadonlyMap<string, Tensor>;

  constructor({ profile, shaders, ambient = {} }: RecorderOptions) {
    this.profile = profile;
    this.shaders = shaders;
    this.#ambient = new Map(Object.entries(ambient));
  }

  /** A planned tensor: it lives from the first to the last command that names it. */
  tensor(label: string, shape: readonly number[], options: TensorOptions = {}): Tensor {
    const { dtype = 'f32', category = 'activations', requiresGrad = false, halfGrad = false } = options;
    const bytes = bytesOf(
      dtype,
      shape.reduce((p, n) => p * n, 1),
    );
    return new Tensor({
      label,
      shape,
      dtype,
      storage: { label, category, bytes, resident: false },
      requiresGrad,
      halfGrad,
    });
  }

  /** Whether this device can bind all of a tensor at once. */
  fits(bytes: number): boolean {
    return bytes <= this.profile.limits.maxStorageBufferBindingSize;
  }

  /** @throws KernelCallError when a name, a size or the grid is wrong; DeviceError when a binding exceeds the device's limit */
  dispatch(call: DispatchCall): void {
    const kernel = this.shaders.interfaceOf(call);
    const bound = kernel.bindings.filter((b) => b.name !== PARAMS_BINDING);
    const given = bound.filter((b) => !this.#isAmbient(call.name, b)).map((b) => b.name);
    requireSameNames(call.name, 'buffer', given, Object.keys(call.buffers));
    const bindings = bound.map(({ index, name, access }) => {
      const tensor = this.#ambient.get(name) ?? this.#checkedTensor(call, name);
      return { index, tensor, writable: access === 'read_write' };
    });
    requireNoAliasing(call.name, bindings);
    const params = packParams(kernel, call.params);
    this.commands.push({ kind: 'dispatch', kernel, params, bindings, grid: this.#grid(call) });
  }

  /** Whether the phase binds it. @throws KernelCallError for a uniform, beside the dispatch's own scalars, that the phase lacks */
  #isAmbient(kernel: string, { name, access }: Binding): boolean {
    if (this.#ambient.has(name)) return true;
    if (access !== 'uniform') return false;
    throw new KernelCallError(
      kernel,
      `binds ${name}, which this phase does not have; its ambient bindings: [${[...this.#ambient.keys()].join(', ')}]`,
    );
  }

  #checkedTensor(call: DispatchCall, name: string): Tensor {
    const value = call.buffers[name] as Tensor | readonly [Tensor, number];
    const [tensor, elements] = value instanceof Tensor ? [value, value.elements] : value;
    if (tensor.elements < elements) {
      throw new KernelCallError(
        call.name,
        `${name} is ${tensor.label} (${tensor.shape.join(', ')}), needs ${elements} elements`,
      );
    }
    if (!this.fits(tensor.bytes)) {
      throw new DeviceError(
        `${tensor.label} needs one binding of ${tensor.bytes} bytes, this device allows ${this.profile.limits.maxStorageBufferBindingSize}: use a shorter max_length or a smaller batch`,
      );
    }
    return tensor;
  }

  #grid(call: DispatchCall): readonly [number, number] {
    const groups = 'workgroups' in call ? call.workgroups : Math.ceil(call.threads / this.profile.workgroupSize);
    const limit = this.profile.limits.maxComputeWorkgroupsPerDimension;
    const x = Math.min(groups, limit);
    const y = Math.ceil(groups / x);
    if (!(groups > 0) || y > limit) {
      const work = 'workgroups' in call ? `${groups} workgroups` : `${call.threads} invocations`;
      throw new KernelCallError(call.name, `${work} do not fit a grid`);
    }
    return [x, y];
  }

  copy(from: Tensor, to: Tensor): void {
    if (from.bytes !== to.bytes)
      throw new KernelCallError('copy', `${from.label} has ${from.bytes} bytes, ${to.label} ${to.bytes}`);
    this.commands.push({ kind: 'copy', from, to });
  }

  clear(tensor: Tensor): void {
    this.commands.push({ kind: 'clear', tensor });
  }
}

/** WebGPU checks usage per whole buffer: one dispatch may not read and write the same storage. */
function requireNoAliasing(kernel: string, bindings: readonly BoundTensor[]): void {
  for (const a of bindings) {
    const clash = bindings.find(
      (b) =>
        b.writable && b !== a && b.tensor.storage === a.tensor.storage && (!a.writable || overlaps(a.tensor, b.tensor)),
    );
    if (clash)
      throw new KernelCallError(kernel, `${a.tensor.label} and ${clash.tensor.label} share a buffer that it writes`);
  }
}

function overlaps(a: Tensor, b: Tensor): boolean {
  return a.byteOffset < b.byteOffset + b.bytes && b.byteOffset < a.byteOffset + a.bytes;
}
