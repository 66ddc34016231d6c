/** nibble train: one run from a configuration. */
import type { Command } from 'commander';
import { printConfig, type ResolvedConfig } from '../../config/index.ts';
import type { RunStopped } from '../../errors.ts';
import { newCommand } from '../shared/command.ts';
import type { CliContext, Handler } from '../shared/context.ts';
import { failureOf, STOPPED_EXIT_CODE, Told } from '../shared/failure.ts';
import { jsonLines, type WriteEvent, withJsonNotes } from '../shared/json-lines.ts';
import { readTrainConfig } from '../shared/read-config.ts';
import { addSettingOptions } from '../shared/setting-options.ts';
import { asksForJson, asksForUnattended, CONFIG_VARIABLE } from '../shared/variables.ts';

export type TrainArgs = {
  readonly config: ResolvedConfig;
  /** File for the GPU times of one step. */
  readonly profile: string | undefined;
  /** Whether a run that is begun in output_dir goes on by itself, and a finished one is no error. */
  readonly unattended: boolean;
  /** Writes events as JSON lines; undefined shows them to a person. */
  readonly write: WriteEvent | undefined;
};

/** Makes the command; `run` trains. */
export function trainCommand(context: CliContext, run: Handler<TrainArgs>): Command {
  const command = newCommand(context, {
    name: 'train',
    summary:
      'Fine-tune a model: lora, qlora or full. Flags override the environment, which overrides the file.\n' +
      'Exit codes: 0 done; 2 something to mend; 75 stopped with a checkpoint: start it again with --resume_from_checkpoint true;\n' +
      '130, 143 stopped by SIGINT, SIGTERM without one; 1 a bug of nibble.',
    examples: [
      'nibble train config.yaml                                               # everything from the file',
      'nibble train config.yaml --method qlora --output_dir out-4bit          # the file, with two settings replaced',
      'nibble train --model_name_or_path ./llama --datasets rows.jsonl        # no file at all',
      'nibble train config.yaml --eval_datasets test.jsonl --max_steps 100    # with an evaluation at the end',
      'nibble train config.yaml --adapter_name_or_path out --output_dir more  # go on with the adapter of a run',
      'nibble train out/config.yaml --output_dir again                        # repeat a run from its own folder',
      'nibble train config.yaml --datasets - < rows.jsonl                    # rows from a pipe; "train -" reads the settings so',
      'NIBBLE_MAX_STEPS=20 nibble train config.yaml                           # a setting from the environment',
      'NIBBLE_CONFIG=config.yaml nibble train --unattended --json            # in a container: goes on when started again',
      'NIBBLE_DEVICE=swiftshader nibble train config.yaml                    # on the software driver, for a try',
      'nibble train config.yaml --profile step.json                           # GPU times of a step, for Perfetto',
      'nibble train config.yaml --strict                                      # advice and settings that are not followed are errors',
      'nibble train config.yaml --print-config                                # every value and its source, no training',
    ],
  })
    .alias('sft')
    .argument(
      '[config]',
      `a YAML file of settings; - reads it from standard input; without it ${CONFIG_VARIABLE} is read`,
    )
    .option('--profile <file>', 'after training, time every dispatch of one step and write a Chrome trace')
    .option('--print-config', 'print the resolved configuration and end')
    .option('--json', 'write events as JSON lines to standard output (NIBBLE_LOG=json)')
    .option(
      '--unattended',
      'go on with the run that output_dir holds, if it is of the same settings; do nothing where it is finished (NIBBLE_UNATTENDED=true)',
    );
  return addSettingOptions(command).action(
    async (path: string | undefined, { profile, json, unattended, ...options }: Options) => {
      const write = json || asksForJson(context.env) ? jsonLines(context.stdout) : undefined;
      const shown = write === undefined ? context : withJsonNotes(context, write);
      try {
        const config = await readTrainConfig(shown, path, options, { isStrict: !options.printConfig });
        if (options.printConfig) context.stdout.write(printConfig(config));
        else await run({ config, profile, write, unattended: unattended || asksForUnattended(context.env) }, shown);
      } catch (error) {
        throw write === undefined ? error : told(error, shown, write);
      }
    },
  );
}

type Options = Record<string, unknown> & { profile?: string; json?: boolean; unattended?: boolean };

/** Writes the last line of a run that did not come to its end. */
function told(error: unknown, { signal }: CliContext, write: WriteEvent): Told {
  const { exitCode, message } = failureOf(error, signal);
  const isStop = exitCode === STOPPED_EXIT_CODE;
  const { checkpoint } = error as Partial<RunStopped>;
  if (message !== null) write(isStop ? 'stopped' : 'error', { exit_code: exitCode, message, checkpoint });
  return new Told(exitCode);
}
