/** nibble estimate: the GPU memory that a run would need, without a GPU. */
import { stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { type Command, Option } from 'commander';
import { checkGenerateEstimate, type GenerateEstimateConfig, generateEstimateSettings } from '../../config/generate.ts';
import type { ResolvedConfig, SourceFile } from '../../config/index.ts';
import { ConfigError } from '../../errors.ts';
import { parseHubName } from '../../formats/hub-cache.ts';
import { type EstimateEvent, estimateInputs } from '../../node/estimate.ts';
import { newCommand } from '../shared/command.ts';
import type { CliContext, Handler } from '../shared/context.ts';
import { readSource, readTrainConfig } from '../shared/read-config.ts';
import { addSettingOptions } from '../shared/setting-options.ts';
import { shapeFlags, shapeValues } from '../shared/shape-flags.ts';

export type EstimateArgs = {
  readonly config: ResolvedConfig;
  /** The model's config.json: the one that was named, or the one in model_name_or_path. */
  readonly modelConfig: SourceFile;
  /** Name of a device profile; undefined leaves the choice to the estimator. */
  readonly profile: string | undefined;
  readonly json: boolean;
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
      'Peak GPU memory of LoRA, QLoRA and full training, or of generation, by category and phase. Needs no GPU and no weights.',
    examples: [
      'nibble estimate config.yaml                                # the run that this configuration describes',
      'nibble estimate ./llama/config.json --max_length 512       # any Llama config.json',
      'nibble estimate ./llama --per_device_train_batch_size 1    # a model directory',
      'nibble estimate meta-llama/Llama-3.2-1B                     # a name on the Hugging Face hub: config.json alone is fetched',
      'nibble estimate ./llama --profile lavapipe                 # with the limits of another device',
      'nibble estimate config.yaml --json                         # the same figures for a program',
      'nibble estimate ./llama --generate --context 8192          # of nibble generate, with prompts that fill the context',
      'nibble estimate ./llama --generate --adapter ./out --max_gpu_memory 24GB   # and how long a context, how large a batch fits',
    ],
  })
    .argument(
      '<target>',
      "a YAML configuration, a model's config.json, a model directory, or a model's name on the hub",
    )
    .option('--profile <name>', 'limits and features of the device to plan for')
    .option('--json', 'print JSON')
    .addOption(new Option('--generate', 'the memory of nibble generate, not of training').helpGroup(GROUP))
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
    const { profile, json, generate, adapter, ...given } = options;
    if (generate === true)
      return runGenerate(
        { model: target, adapters: adapter ?? [], config: generationSettings(given), profile, json: json === true },
        context,
      );
    return estimateTraining(target, trainingSettings(given, adapter), { profile, json: json === true });
  });

  async function estimateTraining(
    target: string,
    settings: Readonly<Record<string, unknown>>,
    { profile, json }: Pick<EstimateArgs, 'profile' | 'json'>,
  ): Promise<void> {
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
    if (given !== undefined) return run({ config: asked, modelConfig: given, profile, json }, context);
    const onEvent = (event: EstimateEvent): void => {
      if (event.type === 'note') context.stderr.write(`note: ${event.text}\n`);
    };
    const { config, modelConfig } = await estimateInputs(asked, { onEvent, signal: context.signal });
    const { text } = await readSource(join(config.values.model_name_or_path, 'config.json'), context);
    await run({ config, modelConfig: { path: modelConfig, text }, profile, json }, context);
  }
}

type Options = {
  readonly profile?: string;
  readonly json?: boolean;
  readonly generate?: boolean;
  readonly adapter?: readonly string[];
  readonly [setting: string]: unknown;
};

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
