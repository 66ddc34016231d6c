/**
 * Makes nibble's commands: they never exit by themselves, print through the context, and have examples in their help.
 */
import { Command, Help, type Option } from 'commander';
import type { CliContext } from './context.ts';

type CommandText = {
  readonly name: string;
  readonly summary: string;
  /** Lines of "command  # what it does", shown under Examples. */
  readonly examples: readonly string[];
};

/** Makes a command that throws CommanderError instead of ending the process. */
export function newCommand(context: CliContext, { name, summary, examples }: CommandText): Command {
  return new Command(name)
    .description(summary)
    .exitOverride()
    .configureOutput({
      writeOut: (text) => context.stdout.write(text),
      writeErr: (text) => context.stderr.write(text),
      getErrHelpWidth: () => context.stderr.columns ?? 100,
      getOutHelpWidth: () => context.stderr.columns ?? 100,
      outputError: (text, write) => write(text.replace(/^error: /, 'nibble: ')),
    })
    .configureHelp({ optionDescription })
    .showHelpAfterError('(the same with --help shows what is possible)')
    .addHelpText('after', `\nExamples:\n${examples.map((line) => `  ${line}`).join('\n')}`);
}

const plain = new Help();

/** What help says of a flag: commander's words, without the empty list that a flag given several times begins with. */
function optionDescription(option: Option): string {
  const isEmptyList = Array.isArray(option.defaultValue) && option.defaultValue.length === 0;
  return isEmptyList ? option.description : plain.optionDescription(option);
}
