/** Finds the checkpoint that a run goes on from, and holds the run against it. */
import { stat } from 'node:fs/promises';
import path from 'node:path';
import type { z } from 'zod';
import type { SettingKey, TrainConfig } from '../config/index.ts';
import { stateKind } from '../config/optimizers.ts';
import { show } from '../config/show.ts';
import { ConfigError, type ConfigProblem, DataError, exitCodeOf } from '../errors.ts';
import { canonicalJson } from '../results/identity.ts';
import { RESUME_FILE, readResumeFile } from '../train/resume-file.ts';
import type { ResumePoint } from '../train/train-options.ts';
import { checkpointNames } from './checkpoint-store.ts';
import { sha256Of } from './environment.ts';
import { nodeReader } from './files.ts';
import type { Material } from './material.ts';

type Note = (text: string) => void;
type Resuming = Pick<TrainConfig, 'resume_from_checkpoint' | 'output_dir'>;

/** Whether a run may go on in its folder, so that the folder need not be empty. */
export function goesOnInFolder({ resume_from_checkpoint: from, output_dir }: Resuming): boolean {
  if (typeof from !== 'string') return from === true;
  return path.dirname(path.resolve(from)) === path.resolve(output_dir);
}

/**
 * Finds and checks the checkpoint: the newest complete one of the folder, or the one that was named; null to begin at the
 * beginning. @throws ConfigError, DataError for one that was named and is not there, or not whole
 */
export async function findResumePoint(config: Resuming, note: Note): Promise<ResumePoint | null> {
  const { resume_from_checkpoint: from, output_dir } = config;
  if (from === null || from === false) return null;
  if (from !== true) return openNamed(path.resolve(from));
  for (const name of (await checkpointNames(output_dir)).reverse()) {
    try {
      return await openResumePoint(path.join(output_dir, name));
    } catch (error) {
      if (exitCodeOf(error) !== 2) throw error;
      note(`passed over: ${(error as Error).message}`);
    }
  }
  note(`resume_from_checkpoint: ${output_dir} has no complete checkpoint, so the run starts from its beginning`);
  return null;
}

async function openNamed(folder: string): Promise<ResumePoint> {
  const refuse = (message: string): never => {
    throw new ConfigError([{ path: 'resume_from_checkpoint', message: `${folder} ${message}` }]);
  };
  const found = await stat(folder).catch(() => null);
  if (found === null) refuse('is not there; give the folder of a checkpoint, or true for the newest one in output_dir');
  if (found?.isDirectory() === false)
    refuse('is no folder; give the folder of a checkpoint, such as out/checkpoint-500');
  if (await nodeReader(folder).exists(RESUME_FILE)) return openResumePoint(folder);
  const within = await checkpointNames(folder);
  if (within.length > 0) refuse(`is the folder of a run; give one of its checkpoints, such as ${within.at(-1)}`);
  return refuse(
    `holds no ${RESUME_FILE}, so it is no whole checkpoint of nibble; ` +
      'adapter_name_or_path goes on with the weights of another one, without its optimizer',
  );
}

/** @throws DataError where a file is not as it was written */
async function openResumePoint(folder: string): Promise<ResumePoint> {
  const reader = nodeReader(folder);
  const file = await readResumeFile(reader);
  for (const [name, { bytes, sha256 }] of Object.entries(file.files)) {
    const where = path.join(folder, name);
    const size = (await reader.exists(name)) ? await reader.size(name) : null;
    if (size === bytes && (await sha256Of(reader, name)) === sha256) continue;
    const got =
      size === null ? 'is not there' : size === bytes ? 'has other content' : `has ${size} bytes instead of ${bytes}`;
    throw new DataError(where, `${got}, so the checkpoint is not as it was saved. Give another checkpoint.`);
  }
  return { name: path.basename(folder), reader, file };
}

/** What a checkpoint says of its run. */
export type RunOrigin = {
  readonly settings: Readonly<Record<string, unknown>>;
  readonly files: Readonly<Record<string, string | null>>;
  readonly device: string;
};

export function runOrigin(
  config: TrainConfig,
  { modelInfo, dataHashes, ...material }: Material,
  device: string,
): RunOrigin {
  const { train, eval: evaluation, tokenizer } = dataHashes;
  return {
    settings: { ...config, resume_from_checkpoint: null, datasets: config.datasets.map(withoutPath) },
    files: {
      model: modelInfo.sha256_of_weights,
      config: modelInfo.config_sha,
      adapter: material.initialAdapterSha256,
      datasets: train,
      eval_datasets: evaluation,
      tokenizer,
    },
    device,
  };
}

/** A dataset is the same wherever its file lies. */
function withoutPath({ path: _, ...others }: TrainConfig['datasets'][number]): object {
  return others;
}

/** Settings that change nothing of what is computed. */
const FREE: readonly SettingKey[] = [
  ...(['output_dir', 'model_name_or_path', 'adapter_name_or_path', 'eval_datasets', 'max_gpu_memory'] as const),
  'paged_optimizer_memory',
  ...(['resume_from_checkpoint', 'max_minutes', 'save_strategy', 'save_steps', 'save_total_limit'] as const),
  ...(['load_best_model_at_end', 'dataset_dir', 'strict', 'report_to', 'logging_dir', 'model_revision'] as const),
  ...(['offline', 'dataset_config', 'dataset_train_split', 'dataset_test_split'] as const),
  'measure_quantization_error',
];
/** Settings with which a run may go on otherwise than it began. */
const CHANGEABLE: readonly SettingKey[] = [
  ...(['num_train_epochs', 'max_steps', 'learning_rate', 'lr_scheduler_type', 'lr_scheduler_kwargs'] as const),
  ...(['neftune_noise_alpha', 'loraplus_lr_ratio', 'loraplus_lr_embedding'] as const),
  ...(['warmup_steps', 'weight_decay', 'adam_beta1', 'adam_beta2', 'adam_epsilon', 'max_grad_norm'] as const),
  ...(['lora_dropout', 'gradient_checkpointing', 'matmul_tier', 'per_device_eval_batch_size'] as const),
  ...(['growth_factor', 'backoff_factor', 'growth_interval', 'on_nan', 'logging_steps'] as const),
  ...(['logging_first_step', 'eval_strategy', 'eval_steps', 'eval_on_start', 'eval_packing'] as const),
  ...(['eval_generate', 'eval_generate_max_new_tokens'] as const),
  ...(['metric_for_best_model', 'greater_is_better', 'early_stopping_patience'] as const),
  'early_stopping_threshold',
];

/** A state is the same whichever way an optimizer holds it. */
const asCompared = (key: SettingKey, value: unknown): unknown =>
  key === 'optim' && typeof value === 'string' ? stateKind(value) : value;

/** What each of the files is called in messages. */
const FILES: Readonly<Record<string, readonly [SettingKey, string]>> = {
  model: ['model_name_or_path', 'weights'],
  config: ['model_name_or_path', 'a config.json'],
  adapter: ['adapter_name_or_path', 'an adapter'],
  datasets: ['datasets', 'rows'],
  tokenizer: ['model_name_or_path', 'a tokenizer'],
};

/**
 * Tells what has changed since the checkpoint.
 * @throws ConfigError where the run could not be the same one: other weights, rows or shapes
 */
export function requireSameRun({ file, reader }: ResumePoint, now: RunOrigin, nibbleVersion: string, note: Note): void {
  const then = file.run as z.infer<z.ZodType<RunOrigin>>;
  const problems: ConfigProblem[] = [];
  const root = reader.root;
  for (const [name, [key, what]] of Object.entries(FILES))
    if (then.files[name] !== now.files[name])
      problems.push({
        path: key,
        message: `gives other ${what} than the run in ${root} was started with; give the same, or train anew in another output_dir`,
      });
  if (then.files.eval_datasets !== now.files.eval_datasets)
    note('eval_datasets: other rows than before the checkpoint; its evaluations do not compare with those to come');
  for (const key of Object.keys(now.settings) as SettingKey[]) {
    const [before, after] = [asCompared(key, then.settings[key]), asCompared(key, now.settings[key])];
    if (before === undefined || FREE.includes(key) || canonicalJson(before) === canonicalJson(after)) continue;
    if (CHANGEABLE.includes(key)) note(`${key}: ${show(before)} up to the checkpoint, ${show(after)} from now on`);
    else
      problems.push({
        path: key,
        message: `got ${show(after)}, the run in ${root} has ${show(before)} and cannot go on otherwise; set it back, or train anew in another output_dir`,
      });
  }
  if (then.device !== now.device)
    note(`it goes on on ${now.device}, and began on ${then.device}: equal, but not to the bit`);
  if (file.nibble_version !== nibbleVersion)
    note(`the checkpoint is of nibble ${file.nibble_version}, this is ${nibbleVersion}`);
  if (problems.length > 0) throw new ConfigError(problems);
}
