/** How large an update is against the steps of 4-bit quantization: below a fraction of one, requantizing erases most of it. */

export type UpdateSize = {
  /** Root of the mean square of what was added to the weight. */
  readonly updateRms: number;
  /** The same of the weight. */
  readonly weightRms: number;
  /** Mean distance of neighbouring values of a 4-bit code over blocks of 64 weights. */
  readonly stepMean: number;
  /** updateRms / stepMean. */
  readonly stepRatio: number;
};

/** Weights that share a scale, as bitsandbytes has it by default. */
const BLOCK = 64;
/** 16 values from -1 to 1 leave 15 steps between them. */
const MEAN_STEP = 2 / 15;

/** Sums a weight's figures while it is merged, in f64. Blocks are cut at the ends of what is added at once. */
export class UpdateMeter {
  #count = 0;
  #updateSquares = 0;
  #weightSquares = 0;
  #scales = 0;
  #blocks = 0;

  add(weights: Float32Array, update: Float32Array): void {
    // sums of locals: a private field that is added to for every element takes several times as long
    let [updateSquares, weightSquares] = [0, 0];
    for (let k = 0; k < update.length; k++) updateSquares += (update[k] as number) * (update[k] as number);
    for (let first = 0; first < weights.length; first += BLOCK) {
      const end = Math.min(first + BLOCK, weights.length);
      let largest = 0;
      for (let k = first; k < end; k++) {
        const w = weights[k] as number;
        weightSquares += w * w;
        largest = Math.max(largest, Math.abs(w));
      }
      this.#scales += largest;
      this.#blocks++;
    }
    this.#count += weights.length;
    this.#updateSquares += updateSquares;
    this.#weightSquares += weightSquares;
  }

  size(): UpdateSize {
    const updateRms = Math.sqrt(this.#updateSquares / this.#count);
    const stepMean = (MEAN_STEP * this.#scales) / this.#blocks;
    return {
      updateRms,
      weightRms: Math.sqrt(this.#weightSquares / this.#count),
      stepMean,
      stepRatio: stepMean === 0 ? Number.POSITIVE_INFINITY : updateRms / stepMean,
    };
  }
}
