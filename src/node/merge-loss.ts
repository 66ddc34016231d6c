/** What a merge costs: the loss of a dataset with base and adapter side by side, and with the merged model as it was written. */
import { checkEvalSettings, datasetSettings } from '../config/eval.ts';
import type { MergeConfig } from '../config/merge.ts';
import { type LossCell, lossRow, type RowLosses } from '../eval/table.ts';
import type { RowMean } from '../results/row-error.ts';
import type { DeviceChoice } from './device-choice.ts';
import { type EvalJob, evaluateModels, type Listener } from './eval.ts';
import type { NamedFolder } from './prompts.ts';

/** Losses in nats per token, over the rows of a dataset. */
export type MergeLoss = {
  readonly dataset: string;
  readonly rows: number;
  readonly tokens: number;
  /** Base and adapter, not merged. */
  readonly before: Omit<LossCell, 'model'>;
  readonly after: Omit<LossCell, 'model'>;
  /** After less before, row by row; null below eight rows. */
  readonly difference: RowMean | null;
};

type Job = {
  readonly model: string;
  readonly adapter: string;
  readonly config: MergeConfig;
  readonly device?: DeviceChoice | undefined;
};

type Named = { readonly name: string; readonly losses: RowLosses };

/** Takes both losses on the same rows, those of the base's tokenizer; nothing at all where there is no dataset. */
export function mergeLosses({ model, adapter, config, device }: Job, listener: Listener) {
  const isAsked = config.datasets.length > 0;
  const losses = async (folder: string, adapters: readonly NamedFolder[], name: string): Promise<Named[]> => {
    const settings = evalSettingsOf(config, adapters.length === 0);
    const job: EvalJob = { model: folder, modelName: name, adapters, config: settings, device };
    const { input, done } = await evaluateModels(job, listener, model);
    const [only] = done;
    return input.datasets.map((set, i) => ({ name: set.name, losses: only!.datasets[i] as RowLosses }));
  };
  return {
    before: async (): Promise<Named[]> =>
      isAsked ? losses(model, [{ name: 'adapter', directory: adapter }], 'model') : [],
    after: async (merged: string, before: readonly Named[]): Promise<MergeLoss[]> => {
      const after = isAsked ? await losses(merged, [], 'out') : [];
      return after.map(({ name, losses: own }, i) => compared(name, before[i]!.losses, own));
    },
  };
}

function evalSettingsOf(config: MergeConfig, isBase: boolean) {
  const { compute_dtype, matmul_tier, max_gpu_memory, batch_size, offline, model_revision } = config;
  const keys = Object.keys(datasetSettings) as (keyof typeof datasetSettings)[];
  const rows = Object.fromEntries(keys.map((key) => [key, config[key]]));
  const computing = { compute_dtype, matmul_tier, max_gpu_memory, batch_size, offline, model_revision };
  return checkEvalSettings({ ...rows, ...computing, include_base: isBase }, () => 'merge');
}

function compared(dataset: string, before: RowLosses, after: RowLosses): MergeLoss {
  const row = lossRow(dataset, [
    { ...before, model: 'before' },
    { ...after, model: 'after' },
  ]);
  const cell = (model: string): Omit<LossCell, 'model'> => {
    const { model: _, ...found } = row.models.find((one) => one.model === model) as LossCell;
    return found;
  };
  return {
    dataset,
    rows: row.rows,
    tokens: row.tokens,
    before: cell('before'),
    after: cell('after'),
    difference: row.differences[0]?.difference ?? null,
  };
}
