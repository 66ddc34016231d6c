/** nibble advise: LoRA or QLoRA for a model on a card, with the arithmetic behind it. */
import { type Command, InvalidArgumentError } from 'commander';
import { newCommand } from '../shared/command.ts';
import type { CliContext, Handler } from '../shared/context.ts';
import { type ModelTarget, readTarget } from '../shared/model-target.ts';
import { addSettingOptions } from '../shared/setting-options.ts';

export type AdviseArgs = ModelTarget & {
  /** Name or size of the card. */
  readonly gpu: string;
  readonly gpus: number;
  readonly quality: boolean;
  readonly adapters: number;
  readonly profile: string | undefined;
  /** Folder of results; undefined looks into results/ where there is one. */
  readonly results: string | undefined;
  readonly json: boolean;
};

type Options = Partial<Omit<AdviseArgs, keyof ModelTarget>>;

/** Makes the command; `run` works out the advice and prints it. */
export function adviseCommand(context: CliContext, run: Handler<AdviseArgs>): Command {
  const command = newCommand(context, {
    name: 'advise',
    summary: 'LoRA or QLoRA for a model on a GPU, in a sentence with its arithmetic. Needs no GPU and no weights.',
    examples: [
      'nibble advise Llama-3.1-8B --gpu rtx4090                   # a card by its name',
      'nibble advise ./llama --gpu 16                             # or by its memory, as on the box: 16, 16gb',
      'nibble advise ./llama --gpu 24 --datasets train.jsonl      # rows as long as these are',
      'nibble advise ./llama --gpu 24 --max_length 8192           # long rows',
      'nibble advise ./llama --gpu 24 --quality                   # every bit of quality counts',
      'nibble advise ./llama --gpu 24 --adapters 20               # many adapters of one base',
      'nibble advise ./llama --gpu 24 --gpus 2                    # several cards: a run uses one',
      'nibble advise ./llama --gpu l4 --results results/mine      # by ratios that were measured',
    ],
  })
    .argument(
      '<model>',
      'a model directory, its config.json, a name on the hub, a published shape, or a YAML configuration',
    )
    .requiredOption('--gpu <card>', 'the card: its name, or the size of its memory in GB as on the box')
    .option('--gpus <n>', 'how many of them there are', wholeNumber, 1)
    .option('--quality', 'every bit of quality counts')
    .option('--adapters <n>', 'how many adapters one base is to have', wholeNumber, 1)
    .option(
      '--results <folder>',
      'folder with records of runs to take measured ratios from; by default results, if there',
    )
    .option('--profile <name>', 'limits and features of the device to plan for; by default those of the card')
    .option('--json', 'print JSON');
  return addSettingOptions(command).action(async (target: string, given: Record<string, unknown>) => {
    const {
      gpu = '',
      gpus = 1,
      quality = false,
      adapters = 1,
      profile,
      results,
      json = false,
      ...settings
    } = given as Options;
    const model = await readTarget(context, target, settings);
    await run({ ...model, gpu, gpus, quality, adapters, profile, results, json }, context);
  });
}

function wholeNumber(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 1) throw new InvalidArgumentError('wanted a whole number of at least 1');
  return value;
}
