/** nibble serve: OpenAI's endpoints for a model and the adapters on it. */
import type { Command } from 'commander';
import { API_KEY_VARIABLE, checkServeSettings, type ServeConfig, serveSettings } from '../../config/serve.ts';
import { newCommand } from '../shared/command.ts';
import type { CliContext, Handler } from '../shared/context.ts';
import { shapeFlags, shapeValues } from '../shared/shape-flags.ts';

export type ServeArgs = {
  readonly model: string;
  /** DIR or DIR=NAME. */
  readonly adapters: readonly string[];
  readonly config: ServeConfig;
  readonly json: boolean;
};

/** Settings with a flag that is given once for each value. */
const { allowed_hosts, allowed_origins, ...single } = serveSettings.shape;
const LISTS = { allowed_hosts, allowed_origins };

/** Makes the command; `run` serves until a signal comes. */
export function serveCommand(context: CliContext, run: Handler<ServeArgs>): Command {
  const command = newCommand(context, {
    name: 'serve',
    summary:
      "Answer requests for a model and PEFT adapters on it, by OpenAI's API, and chat with them on a page. What a request names as its " +
      'model picks the adapter. The first SIGTERM or SIGINT lets requests under way end; a second one ends at once.',
    examples: [
      'nibble serve ./llama                                          # http://127.0.0.1:8000, for this machine alone',
      'nibble serve ./llama --adapter ./out                          # base and adapter, side by side on the page',
      'nibble serve ./llama --adapter ./a=law --adapter ./b=code     # by names of your own',
      'nibble serve ./llama --load_in_4bit --max_model_len 2048      # in less memory',
      `${API_KEY_VARIABLE}=... nibble serve ./llama --host 0.0.0.0        # for other machines, with a token`,
    ],
  })
    .argument(
      '<model>',
      'directory of a Hugging Face model (config.json, safetensors, tokenizer.json), or its name on the hub',
    )
    .option(
      '--adapter <dir[=name]>',
      'directory of a PEFT adapter, or its name on the hub; may be given several times',
      collect,
      [],
    )
    .option('--json', 'print url and models as a JSON object when requests are taken');
  for (const { flag, help } of shapeFlags(single)) command.option(flag, help);
  for (const [key, type] of Object.entries(LISTS))
    command.option(`--${key} <text>`, `${type.description}; may be given several times`, collect, []);
  return command.action(async (model: string, options: Record<string, unknown>) => {
    const given = { ...shapeValues(single, options), ...listsOf(options) };
    const apiKey = given.api_key ?? keyOf(context.env);
    const isOfVariable = given.api_key === undefined && apiKey !== undefined;
    const whereOf = (key: string): string => (key === 'api_key' && isOfVariable ? API_KEY_VARIABLE : `--${key}`);
    const config = checkServeSettings({ ...given, api_key: apiKey }, whereOf);
    await run({ model, adapters: options.adapter as string[], config, json: options.json === true }, context);
  });
}

/** A variable that is empty is one that nobody set. */
function keyOf(env: CliContext['env']): string | undefined {
  const value = env[API_KEY_VARIABLE] ?? '';
  return value === '' ? undefined : value;
}

const listsOf = (options: Record<string, unknown>) =>
  Object.fromEntries(Object.keys(LISTS).map((key) => [key, options[key]]));

const collect = (value: string, before: string[]): string[] => [...before, value];
