/** Advice on settings that work against each other, or lie far from what has been published for adapters. */
import { lastSegment } from '../adapters/base.ts';
import type { LoraTarget } from '../adapters/match.ts';
import type { TrainConfig } from '../config/settings.ts';
import type { ModelConfig } from '../formats/hf-config.ts';
import type { LinearModule } from '../formats/modules.ts';
import { counted, formatCount } from '../report/format.ts';
import type { Advice } from '../train/advice.ts';
import { learningRateAt, resolveWarmupSteps } from '../train/schedule.ts';

export type SettingFacts = {
  readonly config: TrainConfig;
  readonly model: Pick<ModelConfig, 'hidden_size'>;
  readonly totalSteps: number;
  /** Whether the base lies in 4 bits. */
  readonly isQuantized: boolean;
  /** Modules with an adapter; null in full training. */
  readonly targets: readonly LoraTarget[] | null;
  /** The modules that lora_target_modules: all-linear takes. */
  readonly linears: readonly LinearModule[];
};

/**
 * Peak rates in use for adapters: 1e-4 to 5e-4. QLoRA (arXiv 2305.14314) has 2e-4 up to 13B and 1e-4 above, LoRA (2106.09685) 2e-4
 * for GPT-2 and GPT-3, TRL's guide 2e-4; LoRA Without Regret finds the best rate about 10 times that of full training. Small models
 * stand more.
 */
const ADAPTER_RATES = { least: 1e-4, usual: '1e-4 to 5e-4', most: 1e-3, largeModel: 1024 };
/** Rates of full fine-tunes: TRL's default of 2e-5, transformers' of 5e-5. */
const FULL_RATES = { usual: '1e-5 to 5e-5', most: 1e-4 };
/**
 * lora_alpha / lora_r in use: from 1/8 (LoRA Without Regret: alpha 32, r up to 256) over QLoRA's 16 / 64 to 2; with an alpha of up to
 * 32 also more. rsLoRA (2312.03732) has 16 / sqrt(r).
 */
const SCALES = { least: 0.1, most: 8, usualAlpha: 32, usual: '1/8 to 2' };
/** Rows of a step: LoRA Without Regret and TRL's guide to it advise fewer than 32, QLoRA has 16 to 64. */
const MOST_ROWS = 64;

export function settingAdvice(facts: SettingFacts): Advice[] {
  return [
    ...rateAdvice(facts),
    ...scaleAdvice(facts),
    ...rankAdvice(facts),
    ...targetAdvice(facts),
    ...stepAdvice(facts),
  ];
}

function rateAdvice({ config, model, targets }: SettingFacts): Advice[] {
  const { learning_rate: rate } = config;
  const isLarge = model.hidden_size >= ADAPTER_RATES.largeModel;
  const advice = (code: string, message: string, fix: string): Advice[] => [
    { code, path: 'learning_rate', message: `${inShort(rate)} ${message}`, fix },
  ];
  if (targets === null) {
    if (rate <= FULL_RATES.most || !isLarge) return [];
    return advice(
      'rate_high',
      `is the rate of an adapter; all weights are trained with ${FULL_RATES.usual}`,
      `start from ${inShort(rate / 10)}`,
    );
  }
  // a larger scale moves the weights as a larger rate does
  const isScaled = targets.some(({ scaling }) => scaling > 2);
  if (rate < ADAPTER_RATES.least && !isScaled)
    return advice(
      'rate_low',
      `is the rate of a full fine-tune; adapters learn with ${ADAPTER_RATES.usual}, about 10 times as much`,
      'set 2e-4',
    );
  if (rate > ADAPTER_RATES.most && isLarge)
    return advice(
      'rate_high',
      `is ${inShort(rate / 2e-4)} times the usual 2e-4; adapters of models of this size learn with ${ADAPTER_RATES.usual}`,
      'set 2e-4',
    );
  return [];
}

function scaleAdvice({ config, targets }: SettingFacts): Advice[] {
  const odd = targets?.find(
    ({ scaling, alpha }) => scaling < SCALES.least || (scaling > SCALES.most && alpha > SCALES.usualAlpha),
  );
  if (odd === undefined) return [];
  const { rank, alpha, scaling } = odd;
  const root = config.use_rslora ? `sqrt(${rank})` : String(rank);
  return [
    {
      code: 'scale',
      path: 'lora_alpha',
      message: `${alpha} / ${root} multiplies the adapter's output by ${inShort(scaling)}; published recipes have ${SCALES.usual}`,
      fix: config.use_rslora ? 'set 16' : `set ${rank} (a scale of 1) or ${2 * rank}`,
    },
  ];
}

/** An adapter as large as its weight trains more than the weight itself would. */
function rankAdvice({ targets }: SettingFacts): Advice[] {
  const wide = (targets ?? []).filter(({ rank, out, in: width }) => rank * (out + width) >= out * width);
  const [first] = wide;
  if (first === undefined) return [];
  const { rank, out, in: width, name } = first;
  const most = Math.floor((out * width) / (out + width) / 2);
  return [
    {
      code: 'rank',
      path: 'lora_r',
      message:
        `${rank} x (${out} + ${width}) makes ${formatCount(rank * (out + width))} parameters for the ${out} x ${width} = ` +
        `${formatCount(out * width)} of ${name}${wide.length > 1 ? `, and no fewer in ${counted(wide.length - 1, 'other module')}` : ''}`,
      fix: `set ${Math.max(1, most)} or less, or method: full`,
    },
  ];
}

/** QLoRA (2305.14314, figure 2): adapters on all linear layers are what it takes to match 16 bits; r matters little. */
function targetAdvice({ config, isQuantized, targets, linears }: SettingFacts): Advice[] {
  if (!isQuantized || targets === null || config.adapter_name_or_path !== null) return [];
  const adapted = new Set(targets.map(({ name }) => name));
  const isFeedForward = ({ name }: LinearModule): boolean => name.includes('.mlp.');
  const left = linears.filter(({ name }) => !adapted.has(name));
  if (!linears.some(isFeedForward) || linears.some((module) => isFeedForward(module) && adapted.has(module.name)))
    return [];
  const [named, others] = [targets.map(({ name }) => name), left.map(({ name }) => name)].map((names) =>
    [...new Set(names.map(lastSegment))].join(', '),
  );
  const parameters = (of: readonly { out: number; in: number }[], rank = config.lora_r): number =>
    of.reduce((sum, { out, in: width }) => sum + rank * (out + width), 0);
  const now = targets.reduce((sum, target) => sum + parameters([target], target.rank), 0);
  return [
    {
      code: 'targets',
      path: 'lora_target_modules',
      message: `adapts ${named} of a 4-bit base and leaves out ${others}; QLoRA's authors needed all linear layers to match 16 bits`,
      fix: `set all-linear (${formatCount(parameters(linears))} trained parameters instead of ${formatCount(now)})`,
    },
  ];
}

function stepAdvice({ config, totalSteps, targets }: SettingFacts): Advice[] {
  const { per_device_train_batch_size: micro, gradient_accumulation_steps: accumulation } = config;
  const advice: Advice[] = [];
  const warmup = resolveWarmupSteps(config.warmup_steps, totalSteps);
  if (config.lr_scheduler_type !== 'constant' && warmup > 0 && warmup >= totalSteps)
    advice.push({
      code: 'warmup',
      path: 'warmup_steps',
      message:
        `${warmup} steps of warm-up in a run of ${counted(totalSteps, 'step')}: the learning rate ends at ` +
        `${inShort(learningRateAt(config, totalSteps - 1, totalSteps))} and never reaches ${inShort(config.learning_rate)}`,
      fix: 'give a share, such as 0.03, or train for more steps',
    });
  const rows = micro * accumulation;
  if (targets !== null && rows > MOST_ROWS)
    advice.push({
      code: 'batch',
      path: 'gradient_accumulation_steps',
      message: `${micro} x ${accumulation} = ${rows} rows make a step; adapters lose more than full training does with large batches, and published recipes have 8 to ${MOST_ROWS}`,
      fix: 'make it smaller: more updates for the same rows',
    });
  return advice;
}

/** Two digits: 2e-4, 0.25, 64. */
function inShort(value: number): string {
  const rounded = Number(value.toPrecision(2));
  return rounded !== 0 && (rounded < 1e-2 || rounded >= 1e5) ? rounded.toExponential() : String(rounded);
}
