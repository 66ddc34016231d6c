/** nibble estimate: the GPU memory that a run would need, without a GPU. */
import { stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { Command } from 'commander';
import type { ResolvedConfig, SourceFile } from '../../config/index.ts';
import { ConfigError } from '../../errors.ts';
import { hubHint, requireModel } from '../../node/inputs.ts';
import { newCommand } from '../shared/command.ts';
import type { CliContext, Handler } from '../shared/context.ts';
import { readSource, readTrainConfig } from '../shared/read-config.ts';
import { addSettingOptions } from '../shared/setting-options.ts';

export type EstimateArgs = {
  readonly config: ResolvedConfig;
  /** The model's config.json: the one that was named, or the one in model_name_or_path. */
  readonly modelConfig: SourceFile;
  /** Name of a device profile; undefined leaves the choice to the estimator. */
  readonly profile: string | undefined;
  readonly json: boolean;
};

/** Makes the command; `run` records the plan and prints its bytes. */
export function estimateCommand(context: CliContext, run: Handler<EstimateArgs>): Command {
  const command = newCommand(context, {
    name: 'estimate',
    summary: 'Peak GPU memory of LoRA, QLoRA and full training, by category and phase. Needs no GPU and no weights.',
    examples: [
      'nibble estimate config.yaml                                # the run that this configuration describes',
      'nibble estimate ./llama/config.json --max_length 512       # any Llama config.json',
      'nibble estimate ./llama --per_device_train_batch_size 1    # a model directory',
      'nibble estimate ./llama --profile lavapipe                 # with the limits of another device',
      'nibble estimate config.yaml --json                         # the same figures for a program',
    ],
  })
    .argument('<target>', "a YAML configuration, a model's config.json, or a model directory")
    .option('--profile <name>', 'limits and features of the device to plan for')
    .option('--json', 'print JSON');
  return addSettingOptions(command).action(async (target: string, options: Record<string, unknown>) => {
    const { profile, json, ...settings } = options as { profile?: string; json?: boolean };
    const model = await modelConfigAt(target, context);
    const config =
      model === undefined
        ? await readTrainConfig(context, target, settings, { purpose: 'estimate' })
        : await readTrainConfig(
            context,
            undefined,
            { model_name_or_path: dirname(model.path), ...settings },
            { purpose: 'estimate' },
          );
    if (model === undefined) await requireModel(config);
    const modelConfig = model ?? (await readSource(join(config.values.model_name_or_path, 'config.json'), context));
    await run({ config, modelConfig, profile, json: json === true }, context);
  });
}

/** Reads the model's config.json where `target` is that or its directory; undefined for a training configuration. */
async function modelConfigAt(target: string, context: CliContext): Promise<SourceFile | undefined> {
  const found = await stat(target).catch(() => null);
  if (found?.isDirectory()) return readSource(join(target, 'config.json'), context);
  const hint = hubHint(target, 'model');
  if (found === null && hint !== '')
    throw new ConfigError([{ path: 'target', message: `there is no ${target} in ${process.cwd()}${hint}` }]);
  return basename(target).endsWith('.json') ? readSource(target, context) : undefined;
}
