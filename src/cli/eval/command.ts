/** nibble eval: what a model and its adapters know. */
import type { Command } from 'commander';
import { checkEvalSettings, type EvalConfig, evalSettings } from '../../config/eval.ts';
import { newCommand } from '../shared/command.ts';
import type { CliContext, Handler } from '../shared/context.ts';
import { shapeFlags, shapeValues } from '../shared/shape-flags.ts';

export type EvalArgs = {
  readonly model: string;
  /** DIR or DIR=NAME. */
  readonly adapters: readonly string[];
  readonly config: EvalConfig;
  readonly json: boolean;
};

/** Settings with a flag that takes several values, and may be given several times. */
const { tasks: _tasks, texts: _texts, ...single } = evalSettings.shape;
const WORDS = { datasets: 'paths with commas between them' };

/** Makes the command; `run` evaluates. */
export function evalCommand(context: CliContext, run: Handler<EvalArgs>): Command {
  const command = newCommand(context, {
    name: 'eval',
    summary:
      "Evaluate a model, alone and with PEFT adapters, on the same items: tasks in lm-eval's YAML with rows of your own, the loss of " +
      'datasets, and the perplexity of texts. Prints a table with standard errors, intervals and tests.',
    examples: [
      'nibble eval ./llama --tasks task.yaml                                # a task in the YAML of lm-evaluation-harness',
      'nibble eval ./llama --adapter ./out --tasks tasks/ --limit 100       # base and adapter on the first 100 rows of each task',
      'nibble eval ./llama --adapter ./a=law --adapter ./b=code --datasets eval.jsonl   # loss and perplexity, rows as in training',
      'nibble eval ./llama --adapter ./out --both_bases --tasks task.yaml   # in 16 bits and in 4 bits, side by side',
      'nibble eval ./llama --tasks task.yaml --apply_chat_template          # asked as chats, in the chat template of the model',
      'nibble eval ./llama --texts book.txt --stride 256                    # perplexity in windows that overlap',
      "nibble eval ./llama --tasks task.yaml --output_path results          # results and samples in lm-eval's layout",
      'nibble eval ./llama --tasks task.yaml --json                         # everything as JSON, for scripts',
    ],
  })
    .argument(
      '<model>',
      'directory of a Hugging Face model (config.json, safetensors, tokenizer.json), or its name on the hub',
    )
    .option(
      '--adapter <dir[=name]>',
      'directory of a PEFT adapter, or its name on the hub; several by names, each a model of the table',
      collect,
      [],
    )
    .option(
      '--tasks <paths>',
      "task files in lm-eval's YAML, or folders of them, with commas between them; may be given several times",
      collectPaths,
      [],
    )
    .option(
      '--texts <paths>',
      'text files whose perplexity is taken in windows, with commas between them; may be given several times',
      collectPaths,
      [],
    )
    .option('--json', 'print the table as JSON, with the comparison of every two models');
  for (const { flag, help } of shapeFlags(single, WORDS)) command.option(flag, help);
  return command.action(async (model: string, options: Record<string, unknown>) => {
    const { adapter, tasks, texts, json } = options;
    const config = checkEvalSettings({ ...shapeValues(single, options), tasks, texts }, (key) => `--${key}`);
    await run({ model, adapters: adapter as string[], config, json: json === true }, context);
  });
}

const collect = (value: string, before: string[]): string[] => [...before, value];
const collectPaths = (value: string, before: string[]): string[] => [
  ...before,
  ...value.split(',').filter((path) => path !== ''),
];
