/** nibble estimate: the GPU memory that a run would need, without a GPU. */
import { stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { Command } from 'commander';
import type { ResolvedConfig, SourceFile } from '../../config/index.ts';
import { parseHubName } from '../../formats/hub-cache.ts';
import { type EstimateEvent, estimateInputs } from '../../node/estimate.ts';
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
      'nibble estimate meta-llama/Llama-3.2-1B                     # a name on the Hugging Face hub: config.json alone is fetched',
      'nibble estimate ./llama --profile lavapipe                 # with the limits of another device',
      'nibble estimate config.yaml --json                         # the same figures for a program',
    ],
  })
    .argument(
      '<target>',
      "a YAML configuration, a model's config.json, a model directory, or a model's name on the hub",
    )
    .option('--profile <name>', 'limits and features of the device to plan for')
    .option('--json', 'print JSON');
  return addSettingOptions(command).action(async (target: string, options: Record<string, unknown>) => {
    const { profile, json, ...settings } = options as { profile?: string; json?: boolean };
    const given = await modelConfigAt(target, context);
    const model = given === undefined ? await modelNamed(target) : dirname(given.path);
    const asked =
      model === undefined
        ? await readTrainConfig(context, target, settings, { purpose: 'estimate' })
        : await readTrainConfig(
            context,
            undefined,
            { model_name_or_path: model, ...settings },
            { purpose: 'estimate' },
          );
    if (given !== undefined) return run({ config: asked, modelConfig: given, profile, json: json === true }, context);
    const onEvent = (event: EstimateEvent): void => {
      if (event.type === 'note') context.stderr.write(`note: ${event.text}\n`);
    };
    const { config, modelConfig } = await estimateInputs(asked, { onEvent, signal: context.signal });
    const { text } = await readSource(join(config.values.model_name_or_path, 'config.json'), context);
    await run({ config, modelConfig: { path: modelConfig, text }, profile, json: json === true }, context);
  });
}

/** A target that is a name on the hub. */
async function modelNamed(target: string): Promise<string | undefined> {
  const isThere = (await stat(target).catch(() => null)) !== null;
  return isThere || parseHubName(target) === null ? undefined : target;
}

/** Reads the model's config.json where `target` is that or its directory; undefined for a training configuration. */
async function modelConfigAt(target: string, context: CliContext): Promise<SourceFile | undefined> {
  const found = await stat(target).catch(() => null);
  if (found?.isDirectory()) return readSource(join(target, 'config.json'), context);
  return basename(target).endsWith('.json') ? readSource(target, context) : undefined;
}
