/** nibble config: the schema of the settings, and what a configuration resolves to. */
import type { Command } from 'commander';
import { configJsonSchema, printConfig, suiteJsonSchema } from '../../config/index.ts';
import { newCommand } from '../shared/command.ts';
import type { CliContext } from '../shared/context.ts';
import { readTrainConfig } from '../shared/read-config.ts';
import { addSettingOptions } from '../shared/setting-options.ts';

/** Makes the command; its subcommands need no handler. */
export function configCommand(context: CliContext): Command {
  return newCommand(context, {
    name: 'config',
    summary: 'Show the settings: their schema, or what a configuration resolves to.',
    examples: [
      'nibble config print config.yaml   # every value and where it comes from',
      'nibble config schema              # JSON Schema, for an editor',
    ],
  })
    .addCommand(schemaCommand(context))
    .addCommand(printCommand(context));
}

function schemaCommand(context: CliContext): Command {
  return newCommand(context, {
    name: 'schema',
    summary: 'Print the JSON Schema of a training configuration.',
    examples: [
      'nibble config schema > train.schema.json           # for a training configuration',
      'nibble config schema --suite > suite.schema.json   # for a suite of nibble bench',
    ],
  })
    .option('--suite', 'of a benchmark suite instead')
    .action((options: { suite?: boolean }) => {
      const schema = options.suite ? suiteJsonSchema() : configJsonSchema();
      context.stdout.write(`${JSON.stringify(schema, null, 2)}\n`);
    });
}

function printCommand(context: CliContext): Command {
  const command = newCommand(context, {
    name: 'print',
    summary: 'Check a configuration and print it in full, as YAML that can be run again.',
    examples: [
      'nibble config print config.yaml                # file and environment',
      'nibble config print config.yaml --lora_r 16    # with a flag on top',
    ],
  }).argument('[config]', 'a YAML file of settings');
  return addSettingOptions(command).action(async (path: string | undefined, options: Record<string, unknown>) => {
    context.stdout.write(printConfig(await readTrainConfig(context, path, options)));
  });
}
