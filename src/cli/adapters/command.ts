/** nibble adapters: look at an adapter, and add several up. */
import type { Command } from 'commander';
import { type CombineConfig, checkCombineSettings, combineSettings } from '../../config/combine.ts';
import { checkHubSettings, type HubConfig, hubSettings } from '../../config/hub.ts';
import { show } from '../../config/show.ts';
import { ConfigError } from '../../errors.ts';
import { newCommand } from '../shared/command.ts';
import type { CliContext, Handler } from '../shared/context.ts';
import { shapeFlags, shapeValues } from '../shared/shape-flags.ts';

export type InspectArgs = {
  readonly adapter: string;
  readonly model: string | undefined;
  readonly config: HubConfig;
  readonly json: boolean;
};
export type CombineArgs = {
  readonly out: string;
  readonly adapters: readonly { readonly directory: string; readonly weight: number }[];
  readonly model: string | undefined;
  readonly config: CombineConfig;
  readonly json: boolean;
};

type Handlers = { readonly inspect: Handler<InspectArgs>; readonly combine: Handler<CombineArgs> };

/** Makes the command with its subcommands. */
export function adaptersCommand(context: CliContext, handlers: Handlers): Command {
  const examples = [
    'nibble adapters inspect ./out                                              # ranks, scalings, size of the updates',
    'nibble adapters combine ./both --adapter ./law=0.5 --adapter ./code=0.5    # one adapter of two',
  ];
  const command = newCommand(context, { name: 'adapters', summary: 'Look at adapters, and add them up.', examples });
  command.addCommand(inspectCommand(context, handlers.inspect));
  command.addCommand(combineCommand(context, handlers.combine));
  return command;
}

function inspectCommand(context: CliContext, run: Handler<InspectArgs>): Command {
  const command = newCommand(context, {
    name: 'inspect',
    summary:
      'Show what an adapter is: targets, ranks, scalings, parameters, and how large its updates are against the weights of the base.',
    examples: [
      'nibble adapters inspect ./out                   # the base is the one that the adapter names, where that is a folder',
      'nibble adapters inspect ./out --model ./llama   # with the norms of this base',
      'nibble adapters inspect ./out --json            # every module, for a program',
    ],
  })
    .argument('<adapter>', 'directory of a PEFT adapter, or its name on the hub')
    .option(
      '--model <dir>',
      "directory of the base model, or its name on the hub (default: the adapter's own, where that is a folder here)",
    )
    .option('--json', 'print JSON');
  for (const { flag, help } of shapeFlags(hubSettings.shape)) command.option(flag, help);
  return command.action(async (adapter: string, { model, json, ...given }: Record<string, unknown>) => {
    const config = checkHubSettings(shapeValues(hubSettings.shape, given), (key) => `--${key}`);
    await run({ adapter, model: model as string | undefined, config, json: json === true }, context);
  });
}

function combineCommand(context: CliContext, run: Handler<CombineArgs>): Command {
  const command = newCommand(context, {
    name: 'combine',
    summary: "Write the weighted sum of adapters as one adapter, as PEFT's add_weighted_adapter makes it.",
    examples: [
      'nibble adapters combine ./both --adapter ./law=0.5 --adapter ./code=0.5                          # of the larger rank',
      'nibble adapters combine ./both --adapter ./law=0.5 --adapter ./code=0.5 --combination_type cat   # exact, ranks add up',
      'nibble adapters combine ./less --adapter ./law=0.3                                               # one, weaker',
      'nibble adapters combine ./small --adapter ./law=1 --svd_rank 4                                   # one, of a smaller rank',
      'nibble adapters combine ./not --adapter ./all=1 --adapter ./law=-1 --svd_rank 16                 # one without the other',
    ],
  })
    .argument('<out>', 'directory to write; it must be empty or new')
    .requiredOption(
      '--adapter <dir=weight>',
      'an adapter, a directory or its name on the hub, and its weight; several times',
      collected,
    )
    .option(
      '--model <dir>',
      "directory of the base model, or its name on the hub; config.json is read (default: the first adapter's own)",
    )
    .option('--json', 'print what was written as JSON');
  for (const { flag, help } of shapeFlags(combineSettings.shape)) command.option(flag, help);
  return command.action(async (out: string, options: Record<string, unknown>) => {
    const config = checkCombineSettings(shapeValues(combineSettings.shape, options), (key) => `--${key}`);
    const adapters = (options.adapter as readonly string[]).map(weighted);
    await run(
      { out, adapters, model: options.model as string | undefined, config, json: options.json === true },
      context,
    );
  });
}

const collected = (value: string, before: readonly string[] = []): readonly string[] => [...before, value];

/** @throws ConfigError for what is no DIR=WEIGHT */
function weighted(text: string): { readonly directory: string; readonly weight: number } {
  const [, directory = '', digits = ''] = /^(.+)=([^=]+)$/.exec(text) ?? [];
  const weight = Number(digits);
  if (directory !== '' && digits.trim() !== '' && Number.isFinite(weight)) return { directory, weight };
  throw new ConfigError([{ path: '--adapter', message: `is ${show(text)}, needs DIR=WEIGHT, such as ./law=0.5` }]);
}
