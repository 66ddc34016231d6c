/** A buyer's table: what each card holds of a run by method, and what would help where it does not. */
import { max as largest } from 'simple-statistics';
import type { TrainConfig } from '../config/index.ts';
import { DeviceError, exitCodeOf } from '../errors.ts';
import { modelLayout } from '../train/model-layout.ts';
import { longestRow } from '../train/packing.ts';
import { CARD_SIZES, type Card, cardOfSize, USABLE_NOTE } from './cards.ts';
import { estimateRun } from './estimate.ts';
import type { CardFigures, CardMethod, Guide, MethodRemedies } from './guide-types.ts';
import { Curve, largestWithin } from './largest.ts';
import { type EstimateJob, qloraRecipe, withMethod } from './methods.ts';
import { estimateModel } from './model.ts';
import { type Candidate, peaksAfter } from './remedies.ts';
import { ESTIMATED_METHODS, type EstimatedMethod } from './types.ts';
import { assumedSettings } from './usual.ts';

/** Rows are looked for in steps of so many tokens. */
const ROW_STEP = 64;
/** Rows of a micro-batch beyond which nobody need look: accumulation does the rest. */
export const MOST_ROWS = 32;

export type GuideJob = EstimateJob & {
  /** The one card that is asked about; null for all usual sizes. */
  readonly card: Card | null;
};

type OnPlan = (method: EstimatedMethod) => void | Promise<void>;

/**
 * Records as many plans as it takes to say what fits.
 * @param onPlan called before each plan; an error it throws ends the work
 */
export async function estimateGuide(job: GuideJob, onPlan: OnPlan = () => undefined): Promise<Guide> {
  const cards = job.card === null ? CARD_SIZES.map((gb) => cardOfSize(gb)) : [job.card];
  const figures: CardFigures[] = cards.map(({ name, title, bytes, usableBytes }) => ({
    card: name,
    title,
    memory_bytes: bytes,
    usable_bytes: usableBytes,
    methods: [],
  }));
  const remedies: MethodRemedies[] = [];
  for (const method of ESTIMATED_METHODS) {
    const plans = new MethodPlans(job, method, onPlan);
    for (const row of figures) row.methods.push(await plans.on(row.usable_bytes));
    const found = await plans.remedies(figures);
    if (found !== null) remedies.push(found);
  }
  return {
    assumed: assumedSettings(job.config),
    usable: job.card?.maker === 'apple' ? USABLE_NOTE.apple : USABLE_NOTE.card,
    cards: figures,
    remedies,
  };
}

/** Plans of one method of training, kept for all cards. */
class MethodPlans {
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
    const longest = await largestWithin(this.#byLength, Math.ceil(this.#positions / ROW_STEP), budget);
    const rows = await largestWithin(this.#byBatch, MOST_ROWS, budget);
    return {
      method: this.#method,
      fits: (await this.#peak(this.#asked.B, this.#asked.S)) <= budget,
      longest_row: longest === null ? null : this.#tokens(longest),
      largest_batch: rows,
      is_device_limit:
        rows !== null && rows < MOST_ROWS && (await this.#byBatch.at(rows + 1)) === Number.POSITIVE_INFINITY,
    };
  }

  /** What would help on the cards that do not hold the run; null where all do, or the device can do nothing. */
  async remedies(cards: readonly CardFigures[]): Promise<MethodRemedies | null> {
    const wanting = cards.filter(({ methods }) => methods.some((m) => m.method === this.#method && !m.fits));
    if (wanting.length === 0) return null;
    const only = cards.length === 1 ? (cards[0] as CardFigures) : null;
    const { B, S } = this.#asked;
    const evaluation = this.#evaluates ? [{ B: this.#config.per_device_eval_batch_size, S }] : [];
    const given: Candidate = { config: this.#config, shapes: { train: [{ B, S }], evaluation } };
    const most = only?.usable_bytes ?? Number.POSITIVE_INFINITY;
    const found = await peaksAfter(given, this.#method === 'qlora', (candidate) => this.#peakOf(candidate), most);
    return {
      method: this.#method,
      changes: found.map(({ what, bytes }) => ({
        what,
        peak_bytes: bytes,
        card: cards.find(({ usable_bytes }) => bytes <= usable_bytes)?.title ?? null,
      })),
    };
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
