/** nibble generate: text from a model, with or without adapters. */
import type { Command } from 'commander';
import { checkGenerateSettings, type GenerateConfig, generateSettings } from '../../config/generate.ts';
import { ConfigError } from '../../errors.ts';
import { newCommand } from '../shared/command.ts';
import type { CliContext, Handler } from '../shared/context.ts';
import { shapeFlags, shapeValues } from '../shared/shape-flags.ts';

export type GenerateArgs = {
  readonly model: string;
  /** DIR or DIR=NAME. */
  readonly adapters: readonly string[];
  readonly prompts: readonly string[];
  /** A file of prompts, or - for standard input. */
  readonly file: string | undefined;
  readonly config: GenerateConfig;
  readonly json: boolean;
};

/** Settings with a flag that is given once for each value. */
const { stop: _stop, ...single } = generateSettings.shape;

/** Makes the command; `run` generates. */
export function generateCommand(context: CliContext, run: Handler<GenerateArgs>): Command {
  const command = newCommand(context, {
    name: 'generate',
    summary:
      'Write on after prompts, with a model and PEFT adapters on it. Text goes to standard output as it comes; settings that are ' +
      "not given are the model's own, from generation_config.json.",
    examples: [
      'nibble generate ./llama --prompt "Once upon a time"                         # with the model\'s own settings',
      'nibble generate ./llama --adapter ./out --prompt "Once upon a time"         # with an adapter that nibble or PEFT made',
      'nibble generate ./llama --adapter ./out --chat --prompt "Who are you?"      # a question, in the chat template',
      'nibble generate HuggingFaceTB/SmolLM2-135M --prompt "Once upon a time"      # fetched from the Hugging Face hub, and kept',
      'nibble generate ./llama --prompt "2, 3, 5," --temperature 0                 # the likeliest token every time',
      'nibble generate ./llama --load_in_4bit --prompt "Hi" --top_p 0.9 --seed 7   # in 4 bits, drawn',
      'nibble generate ./llama --adapter ./a=law --adapter ./b=code --prompts rows.jsonl --json   # each row names its adapter',
      'echo "Dear diary," | nibble generate ./llama --prompts -                    # a prompt on each line of standard input',
    ],
  })
    .argument(
      '<model>',
      'directory of a Hugging Face model (config.json, safetensors, tokenizer.json), or its name on the hub',
    )
    .option('--prompt <text>', 'a text to write on after; may be given several times', collect, [])
    .option(
      '--prompts <file>',
      'a file of prompts: a text on each line, or in a .jsonl file {"prompt", "messages" or "input_ids", "adapter"}; - is standard input',
    )
    .option(
      '--adapter <dir[=name]>',
      'directory of a PEFT adapter, or its name on the hub; several by names. The first is taken where a prompt names none',
      collect,
      [],
    )
    .option('--stop <text>', 'a text that ends a generation; may be given several times', collect, [])
    .option('--json', 'print a JSON object a line for each prompt: text, token_ids, finish_reason and more');
  for (const { flag, help } of shapeFlags(single)) command.option(flag, help);
  return command.action(async (model: string, options: Record<string, unknown>) => {
    const { prompt, prompts, adapter, stop, json } = options;
    const config = checkGenerateSettings({ ...shapeValues(single, options), stop }, (key) => `--${key}`);
    const file = prompts as string | undefined;
    if ((prompt as string[]).length === 0 && file === undefined)
      throw new ConfigError([{ path: 'prompt', message: 'is missing; give --prompt TEXT, or --prompts FILE' }]);
    await run(
      { model, adapters: adapter as string[], prompts: prompt as string[], file, config, json: json === true },
      context,
    );
  });
}

const collect = (value: string, before: string[]): string[] => [...before, value];
