/**
 * A recorder that also records backward: an op pushes a closure, and running the closures in reverse is the backward pass.
 *
 * A gradient's first writer stores, later ones add. Where y = a + b, one of the two owns the gradient of y and adds to it, and the
 * other borrows it: a lent gradient is read before its owner's next write. Closures run in reverse order, so that holds by itself
 * where the borrower was recorded last; anything else throws.
 */
import { KernelCallError } from '../errors.ts';
import { type GradTarget, Recorder, type TensorOptions } from './recorder.ts';
import { type Storage, Tensor } from './tensor.ts';

type Backward = { readonly outputs: readonly Tensor[]; readonly run: () => void };
/** A checkpointed stretch of the forward pass under recording, for the first time or `again`, in backward. */
type Segment = {
  readonly again: boolean;
  /** What `once` made at the first recording and hands out at the second. */
  readonly made: unknown[];
  /** Storages of this recording. */
  readonly own: Set<Storage>;
};

export class Tape extends Recorder {
  readonly #closures: Backward[] = [];
  /** Gradients that a writer has been given. */
  readonly #grads = new Map<Tensor, Tensor>();
  /** Storages lent as the gradient of a second tensor, and how many of the borrowers' closures have still to read them. */
  readonly #lent = new Map<Storage, number>();
  readonly #borrowers = new Map<Tensor, Storage>();
  #segment: Segment | null = null;

  override tensor(label: string, shape: readonly number[], options: TensorOptions = {}): Tensor {
    const tensor = super.tensor(label, shape, options);
    this.#segment?.own.add(tensor.storage);
    return tensor;
  }

  /** Registers how the gradients of `outputs` flow on. The closure runs only if one of them received a gradient. */
  onBackward(outputs: readonly Tensor[], run: () => void): void {
    if (outputs.some((t) => t.requiresGrad)) this.#closures.push({ outputs, run });
  }

  /**
   * Records `body` now and a second time in backward, so that of its activations only what it gets (`x`) and what it returns
   * outlive the forward pass. The same commands over the same values: gradients are equal to the bit. What the segment made
   * with `once` outlives it as well, and is not computed again.
   * @param keep records another form of x, which outlives the forward pass in its place, and gives what records x from it again
   */
  checkpoint(x: Tensor, body: (x: Tensor) => Tensor, keep?: (x: Tensor) => () => Tensor): Tensor {
    const closures = this.#closures.length;
    const made: unknown[] = [];
    const record = (again: boolean, input: Tensor): Tensor =>
      this.#within({ again, made, own: new Set() }, () => body(input));
    const y = record(false, x);
    const restore = keep?.(x) ?? (() => x);
    this.#closures.length = closures;
    this.onBackward([y], () => {
      const input = restore();
      // the first pushed runs last, when the gradient of the input is finished
      if (input !== x) this.onBackward([input], () => this.#inheritGrad(input, x));
      const second = record(true, input);
      if (second !== y) this.#inheritGrad(y, second);
    });
    return y;
  }

  /** Records once what both recordings of a segment use: the second gets the first one's value. */
  once<T>(make: () => T): T {
    const segment = this.#segment;
    if (segment === null) return make();
    if (segment.again) return segment.made.shift() as T;
    // the whole is handed out again, so a `once` inside of it has nothing to add
    const value = this.#within(null, make);
    segment.made.push(value);
    return value;
  }

  /** Records a change of x in place, unless x was made once and so has been changed already. */
  inPlace(x: Tensor, record: () => void): void {
    const segment = this.#segment;
    if (segment === null || !segment.again || segment.own.has(x.storage)) record();
  }

  #within<T>(segment: Segment | null, record: () => T): T {
    const outer = this.#segment;
    this.#segment = segment;
    const value = record();
    this.#segment = outer;
    return value;
  }

  /** A checkpointed output hands its gradient to its second recording, whose closures run next; the second recording's input to the first's. */
  #inheritGrad(y: Tensor, second: Tensor): void {
    const grad = this.#grads.get(y);
    if (grad === undefined) return;
    this.#grads.set(second, grad);
    const lent = this.#borrowers.get(y);
    if (lent === undefined) return;
    this.#borrowers.delete(y);
    this.#borrowers.set(second, lent);
  }

  /** Records the backward pass of everything recorded so far, and forgets it. */
  backward(): void {
    for (let closure = this.#closures.pop(); closure !== undefined; closure = this.#closures.pop()) {
      if (closure.outputs.some((t) => this.#grads.has(t))) closure.run();
      for (const output of closure.outputs) this.#release(output);
    }
  }

  /** Names the resident gradient of a trainable tensor; its writers always add, the caller clears it. */
  bindGrad(of: Tensor, grad: Tensor): void {
    this.#grads.set(of, grad);
  }

  /** The finished gradient of an op's output. */
  gradOf(tensor: Tensor): Tensor {
    const grad = this.#grads.get(tensor);
    if (grad === undefined) throw new KernelCallError(tensor.label, 'its gradient was never written');
    return grad;
  }

  hasGrad(tensor: Tensor): boolean {
    return this.#grads.has(tensor);
  }

  /**
   * Where to write (or add) a gradient of an op's input. `half`: its only writer can write f16, and does where that is read; who
   * adds writes f32.
   */
  gradTarget(of: Tensor, half = false): GradTarget {
    const known = this.#grads.get(of);
    if (known === undefined) {
      const dtype = half && of.halfGrad ? 'f16' : 'f32';
      const grad = this.tensor(`d_${of.label}`, of.shape, { dtype, category: 'activations' });
      this.#grads.set(of, grad);
      return { grad, accumulate: false };
    }
    if ((this.#lent.get(known.storage) ?? 0) > 0) {
      throw new KernelCallError(of.label, 'its gradient is lent to another tensor whose backward has not read it yet');
    }
    return { grad: known, accumulate: true };
  }

  /**
   * The gradient of an op's input in the input's own memory, where that is read for the last time: in f16, a row at the start of
   * the row that it takes the place of. (T, F) f32 gives (T, 2 F), of which F columns count.
   */
  gradInPlace(of: Tensor): Tensor {
    const [T = 0, F = 0] = of.shape;
    if (this.#grads.has(of)) throw new KernelCallError(of.label, 'its gradient has a writer, and a place, already');
    const { storage, byteOffset } = of;
    const grad = new Tensor({ label: `d_${of.label}`, shape: [T, 2 * F], dtype: 'f16', storage, byteOffset });
    this.#grads.set(of, grad);
    return grad;
  }

  /**
   * For y = a + b: the finished gradient of y becomes that of `owner` (where later writers add in place) and is lent to
   * `borrower`, which reads it before any of them. Saves a copy and a tensor per residual.
   * @returns false when `owner` already has a gradient: the caller then has to add to that.
   */
  passGrad(y: Tensor, owner: Tensor, borrower: Tensor): boolean {
    const grad = this.gradOf(y);
    const shared = owner.requiresGrad && !this.#grads.has(owner);
    if (shared) this.#grads.set(owner, grad);
    if (borrower.requiresGrad) this.#grads.set(borrower, grad);
    if (shared && borrower.requiresGrad) {
      this.#lent.set(grad.storage, (this.#lent.get(grad.storage) ?? 0) + 1);
      this.#borrowers.set(borrower, grad.storage);
    }
    return shared || !owner.requiresGrad;
  }

  #release(output: Tensor): void {
    const storage = this.#borrowers.get(output);
    if (storage === undefined) return;
    this.#lent.set(storage, (this.#lent.get(storage) ?? 1) - 1);
    this.#borrowers.delete(output);
  }
}
