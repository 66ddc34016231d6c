/** nibble estimate: the GPU memory that a run or generation would need, and the cards that have it, without a GPU. */
import { type Command, Option } from 'commander';
import { checkGenerateEstimate, type GenerateEstimateConfig, generateEstimateSettings } from '../../config/generate.ts';
import type { ResolvedConfig, SourceFile } from '../../config/index.ts';
import { ConfigError } from '../../errors.ts';
import { newCommand } from '../shared/command.ts';
import type { CliContext, Handler } from '../shared/context.ts';
import { readTarget } from '../shared/model-target.ts';
import { addSettingOptions } from '../shared/setting-options.ts';
import { shapeFlags, shapeValues } from '../shared/shape-flags.ts';

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
  readonly generate?: boolean;
  readonly adapter?: readonly string[];
  readonly [setting: string]: unknown;
};

export type GenerateEstimateArgs = {
  /** A model's directory, or its name on the hub. */
  readonly model: string;
  /** DIR or DIR=NAME. */
  readonly adapters: readonly string[];
  readonly config: GenerateEstimateConfig;
  readonly profile: string | undefined;
  readonly json: boolean;
};

const { batch_size, max_new_tokens, context } = generateEstimateSettings.shape;
/** Flags that only generation has, or that mean another thing there. */
const OWN = { batch_size, max_new_tokens, context };
const GROUP = 'Generation (with --generate):';

/** Makes the command; `run` and `runGenerate` record the plan of training and of generation, and print its bytes. */
export function estimateCommand(
  context: CliContext,
  run: Handler<EstimateArgs>,
  runGenerate: Handler<GenerateEstimateArgs>,
): Command {
  const command = newCommand(context, {
    name: 'estimate',
    summary:
      'Peak GPU memory of LoRA, QLoRA and full training, or of generation, by category and phase, and which cards hold it. Needs no GPU and no weights.',
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
      'nibble estimate Llama-3.1-8B --generate --context 8192     # of nibble generate, with prompts that fill the context',
      'nibble estimate ./llama --generate --adapter ./out --max_gpu_memory 24GB   # and how long a context, how large a batch fits',
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
    .addOption(new Option('--markdown', 'print Markdown').conflicts('json'))
    .addOption(
      new Option('--generate', 'the memory of nibble generate, not of training')
        .conflicts(['gpu', 'markdown'])
        .helpGroup(GROUP),
    )
    .addOption(
      new Option(
        '--adapter <dir[=name]>',
        'directory of a PEFT adapter, or its name on the hub; may be given several times',
      )
        .argParser((value, before: string[] = []) => [...before, value])
        .helpGroup(GROUP),
    );
  for (const { flag, help } of shapeFlags(OWN)) command.addOption(new Option(flag, help).helpGroup(GROUP));
  return addSettingOptions(command, ['adapter', 'batch_size']).action(async (target: string, options: Options) => {
    const { profile, gpu, cards = true, json = false, markdown = false, generate, adapter, ...given } = options;
    if (generate === true) {
      const config = generationSettings(given);
      await runGenerate({ model: target, adapters: adapter ?? [], config, profile, json }, context);
      return;
    }
    const read = await readTarget(context, target, trainingSettings(given, adapter));
    await run({ ...read, profile, gpu, cards, json, markdown }, context);
  });
}

/** @throws ConfigError for settings of training, and for values that are wrong */
function generationSettings(given: Readonly<Record<string, unknown>>): GenerateEstimateConfig {
  const { shape } = generateEstimateSettings;
  const foreign = Object.keys(given).filter((key) => !Object.hasOwn(shape, key));
  const problems = foreign.map((path) => ({
    path,
    message: `is no setting of generation; with --generate there are ${Object.keys(shape).join(', ')}`,
  }));
  return checkGenerateEstimate(shapeValues(shape, given), (key) => `--${key}`, problems);
}

/** Settings of training, whose aliases `batch_size` and `adapter` are. @throws ConfigError for flags of generation alone */
function trainingSettings(
  given: Readonly<Record<string, unknown>>,
  adapters: readonly string[] = [],
): Readonly<Record<string, unknown>> {
  const foreign = (['context', 'max_new_tokens'] as const).filter((key) => given[key] !== undefined);
  if (foreign.length > 0)
    throw new ConfigError(
      foreign.map((path) => ({ path, message: 'is a setting of generation: add --generate, or leave it out' })),
    );
  const adapter = adapters.at(-1);
  return adapter === undefined ? given : { ...given, adapter };
}
