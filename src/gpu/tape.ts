/**
 * Records a phase of a step as a list of commands over symbolic tensors. Ops record their forward dispatches and push
 * a closure that records their backward; running the closures in reverse order is the backward pass.
 */
import { DeviceError, KernelCallError } from '../errors.ts';
import type { Category } from './category.ts';
import type { DeviceProfile } from './device-profile.ts';
import {
  FLAGS_BINDING,
  type KernelInterface,
  type KernelSpec,
  PARAMS_BINDING,
  packParams,
  requireSameNames,
  type ShaderLibrary,
  STEP_BINDING,
} from './kernel.ts';
import { bytesOf, type Dtype, Tensor } from './tensor.ts';

export type BoundTensor = { readonly index: number; readonly tensor: Tensor; readonly writable: boolean };

export type DispatchCommand = {
  readonly kind: 'dispatch';
  readonly kernel: KernelInterface;
  readonly params: Uint8Array;
  readonly bindings: readonly BoundTensor[];
  /** Workgroups along x and y. */
  readonly grid: readonly [number, number];
};
export type CopyCommand = { readonly kind: 'copy'; readonly from: Tensor; readonly to: Tensor };
export type ClearCommand = { readonly kind: 'clear'; readonly tensor: Tensor };
export type Command = DispatchCommand | CopyCommand | ClearCommand;

export type DispatchCall = KernelSpec & {
  readonly params: Readonly<Record<string, number>>;
  /** By the names in the shader. The second form also says how many elements the kernel touches. */
  readonly buffers: Readonly<Record<string, Tensor | readonly [Tensor, elements: number]>>;
} & Work;

/** Invocations that a kernel of the usual workgroup size needs, rounded up to workgroups; or workgroups of its own size. */
type Work = { readonly threads: number } | { readonly workgroups: number };

/** Where an op writes a gradient: `accumulate` false means it is the first writer and stores. */
export type GradTarget = { readonly grad: Tensor; readonly accumulate: boolean };

type Recorded = { readonly outputs: readonly Tensor[]; readonly backward: () => void };
/** A checkpointed segment being recorded; `fresh` are the storages of its second recording. */
type Segment = { readonly values: unknown[]; readonly replay: boolean; readonly fresh: Set<Tensor['storage']> };
type GradState = { tensor: Tensor; written: boolean };

export class Tape {
  readonly profile: DeviceProfile;
  readonly shaders: ShaderLibrary;
  readonly commands: Command[] = [];
  readonly #step: Tensor;
  readonly #flags: Tensor | null;
  readonly #closures: Recorded[] = [];
  readonly #grads = new Map<Tensor, GradState>();
  /** Storages lent as the gradient of a second tensor, and how many of the lenders' closures have still to read them. */
  readonly #lent = new Map<Tensor['storage'], number>();
  readonly #borrowers = new Map<Tensor, Tensor['storage']>();
  /** Of the checkpointed segment being recorded; null outside of one. */
  #kept: Segment | null = null;

  /** @param options.step the resident tensor of the step scalars; `flags` the word of shaders/lib/flags.wgsl */
  constructor(options: { profile: DeviceProfile; shaders: ShaderLibrary; step: Tensor; flags?: Tensor }) {
    this.profile = options.profile;
    this.shaders = options.shaders;
    this.#step = options.step;
    this.#flags = options.flags ?? null;
  }

  /** A planned tensor: it lives from the first to the last command that names it. */
  tensor(
    label: string,
    shape: readonly number[],
    options: { dtype?: Dtype; category?: Category; requiresGrad?: boolean } = {},
  ): Tensor {
    const { dtype = 'f32', category = 'activations', requiresGrad = false } = options;
    const bytes = bytesOf(
      dtype,
      shape.reduce((p, n) => p * n, 1),
    );
    const storage = { label, category, bytes, resident: false };
    this.#kept?.fresh.add(storage);
    return new Tensor({ label, shape, dtype, storage, requiresGrad });
  }

  /** Whether this device can bind all of a tensor at once. */
  fits(bytes: number): boolean {
    return bytes <= this.profile.limits.maxStorageBufferBindingSize;
  }

  dispatch(call: DispatchCall): void {
    const kernel = this.shaders.interfaceOf(call);
    const given = kernel.bindings.filter((b) => b.access !== 'uniform' && b.name !== FLAGS_BINDING).map((b) => b.name);
    requireSameNames(call.name, 'buffer', given, Object.keys(call.buffers));
    const bindings: BoundTensor[] = [];
    for (const { index, name, access } of kernel.bindings) {
      if (name === PARAMS_BINDING) continue;
      if (name === STEP_BINDING && access === 'uniform') {
        bindings.push({ index, tensor: this.#step, writable: false });
        continue;
      }
      const tensor = name === FLAGS_BINDING ? this.#requireFlags(call.name) : this.#checkedTensor(call, name);
      bindings.push({ index, tensor, writable: access === 'read_write' });
    }
    requireNoAliasing(call.name, bindings);
    this.commands.push({
      kind: 'dispatch',
      kernel,
      params: packParams(kernel, call.params),
      bindings,
      grid: this.#grid(call),
    });
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

  #requireFlags(kernel: string): Tensor {
    if (this.#flags === null) throw new KernelCallError(kernel, 'raises flags, and this tape has no word for them');
    return this.#flags;
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

  /** Registers how the gradients of `outputs` flow on. The closure runs only if one of them received a gradient. */
  onBackward(outputs: readonly Tensor[], backward: () => void): void {
    if (outputs.some((t) => t.requiresGrad)) this.#closures.push({ outputs, backward });
  }

  /**
   * Records `segment` now and a second time in backward, so that of its activations only what it gets (`x`) and what it
   * returns outlive the forward pass. The same commands over the same values: gradients are equal to the bit. What the
   * segment made with `kept` is kept, and not computed again.
   */
  checkpoint(x: Tensor, segment: (x: Tensor) => Tensor): Tensor {
    const closures = this.#closures.length;
    const outer = this.#kept;
    const kept: unknown[] = [];
    this.#kept = { values: kept, replay: false, fresh: new Set() };
    const y = segment(x);
    this.#kept = outer;
    this.#closures.length = closures;
    this.onBackward([y], () => {
      this.#kept = { values: kept, replay: true, fresh: new Set() };
      const again = segment(x);
      this.#kept = outer;
      if (again !== y) this.#inheritGrad(y, again);
    });
    return y;
  }

  /** Computes once what a checkpointed segment is to keep: its second recording gets the first one's value. */
  kept<T>(make: () => T): T {
    const place = this.#kept;
    if (place === null) return make();
    if (place.replay) return place.values.shift() as T;
    // what is kept as a whole needs no part of it kept
    this.#kept = null;
    const value = make();
    this.#kept = place;
    place.values.push(value);
    return value;
  }

  /** Records a change of x in place, unless x was kept and so has been changed already. */
  inPlace(x: Tensor, record: () => void): void {
    const place = this.#kept;
    if (place === null || !place.replay || place.fresh.has(x.storage)) record();
  }

  /** The gradient of a checkpointed output is that of its second recording, whose closures run next. */
  #inheritGrad(y: Tensor, again: Tensor): void {
    const state = this.#grads.get(y);
    if (state === undefined) return;
    this.#grads.set(again, state);
    const lender = this.#borrowers.get(y);
    if (lender === undefined) return;
    this.#borrowers.delete(y);
    this.#borrowers.set(again, lender);
  }

  /** Records the backward pass of everything recorded so far, and forgets it. */
  backward(): void {
    for (let recorded = this.#closures.pop(); recorded !== undefined; recorded = this.#closures.pop()) {
      if (recorded.outputs.some((t) => this.#grads.get(t)?.written === true)) recorded.backward();
      for (const output of recorded.outputs) this.#release(output);
    }
  }

  /** Names the resident gradient of a trainable tensor; its writers always add, the caller clears it. */
  bindGrad(of: Tensor, grad: Tensor): void {
    this.#grads.set(of, { tensor: grad, written: true });
  }

  /** The finished gradient of an op's output. */
  gradOf(tensor: Tensor): Tensor {
    const state = this.#grads.get(tensor);
    if (state === undefined || !state.written)
      throw new KernelCallError(tensor.label, 'its gradient was never written');
    return state.tensor;
  }

  hasGrad(tensor: Tensor): boolean {
    return this.#grads.get(tensor)?.written === true;
  }

  /** Where to write (or add) a gradient of an op's input. */
  gradTarget(of: Tensor): GradTarget {
    const known = this.#grads.get(of);
    if (known === undefined) {
      const grad = this.tensor(`d_${of.label}`, of.shape, { category: 'activations' });
      this.#grads.set(of, { tensor: grad, written: true });
      return { grad, accumulate: false };
    }
    if ((this.#lent.get(known.tensor.storage) ?? 0) > 0) {
      throw new KernelCallError(of.label, 'its gradient is lent to another tensor whose backward has not read it yet');
    }
    const accumulate = known.written;
    known.written = true;
    return { grad: known.tensor, accumulate };
  }

  /**
   * For y = a + b: the finished gradient of y becomes that of `lender` (where later writers add in place) and, read-only and
   * before any of them, that of `borrower`. Saves a copy and a tensor per residual.
   * @returns false when `lender` already has a gradient: the caller then has to add to that.
   */
  passGrad(y: Tensor, lender: Tensor, borrower: Tensor): boolean {
    const grad = this.gradOf(y);
    const shared = lender.requiresGrad && !this.#grads.has(lender);
    if (shared) this.#grads.set(lender, { tensor: grad, written: true });
    if (borrower.requiresGrad) this.#grads.set(borrower, { tensor: grad, written: true });
    if (shared && borrower.requiresGrad) {
      this.#lent.set(grad.storage, (this.#lent.get(grad.storage) ?? 0) + 1);
      this.#borrowers.set(borrower, grad.storage);
    }
    return shared || !lender.requiresGrad;
  }

  #release(output: Tensor): void {
    const storage = this.#borrowers.get(output);
    if (storage === undefined) return;
    this.#lent.set(storage, (this.#lent.get(storage) ?? 1) - 1);
    this.#borrowers.delete(output);
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
