/** A buyer's table: what each card holds of a run by method, and what would help where it does not. */
import { CARD_SIZES, type Card, cardOfSize, usableNote } from './cards.ts';
import type { CardFigures, Guide, MethodRemedies } from './guide-types.ts';
import { MethodPlans, type OnPlan } from './method-plans.ts';
import type { EstimateJob } from './methods.ts';
import { ESTIMATED_METHODS } from './types.ts';
import { assumedSettings } from './usual.ts';

export type GuideJob = EstimateJob & {
  /** The one card that is asked about; null for all usual sizes. */
  readonly card: Card | null;
};

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
    if (figures.every(({ methods }) => methods.at(-1)?.fits === true)) continue;
    const most = figures.length === 1 ? (figures[0]?.usable_bytes ?? 0) : Number.POSITIVE_INFINITY;
    const found = await plans.peaksAfter(most);
    const holding = (peak: number) => figures.find(({ usable_bytes }) => peak <= usable_bytes)?.title ?? null;
    const changes = found.map(({ what, bytes }) => ({ what, peak_bytes: bytes, card: holding(bytes) }));
    remedies.push({ method, changes });
  }
  return {
    assumed: assumedSettings(job.config),
    usable: usableNote(job.card),
    cards: figures,
    remedies,
  };
}
