/** nibble estimate: the GPU memory that a run would need, and the cards that have it, without a GPU. */
import { type Command, Option } from 'commander';
import type { ResolvedConfig, SourceFile } from '../../config/index.ts';
import { newCommand } from '../shared/command.ts';
import type { CliContext, Handler } from '../shared/context.ts';
import { readTarget } from '../shared/model-target.ts';
import { addSettingOptions } from '../shared/setting-options.ts';

export type EstimateArgs = {
  readonly config: ResolvedConfig;
  /** The model's config.json: the one that was named, or the one in model_name_or_path. */
  readonly modelConfig: SourceFile;
  /** Name of a device profile; undefined leaves the choice to the card, or else to the estimator. */
  readonly profile: string | undefined;
  /** Name or size of the one card to answer for; undefined answers for all sizes. */
  readonly gpu: string | undefined;
  /** Whether to say what cards hold, which takes many more plans. */
  readonly cards: boolean;
  readonly json: boolean;
  readonly markdown: boolean;
};

type Options = {
  readonly profile?: string;
  readonly gpu?: string;
  readonly cards?: boolean;
  readonly json?: boolean;
  readonly markdown?: boolean;
};

/** Makes the command; `run` records the plan and prints its bytes. */
export function estimateCommand(context: CliContext, run: Handler<EstimateArgs>): Command {
  const command = newCommand(context, {
    name: 'estimate',
    summary:
      'Peak GPU memory of LoRA, QLoRA and full training, by category and phase, and which cards hold it. Needs no GPU and no weights.',
    examples: [
      'nibble estimate config.yaml                                # the run that this configuration describes',
      'nibble estimate Llama-3.1-8B                               # a published shape, with the settings that people use',
      'nibble estimate ./llama/config.json --max_length 512       # any Llama config.json',
      'nibble estimate ./llama --per_device_train_batch_size 1    # a model directory',
      'nibble estimate meta-llama/Llama-3.2-1B                    # a name on the Hugging Face hub: config.json alone is fetched',
      'nibble estimate ./llama --gpu rtx4090                      # one card, by its name or size (24, 24gb): what would help on it',
      'nibble estimate ./llama --gpu m3-max-64 --markdown         # a Mac; tables for an issue or a page',
      'nibble estimate ./llama --profile lavapipe                 # with the limits of another device',
      'nibble estimate config.yaml --json                         # the same figures for a program',
    ],
  })
    .argument(
      '<target>',
      "a YAML configuration, a model's config.json, a model directory, a model's name on the hub, or a published shape",
    )
    .option('--gpu <card>', 'answer for one card: its name, or the size of its memory in GB as on the box')
    .option('--profile <name>', 'limits and features of the device to plan for; by default those of the card')
    .option('--no-cards', 'leave out what cards hold, which takes seconds')
    .option('--json', 'print JSON')
    .addOption(new Option('--markdown', 'print Markdown').conflicts('json'));
  return addSettingOptions(command).action(async (target: string, options: Record<string, unknown>) => {
    const { profile, gpu, cards = true, json = false, markdown = false, ...settings } = options as Options;
    await run({ ...(await readTarget(context, target, settings)), profile, gpu, cards, json, markdown }, context);
  });
}
