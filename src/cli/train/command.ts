/** nibble train: one run from a configuration. */
import type { Command } from 'commander';
import { printConfig, type ResolvedConfig } from '../../config/index.ts';
import { newCommand } from '../shared/command.ts';
import type { CliContext, Handler } from '../shared/context.ts';
import { readTrainConfig } from '../shared/read-config.ts';
import { addSettingOptions } from '../shared/setting-options.ts';

export type TrainArgs = {
  readonly config: ResolvedConfig;
  /** File for the GPU times of one step. */
  readonly profile: string | undefined;
};

/** Makes the command; `run` trains. */
export function trainCommand(context: CliContext, run: Handler<TrainArgs>): Command {
  const command = newCommand(context, {
    name: 'train',
    summary: 'Fine-tune a model: lora, qlora or full. Flags override the environment, which overrides the file.',
    examples: [
      'nibble train config.yaml                                               # everything from the file',
      'nibble train config.yaml --method qlora --output_dir out-4bit          # the file, with two settings replaced',
      'nibble train --model_name_or_path ./llama --datasets rows.jsonl        # no file at all',
      'nibble train config.yaml --eval_datasets test.jsonl --max_steps 100    # with an evaluation at the end',
      'nibble train config.yaml --adapter_name_or_path out --output_dir more  # go on with the adapter of a run',
      'nibble train out/config.yaml --output_dir again                        # repeat a run from its own folder',
      'nibble train config.yaml --datasets - < rows.jsonl                    # rows from a pipe; "train -" reads the settings so',
      'NIBBLE_MAX_STEPS=20 nibble train config.yaml                           # a setting from the environment',
      'NIBBLE_DEVICE=swiftshader nibble train config.yaml                    # on the software driver, for a try',
      'nibble train config.yaml --profile step.json                           # GPU times of a step, for Perfetto',
      'nibble train config.yaml --strict                                      # advice and settings that are not followed are errors',
      'nibble train config.yaml --print-config                                # every value and its source, no training',
    ],
  })
    .alias('sft')
    .argument('[config]', 'a YAML file of settings; - reads it from standard input')
    .option('--profile <file>', 'after training, time every dispatch of one step and write a Chrome trace')
    .option('--print-config', 'print the resolved configuration and end');
  return addSettingOptions(command).action(
    async (path: string | undefined, { profile, ...options }: Record<string, unknown> & { profile?: string }) => {
      const config = await readTrainConfig(context, path, options, { isStrict: !options.printConfig });
      if (options.printConfig) context.stdout.write(printConfig(config));
      else await run({ config, profile }, context);
    },
  );
}
