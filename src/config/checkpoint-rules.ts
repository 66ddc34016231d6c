/** Rules between the settings of evaluations and checkpoints: those of transformers' TrainingArguments and Trainer. */
import { current, type Findings, type Merged, noEffect } from './couple.ts';
import { showSetting } from './describe.ts';
import type { SettingKey } from './settings.ts';

/** Fills in the metric that a setting needs, and reports what cannot be done or has no effect. */
export function checkpointRules(set: Merged, found: Findings): void {
  metric(set, found);
  needsEvaluation(set, found);
  loadBest(set, found);
  withoutEffect(set, found);
}

/** Settings that compare evaluations. */
const COMPARING: readonly (readonly [SettingKey, (value: unknown) => boolean])[] = [
  ['load_best_model_at_end', (value) => value === true],
  ['save_strategy', (value) => value === 'best'],
  ['early_stopping_patience', (value) => value !== null],
];

function metric(set: Merged, found: Findings): void {
  const leader = COMPARING.flatMap(([key, compares]) => {
    const entry = set.get(key);
    return entry !== undefined && compares(entry.value) ? [entry] : [];
  })[0];
  const given = set.get('metric_for_best_model');
  const isGiven = given !== undefined && given.value !== null;
  if (leader !== undefined && !isGiven) {
    const origin = { ...leader.origin, note: `follows ${leader.key}` };
    set.set('metric_for_best_model', { ...leader, key: 'metric_for_best_model', value: 'loss', origin });
  }
  const greater = set.get('greater_is_better');
  if (greater !== undefined && greater.value !== null && !isGiven && leader === undefined)
    noEffect(found, greater, 'metric_for_best_model is not set');
}

function needsEvaluation(set: Merged, found: Findings): void {
  if (current(set, 'eval_strategy') !== 'no') return;
  for (const [key, compares] of COMPARING) {
    const entry = set.get(key);
    if (entry === undefined || !compares(entry.value)) continue;
    found.problems.push({
      path: entry.path,
      message:
        `${showSetting(entry.value)} compares evaluations during the run, and eval_strategy is no; ` +
        `set eval_strategy: steps or epoch, with eval_datasets (${entry.origin.where})`,
    });
  }
}

function loadBest(set: Merged, found: Findings): void {
  const load = set.get('load_best_model_at_end');
  const problem = load?.value === true ? loadBestProblem(set) : null;
  if (load !== undefined && problem !== null)
    found.problems.push({ path: load.path, message: `${problem} (${load.origin.where})` });
}

function loadBestProblem(set: Merged): string | null {
  const save = current(set, 'save_strategy');
  const evaluate = current(set, 'eval_strategy');
  if (save === 'best' || evaluate === 'no') return null;
  if (save !== evaluate)
    return (
      `needs checkpoints where evaluations are: eval_strategy is ${evaluate}, save_strategy ${save}; make them equal, ` +
      'or set save_strategy: best'
    );
  if (evaluate !== 'steps') return null;
  const [saveSteps, evalSteps] = [current(set, 'save_steps') as number, current(set, 'eval_steps') as number];
  if (saveSteps < 1 !== evalSteps < 1)
    return `cannot hold save_steps ${saveSteps} against eval_steps ${evalSteps}; give both in steps, or both as fractions`;
  return isMultiple(saveSteps, evalSteps)
    ? null
    : `needs a save_steps that is a multiple of eval_steps: ${saveSteps} is none of ${evalSteps}`;
}

/** In whole millionths, as transformers compares fractions. */
const MILLION = 1_000_000;

function isMultiple(of: number, base: number): boolean {
  return of < 1 ? (of * MILLION) % (base * MILLION) === 0 : of % base === 0;
}

function withoutEffect(set: Merged, found: Findings): void {
  const save = current(set, 'save_strategy');
  const steps = set.get('save_steps');
  if (steps && save !== 'steps') noEffect(found, steps, 'save_strategy is not steps');
  const limit = set.get('save_total_limit');
  if (limit && save === 'no') noEffect(found, limit, 'save_strategy is no');
  const threshold = set.get('early_stopping_threshold');
  if (threshold && current(set, 'early_stopping_patience') === null)
    noEffect(found, threshold, 'early_stopping_patience is not set');
  const minutes = set.get('max_minutes');
  if (minutes && minutes.value !== null && save === 'no')
    found.problems.push({
      path: minutes.path,
      message: `ends the run with a checkpoint, and save_strategy is no; set save_strategy: steps (${minutes.origin.where})`,
    });
  const patience = set.get('early_stopping_patience');
  if (patience && patience.value !== null && current(set, 'load_best_model_at_end') !== true)
    found.notices.push({
      path: patience.path,
      message: `ends with the weights of its last step, since load_best_model_at_end is not set (${patience.origin.where})`,
    });
}
