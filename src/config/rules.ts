/** Rules between settings. */
import { checkpointRules } from './checkpoint-rules.ts';
import { coupleComputeDtype, coupleMethod, current, type Findings, type Merged, noEffect } from './couple.ts';
import { inWords, schemaOf, showSetting } from './describe.ts';
import type { Entry } from './layers.ts';
import { optimizerName, optimizerOf } from './optimizers.ts';
import { reporterRules } from './reporter-rules.ts';
import { type SchedulerKwargs, type SchedulerType, scheduleProblems } from './schedulers.ts';
import { SECTIONS, type SettingKey, settings } from './settings.ts';

/** train needs data; estimate only needs a model. */
export type Purpose = 'train' | 'estimate';

// With eval_strategy: steps and nothing else said, Hugging Face evaluates every 500 steps.
const HF_EVAL_STEPS = 500;
const ADAPTER_KEYS: ReadonlySet<string> = new Set(Object.keys(SECTIONS['Adapter (lora, qlora)']));
const SCALING_KEYS: ReadonlySet<string> = new Set(Object.keys(SECTIONS['Loss scaling (compute_dtype: float16)']));

/** Applies every rule: fills in what follows from what is set, and reports what cannot be run or has no effect. */
export function applyRules(set: Merged, purpose: Purpose): Findings {
  const found: Findings = { problems: [], notices: [] };
  coupleMethod(set, found);
  coupleComputeDtype(set, found);
  bfloat16(set, found);
  oneOptimizerName(set, found);
  required(set, found, purpose);
  evaluation(set, found);
  checkpointRules(set, found);
  reporterRules(set, found);
  schedule(set, found);
  packing(set, found);
  asFloat32(set, found);
  withoutEffect(set, found);
  return found;
}

/**
 * Finds what asks for bfloat16 or mixed precision. bf16 and fp16 decide over a compute dtype of the same source, as autocast
 * does over bnb_4bit_compute_dtype; a later source that names a dtype decides over them.
 */
function mixedPrecision(set: Merged): (Entry & { readonly rank: number }) | undefined {
  const dtype = set.get('compute_dtype');
  if (dtype?.value === 'bfloat16' || dtype?.requested === 'bfloat16') return dtype;
  const flag = [set.get('bf16'), set.get('fp16')].find((entry) => entry?.value);
  return flag !== undefined && flag.rank >= (dtype?.rank ?? 0) ? flag : undefined;
}

/** Tells whether compute_dtype depends on the device: asked for as bfloat16, bf16 or fp16, and not settled by bf16_as. */
export function standsForBfloat16(set: Merged): boolean {
  return current(set, 'bf16_as') === null && mixedPrecision(set) !== undefined;
}

function bfloat16(set: Merged, found: Findings): void {
  const [bf16, fp16] = [set.get('bf16'), set.get('fp16')];
  if (bf16?.value && fp16?.value)
    found.problems.push({
      path: bf16.path,
      message: `${showSetting(bf16.value)} contradicts fp16: true (${fp16.origin.where}); keep one of the two (${bf16.origin.where})`,
    });
  const asked = mixedPrecision(set);
  if (asked === undefined) return;
  const instead = current(set, 'bf16_as') ?? 'float16';
  const dtype = set.get('compute_dtype');
  for (const key of ['compute_dtype', 'bnb_4bit_compute_dtype'] as const) {
    const entry = set.get(key) ?? { ...asked, key };
    const requested = dtype === undefined ? 'float32' : entry.value;
    const note = `${asked.key}: ${String(asked.requested ?? asked.value)} was asked for, see bf16_as`;
    set.set(key, { ...entry, value: instead, requested, origin: { ...entry.origin, note } });
  }
  if (current(set, 'bf16_as') !== null)
    found.notices.push({
      path: asked.path,
      message: `${showSetting(asked.value)} is computed as ${instead}, as bf16_as says`,
      isFollowed: true,
    });
}

function oneOptimizerName(set: Merged, found: Findings): void {
  const optim = set.get('optim');
  const given = String(current(set, 'optim'));
  const name = optimizerName(given);
  if (optim !== undefined && given !== name) {
    const message = `${showSetting(given)} is the same formula as ${name}`;
    found.notices.push({ path: optim.path, message, isFollowed: true });
    set.set('optim', { ...optim, value: name });
  }
  const { formula, paged } = optimizerOf(name);
  const budget = set.get('paged_optimizer_memory');
  if (budget !== undefined && !paged) noEffect(found, budget, `optim: ${name} does not page`);
  for (const key of ['adam_beta1', 'adam_beta2', 'adam_epsilon'] as const) {
    const entry = set.get(key);
    if (entry === undefined || formula === 'adamw' || (formula === 'lion' && key !== 'adam_epsilon')) continue;
    noEffect(found, entry, `optim: ${name} has none`);
  }
}

function required(set: Merged, found: Findings, purpose: Purpose): void {
  if (!set.has('model_name_or_path'))
    found.problems.push({
      path: 'model_name_or_path',
      message: `is missing; wanted the ${settings.shape.model_name_or_path.description}`,
    });
  if (purpose === 'train' && (current(set, 'datasets') as unknown[]).length === 0)
    found.problems.push({
      path: 'datasets',
      message: `is ${set.has('datasets') ? 'empty' : 'missing'}; wanted ${inWords(schemaOf(settings.shape.datasets))}`,
    });
}

/** Settings that the GPU computes with, in float32. */
const FLOAT32_KEYS = [
  ...(['learning_rate', 'weight_decay', 'adam_beta1', 'adam_beta2', 'adam_epsilon', 'max_grad_norm'] as const),
  ...(['lora_alpha', 'lora_dropout', 'loss_scale', 'init_scale', 'growth_factor', 'backoff_factor'] as const),
  ...(['neftune_noise_alpha', 'loraplus_lr_ratio', 'loraplus_lr_embedding'] as const),
  'alpha_pattern',
  'lr_scheduler_kwargs',
] as const satisfies readonly SettingKey[];
/** The smallest number that float32 holds in full precision; GPUs may take smaller ones for 0. */
const SMALLEST_FLOAT32 = 2 ** -126;

/** Refuses numbers that float32 makes 0, infinite, or something else that the setting does not take. */
function asFloat32(set: Merged, found: Findings): void {
  for (const key of FLOAT32_KEYS) {
    const entry = set.get(key);
    if (entry === undefined) continue;
    const inside = typeof entry.value === 'object' && entry.value !== null ? Object.entries(entry.value) : [];
    const parts: readonly (readonly [string, unknown])[] = inside.length > 0 ? inside : [['', entry.value]];
    for (const [name, value] of parts) {
      if (typeof value !== 'number' || value === 0) continue;
      const rounded = value < SMALLEST_FLOAT32 ? 0 : Math.fround(value);
      const taken = settings.shape[key].safeParse(name === '' ? rounded : { [name]: rounded }).success;
      if (taken && rounded !== 0 && Number.isFinite(rounded)) continue;
      found.problems.push({
        path: name === '' ? entry.path : `${entry.path}.${name}`,
        message: `got ${showSetting(value)}, which is ${rounded} in float32, in which the GPU computes with it; give another number (${entry.origin.where})`,
      });
    }
  }
}

function evaluation(set: Merged, found: Findings): void {
  const strategy = set.get('eval_strategy');
  const files = current(set, 'eval_datasets') as unknown[];
  const held = set.get('val_set_size');
  const isHeld = held !== undefined && held.value !== 0;
  if (isHeld && files.length > 0)
    found.problems.push({
      path: held.path,
      message: `got ${showSetting(held.value)}, but eval_datasets are evaluated on already; keep one of the two (${held.origin.where})`,
    });
  const onStart = set.get('eval_on_start');
  for (const entry of [strategy?.value === 'no' ? undefined : strategy, onStart?.value ? onStart : undefined])
    if (entry && files.length === 0 && !isHeld)
      found.problems.push({
        path: entry.path,
        message: `${showSetting(entry.value)} needs eval_datasets or val_set_size, which are empty (${entry.origin.where})`,
      });
  const logging = set.get('logging_steps');
  const steps = set.get('eval_steps');
  if (steps === undefined || steps.value === null) {
    const source = logging ?? { path: 'eval_steps', rank: 0, origin: { source: 'default', where: 'default' } as const };
    const note = logging ? 'follows logging_steps' : 'as in Hugging Face';
    set.set('eval_steps', {
      ...source,
      key: 'eval_steps',
      value: logging?.value ?? HF_EVAL_STEPS,
      origin: { ...source.origin, note },
    });
  } else if (strategy?.value !== 'steps' && steps.value !== HF_EVAL_STEPS)
    noEffect(found, steps, 'eval_strategy is not steps');
}

function schedule(set: Merged, found: Findings): void {
  const kwargs = set.get('lr_scheduler_kwargs');
  const type = set.get('lr_scheduler_type');
  const choice = {
    type: current(set, 'lr_scheduler_type') as SchedulerType,
    kwargs: (kwargs?.value ?? {}) as SchedulerKwargs,
    learningRate: current(set, 'learning_rate') as number,
    where: (kwargs ?? type)?.origin.where ?? 'default',
  };
  for (const problem of scheduleProblems(choice)) found.problems.push(problem);
}

function packing(set: Merged, found: Findings): void {
  const packs = current(set, 'packing') === true;
  const length = set.get('max_length');
  if (packs && length?.value === null)
    found.problems.push({
      path: length.path,
      message: `got null, and packing: true fills rows of that many tokens; give a number (${length.origin.where})`,
    });
  const strategy = set.get('packing_strategy');
  if (strategy && !packs) noEffect(found, strategy, 'packing is not set');
  const evaluation = set.get('eval_packing');
  if (evaluation?.value === true && !packs)
    found.problems.push({
      path: evaluation.path,
      message:
        'got true, but packing is false, where TRL lets the rows it packs for evaluation see each other; set packing: ' +
        `true as well, or remove it (${evaluation.origin.where})`,
    });
  const free = set.get('padding_free');
  if (free?.value === true && !(packs && current(set, 'packing_strategy') !== 'wrapped'))
    found.problems.push({
      path: free.path,
      message:
        'is only supported with packing: true and packing_strategy: bfd or bfd_split, which imply it; ' +
        `set those, or remove it (${free.origin.where})`,
    });
}

function withoutEffect(set: Merged, found: Findings): void {
  const method = current(set, 'method');
  for (const [key, entry] of set) {
    const adapterOnly = ADAPTER_KEYS.has(key) && key !== 'adapter_name_or_path';
    const quantOnly = key.startsWith('bnb_') && key !== 'bnb_4bit_compute_dtype';
    if (method === 'full' && adapterOnly) noEffect(found, entry, 'method: full has no adapter');
    if (method !== 'qlora' && (quantOnly || key === 'llm_int8_skip_modules'))
      noEffect(found, entry, `method: ${method} does not quantize the base`);
  }
  const embedding = set.get('loraplus_lr_embedding');
  if (embedding && current(set, 'loraplus_lr_ratio') === null)
    noEffect(found, embedding, 'loraplus_lr_ratio is not set');
  lossScaling(set, found);
  keptInputs(set, found);
  const adapter = set.get('adapter_name_or_path');
  const init = set.get('init_lora_weights');
  if (adapter?.value && init !== undefined && init.value !== true)
    noEffect(found, init, 'adapter_name_or_path has values of its own');
  if (method === 'full' && adapter && adapter.value !== null)
    found.problems.push({
      path: adapter.path,
      message: `got ${showSetting(adapter.value)}, but method: full trains no adapter; remove it or use lora or qlora (${adapter.origin.where})`,
    });
  const warmup = set.get('warmup_steps');
  if (warmup && current(set, 'lr_scheduler_type') === 'constant')
    noEffect(found, warmup, 'lr_scheduler_type: constant has no warmup; constant_with_warmup has');
  const epochs = set.get('num_train_epochs');
  if (epochs && current(set, 'max_steps') !== -1) noEffect(found, epochs, 'max_steps is set');
}

function keptInputs(set: Merged, found: Findings): void {
  const entry = set.get('gradient_checkpointing_dtype');
  if (entry === undefined || entry.value === 'float32') return;
  if (current(set, 'gradient_checkpointing') === false)
    noEffect(found, entry, 'without gradient_checkpointing no layer keeps its input alone');
  else if (current(set, 'compute_dtype') !== 'float16')
    found.problems.push({
      path: entry.path,
      message: `got "float16" with compute_dtype: ${showSetting(current(set, 'compute_dtype'))}; set compute_dtype: float16, or gradient_checkpointing_dtype: float32 (${entry.origin.where})`,
    });
}

function lossScaling(set: Merged, found: Findings): void {
  const scales = current(set, 'compute_dtype') === 'float16';
  const fixed = current(set, 'loss_scale') !== 'dynamic';
  for (const [key, entry] of set) {
    if (!SCALING_KEYS.has(key)) continue;
    if (!scales) noEffect(found, entry, 'only compute_dtype: float16 scales the loss');
    else if (fixed && key !== 'loss_scale') noEffect(found, entry, 'loss_scale is fixed');
  }
}
