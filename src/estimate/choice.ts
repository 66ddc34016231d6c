/** LoRA or QLoRA for a model on a card: the rule that decides, and the figures it decides by. */
import { CARD_SIZES, cardOfSize, usableNote } from './cards.ts';
import type { Choice, ChoiceFigures, ChoiceJob, MethodFigures, Rule } from './choice-types.ts';
import { choiceSentences } from './choice-words.ts';
import { MethodPlans } from './method-plans.ts';
import { type EstimateJob, estimateMethods } from './methods.ts';
import { estimateModel } from './model.ts';
import type { MethodEstimate } from './types.ts';
import { assumedSettings, USUAL } from './usual.ts';

/** A run that needs more than this share of what is free is not comfortable: rows vary, and so do drivers. */
export const COMFORTABLE_SHARE = 0.8;

type OnPlan = (label: string) => void | Promise<void>;

/** Decides, and says why. @param onPlan called before each plan @throws DeviceError when the device can do no method */
export async function chooseMethod(job: ChoiceJob, onPlan: OnPlan = () => undefined): Promise<Choice> {
  return choiceBy(await plannedFigures(job, onPlan), job);
}

/** The choice that figures lead to. */
export function choiceBy(figures: ChoiceFigures, job: Pick<ChoiceJob, 'quality' | 'adapters' | 'ratios'>): Choice {
  const { method, rule } = decide(figures, job);
  return { method, rule, sentences: choiceSentences({ method, rule, figures, job }), figures };
}

/** The rule alone. */
export function decide(
  { lora, qlora, usable_bytes: free, lora_usual_row_bytes: usual }: ChoiceFigures,
  { quality, adapters }: Pick<ChoiceJob, 'quality' | 'adapters'>,
): Pick<Choice, 'method' | 'rule'> {
  const fits = (figures: MethodFigures | null, share = 1): boolean =>
    figures !== null && figures.peak_bytes <= share * free;
  if (!fits(lora) && !fits(qlora)) return { method: null, rule: 'neither' };
  // rows beyond the usual ones are what LoRA has no room for
  const isLong = usual !== null && usual <= COMFORTABLE_SHARE * free;
  if (!fits(lora)) return { method: 'qlora', rule: isLong ? 'long_context' : 'does_not_fit' };
  if (adapters > 1) return { method: 'lora', rule: 'many_adapters' };
  if (quality) return { method: 'lora', rule: 'quality' };
  if (fits(lora, COMFORTABLE_SHARE) || !fits(qlora)) return { method: 'lora', rule: 'comfortable' };
  return { method: 'qlora', rule: isLong ? 'long_context' : 'narrow' };
}

/** Records the plans that a choice is made by: one for each method, and more only where they decide or help. */
export async function plannedFigures(
  job: EstimateJob & Pick<ChoiceJob, 'card' | 'gpus'>,
  onPlan: OnPlan = () => undefined,
): Promise<ChoiceFigures> {
  const { card, gpus, config } = job;
  const { max_length, per_device_train_batch_size, estimates } = await estimateMethods(job, onPlan);
  const of = (method: string) => methodFigures(estimates.find((one) => one.method === method));
  const [lora, qlora] = [of('lora'), of('qlora')];
  const first: ChoiceFigures = {
    model: job.modelName,
    card: card.spoken,
    usable_bytes: card.usableBytes,
    gpus,
    per_device_train_batch_size,
    max_length,
    lora,
    qlora,
    lora_usual_row_bytes: lora !== null && max_length > USUAL.max_length ? await usualRowBytes(job, onPlan) : null,
    full_bytes: estimates.find(({ method }) => method === 'full')?.peak_bytes ?? null,
    lora_card_gb: cardFor(lora),
    qlora_card_gb: cardFor(qlora),
    help: [],
    assumed: assumedSettings(config),
    usable: usableNote(card),
  };
  const { rule } = decide(first, { quality: false, adapters: 1 });
  if (rule !== 'neither' && rule !== 'narrow' && rule !== 'long_context') return first;
  return withRoom(first, job, rule, onPlan);
}

/** Adds the longest rows, and what would help where nothing fits. */
async function withRoom(figures: ChoiceFigures, job: EstimateJob, rule: Rule, onPlan: OnPlan): Promise<ChoiceFigures> {
  const { usable_bytes: free } = figures;
  const roomOf = async (method: 'lora' | 'qlora'): Promise<MethodFigures | null> => {
    const known = figures[method];
    return known === null
      ? null
      : { ...known, longest_row: await new MethodPlans(job, method, onPlan).longestRow(free) };
  };
  if (rule !== 'neither') return { ...figures, lora: await roomOf('lora'), qlora: await roomOf('qlora') };
  const help = await new MethodPlans(job, 'qlora', onPlan).peaksAfter(free);
  return {
    ...figures,
    qlora: await roomOf('qlora'),
    help: help.map(({ what, bytes }) => ({ what, peak_bytes: bytes })),
  };
}

async function usualRowBytes({ config, model, profile, shaders }: EstimateJob, onPlan: OnPlan): Promise<number> {
  await onPlan('lora');
  const usual = { ...config.values, max_length: USUAL.max_length, method: 'lora', load_in_4bit: false } as const;
  return (await estimateModel(model, usual, profile, shaders)).peakBytes;
}

const cardFor = (figures: MethodFigures | null): number | null =>
  CARD_SIZES.find((gb) => figures !== null && figures.peak_bytes <= cardOfSize(gb).usableBytes) ?? null;

function methodFigures(estimate: MethodEstimate | undefined): MethodFigures | null {
  if (estimate === undefined || estimate.peak_bytes === null) return null;
  const { base_weights, quant_state, adapter, gradients, optimizer } = estimate.by_category;
  return {
    peak_bytes: estimate.peak_bytes,
    base_bytes: base_weights + quant_state,
    adapter_state_bytes: adapter + gradients + optimizer,
    adapter_bytes: adapter,
    num_trainable_params: estimate.num_trainable_params,
    longest_row: null,
  };
}
