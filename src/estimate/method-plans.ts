/** The plans of one method of training on any memory: what fits, and what would help. */
import { max as largest } from 'simple-statistics';
import type { TrainConfig } from '../config/index.ts';
import { DeviceError, exitCodeOf } from '../errors.ts';
import { modelLayout } from '../train/model-layout.ts';
import { longestRow } from '../train/packing.ts';
import { estimateRun } from './estimate.ts';
import type { CardMethod } from './guide-types.ts';
import { Curve, largestWithin } from './largest.ts';
import { type EstimateJob, qloraRecipe, withMethod } from './methods.ts';
import { estimateModel } from './model.ts';
import { type Candidate, peaksAfter, type Remedy } from './remedies.ts';
import type { EstimatedMethod } from './types.ts';

/** Rows are looked for in steps of so many tokens. */
const ROW_STEP = 64;
/** Rows of a micro-batch beyond which nobody need look: accumulation does the rest. */
export const MOST_ROWS = 32;

/** Called before each plan; an error it throws ends the work. */
export type OnPlan = (method: EstimatedMethod) => void | Promise<void>;

/** Plans of one method of training, kept for all cards. */
export class MethodPlans {
  readonly #method: EstimatedMethod;
  readonly #config: TrainConfig;
  readonly #job: EstimateJob;
  readonly #onPlan: OnPlan;
  readonly #positions: number;
  readonly #asked: { readonly B: number; readonly S: number };
  readonly #peaks = new Map<string, number>();
  readonly #byLength: Curve;
  readonly #byBatch: Curve;

  constructor(job: EstimateJob, method: EstimatedMethod, onPlan: OnPlan) {
    this.#job = job;
    this.#method = method;
    this.#onPlan = onPlan;
    this.#config = withMethod(job.config.values, method, qloraRecipe(job.config));
    this.#positions = job.model.max_position_embeddings;
    this.#asked = { B: this.#config.per_device_train_batch_size, S: longestRow(this.#config, job.model) };
    this.#byLength = new Curve((n) => this.#peak(this.#asked.B, this.#tokens(n)));
    this.#byBatch = new Curve((B) => this.#peak(B, this.#asked.S));
  }

  /** What memory of that many bytes holds. */
  async on(budget: number): Promise<CardMethod> {
    const rows = await largestWithin(this.#byBatch, MOST_ROWS, budget);
    return {
      method: this.#method,
      fits: (await this.#peak(this.#asked.B, this.#asked.S)) <= budget,
      longest_row: await this.longestRow(budget),
      largest_batch: rows,
      is_device_limit:
        rows !== null && rows < MOST_ROWS && (await this.#byBatch.at(rows + 1)) === Number.POSITIVE_INFINITY,
    };
  }

  /** Tokens of the longest row that it holds; null where none fits. */
  async longestRow(budget: number): Promise<number | null> {
    const longest = await largestWithin(this.#byLength, Math.ceil(this.#positions / ROW_STEP), budget);
    return longest === null ? null : this.#tokens(longest);
  }

  /** What would make the run need less, and whether that is enough. */
  peaksAfter(most: number): Promise<Remedy[]> {
    const { B, S } = this.#asked;
    const evaluation = this.#evaluates ? [{ B: this.#config.per_device_eval_batch_size, S }] : [];
    const given: Candidate = { config: this.#config, shapes: { train: [{ B, S }], evaluation } };
    return peaksAfter(given, this.#method === 'qlora', (candidate) => this.#peakOf(candidate), most);
  }

  get #evaluates(): boolean {
    return this.#config.eval_datasets.length > 0 || this.#config.val_set_size > 0;
  }

  /** Tokens of the n-th row length; the last one takes all positions. */
  #tokens(n: number): number {
    return Math.min(n * ROW_STEP, this.#positions);
  }

  async #peak(B: number, S: number): Promise<number> {
    const key = `${B} x ${S}`;
    const known = this.#peaks.get(key) ?? (await this.#plannedPeak(B, S));
    this.#peaks.set(key, known);
    return known;
  }

  async #plannedPeak(B: number, S: number): Promise<number> {
    await this.#onPlan(this.#method);
    const { model, profile, shaders } = this.#job;
    const config = { ...this.#config, per_device_train_batch_size: B, max_length: S };
    try {
      return (await estimateModel(model, config, profile, shaders)).peakBytes;
    } catch (error) {
      if (error instanceof DeviceError) return Number.POSITIVE_INFINITY;
      throw error;
    }
  }

  async #peakOf({ config, shapes }: Candidate): Promise<number | null> {
    await this.#onPlan(this.#method);
    const { model, profile, shaders } = this.#job;
    const maxPositions = largest(shapes.train.map(({ S }) => S));
    try {
      const layout = await modelLayout({ config, model, source: null, adapter: null, maxPositions });
      return estimateRun(layout, config, shapes, profile, shaders).peakBytes;
    } catch (error) {
      if (exitCodeOf(error) === 2) return null;
      throw error;
    }
  }
}
