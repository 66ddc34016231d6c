/** torch's CPU generator: the same seeds give the same permutations and the same initial adapters. */
import { MersenneTwister } from './mersenne-twister.ts';

const F32_STEP = 2 ** -24;
const F64_STEP = 2 ** -53;
/** torch draws this many normals at once, and shorter tensors one by one. */
const NORMAL_BLOCK = 16;

/** MT19937, seeded by init_genrand; torch.manual_seed uses the low 32 bits of a seed. */
export class TorchRng {
  readonly #twister: MersenneTwister;

  /** @param seed a whole number from 0 to 2^53 - 1 */
  constructor(seed: number) {
    this.#twister = new MersenneTwister(seed);
  }

  /** Draws a whole number in [0, 2^32). */
  u32(): number {
    return this.#twister.u32();
  }

  /** torch.randperm(n): a forward Fisher-Yates shuffle. n below 2^32 / 20, where torch would change to 64-bit draws. */
  randperm(n: number): Uint32Array {
    const order = Uint32Array.from({ length: n }, (_, i) => i);
    for (let i = 0; i + 1 < n; i++) {
      const other = i + (this.u32() % (n - i));
      const kept = order[i]!;
      order[i] = order[other]!;
      order[other] = kept;
    }
    return order;
  }

  /** Tensor.uniform_(low, high) of `n` f32 values, bit for bit. */
  uniform(n: number, low: number, high: number): Float32Array {
    const from = Math.fround(low);
    const range = Math.fround(Math.fround(high) - from);
    // torch fuses the multiply-add; 24-bit factors and a `low` no larger than the range leave it exact in f64, so that
    // the store is the only rounding here too
    return Float32Array.from({ length: n }, () => (this.u32() & 0xffffff) * F32_STEP * range + from);
  }

  /** Skips the draws of `n` f32 values. */
  skip(n: number): void {
    for (let i = 0; i < n; i++) this.u32();
  }

  /** Tensor.normal_(0, std) of `n` f32 values; equal to torch's up to its vectorised log, sin and cos (some 1e-6). */
  normal(n: number, std: number): Float32Array {
    return n < NORMAL_BLOCK ? this.#fewNormals(n, std) : this.#manyNormals(n, std);
  }

  #fewNormals(n: number, std: number): Float32Array {
    const out = new Float32Array(n);
    for (let i = 0; i < n; i += 2) {
      const angle = 2 * Math.PI * this.#f64();
      const radius = Math.sqrt(-2 * Math.log1p(-this.#f64()));
      out[i] = radius * Math.cos(angle) * std;
      if (i + 1 < n) out[i + 1] = radius * Math.sin(angle) * std;
    }
    return out;
  }

  #manyNormals(n: number, std: number): Float32Array {
    const out = this.uniform(n, 0, 1);
    const transform = (at: number): void => {
      for (let j = at; j < at + NORMAL_BLOCK / 2; j++) {
        const radius = Math.sqrt(-2 * Math.log(1 - out[j]!));
        const angle = 2 * Math.PI * out[j + NORMAL_BLOCK / 2]!;
        out[j] = radius * Math.cos(angle) * std;
        out[j + NORMAL_BLOCK / 2] = radius * Math.sin(angle) * std;
      }
    };
    for (let at = 0; at + NORMAL_BLOCK <= n; at += NORMAL_BLOCK) transform(at);
    if (n % NORMAL_BLOCK !== 0) {
      // the last block is drawn again, over what stood there
      out.set(this.uniform(NORMAL_BLOCK, 0, 1), n - NORMAL_BLOCK);
      transform(n - NORMAL_BLOCK);
    }
    return out;
  }

  /** Draws a double in [0, 1): 53 bits out of two draws, the first one high. */
  #f64(): number {
    const high = this.u32() & 0x1fffff;
    return (high * 2 ** 32 + this.u32()) * F64_STEP;
  }
}
