/** finetune(): a run from a program, with the settings of `nibble train` as typed options and rows from memory. */
import { loadTrainConfig, type ResolvedConfig, type TrainSettings } from '../config/index.ts';
import { ConfigError, type ConfigProblem } from '../errors.ts';
import { type CallOptions, callProblems, collect, requireOptions } from './call.ts';
import { type DeviceChoice, deviceChoice, knownChoice } from './device-choice.ts';
import { type DatasetOption, datasetsInMemory, type TrainRow } from './finetune-rows.ts';
import { placeOfSingleRun, run } from './run.ts';
import type { RowsInMemory, RunEvent, RunOutcome } from './run-types.ts';

export type { DatasetOption, TrainRow };

/** Events of a run, in order: device, data, plan, advice where there is any, then those of training. */
export type FinetuneEvent = Exclude<RunEvent, { readonly type: 'end' }>;

export type FinetuneOptions = Omit<TrainSettings, 'model_name_or_path' | 'datasets' | 'eval_datasets' | 'output_dir'> &
  CallOptions<FinetuneEvent> & {
    /** Directory of a Hugging Face model: config.json, safetensors, tokenizer.json. */
    readonly model_name_or_path: string;
    /** Rows to learn from: files by path, or rows from memory. */
    readonly datasets: readonly DatasetOption[];
    readonly eval_datasets?: readonly DatasetOption[] | undefined;
    /**
     * New or empty folder for the adapter and its record, by default trainer_output; null keeps nothing on the disk. With
     * resume_from_checkpoint it may hold the run to go on with.
     */
    readonly output_dir?: string | null | undefined;
    /** By default the device that NIBBLE_DEVICE names, else the best one there is. */
    readonly device?: DeviceChoice | undefined;
  };

export type FinetuneResult = RunOutcome;

/**
 * Fine-tunes a model as `nibble train` does: equal settings and rows give equal losses and an equal adapter. The device
 * is closed and all memory released on every way out.
 * @throws ConfigError with all that is wrong in the options, and with `strict` all advice; DataError for files and rows; DeviceError; when aborted,
 * the signal's reason, at the next step and after a checkpoint; RunStopped when max_minutes are over
 */
export async function finetune(options: FinetuneOptions): Promise<FinetuneResult> {
  requireOptions('finetune', options, "{ model_name_or_path: './llama', datasets: [{ path: 'rows.jsonl' }] }");
  const problems = callProblems(options);
  if (problems.length > 0) throw new ConfigError(problems);
  const { onEvent = () => undefined, signal = new AbortController().signal, device, ...settings } = options;
  const note = (text: string): void => onEvent({ type: 'note', text });
  const choice = collect(problems, () =>
    device === undefined ? deviceChoice(process.env, note) : knownChoice(device, 'device'),
  );
  const rows = new Map<string, RowsInMemory>();
  const config = collect(problems, () => resolve(settings, rows, problems));
  if (choice === undefined || config === undefined || problems.length > 0) throw new ConfigError(problems);
  for (const { path, message, isFollowed } of config.notices)
    if (isFollowed || !config.values.strict) note(`${path}: ${message}`);
  return run(config, {
    place: placeOfSingleRun(config, []),
    device: choice,
    keep: settings.output_dir !== null,
    rows,
    signal,
    onEvent: (event) => {
      if (event.type !== 'end') onEvent(event);
    },
  });
}

type Settings = Omit<FinetuneOptions, keyof CallOptions<FinetuneEvent> | 'device'>;

/** Replaces rows in the options by their names, and resolves the settings that remain. */
function resolve(settings: Settings, rows: Map<string, RowsInMemory>, problems: ConfigProblem[]): ResolvedConfig {
  const { datasets, eval_datasets, output_dir, ...rest } = settings;
  const named = {
    ...rest,
    datasets: datasetsInMemory('datasets', datasets, rows, problems),
    eval_datasets: datasetsInMemory('eval_datasets', eval_datasets, rows, problems),
    output_dir: output_dir ?? undefined,
  };
  return loadTrainConfig({ options: named as TrainSettings });
}
