/** nibble compare: whether one set of results is worse than another, for CI. */
import type { Command } from 'commander';
import { newCommand } from '../shared/command.ts';
import type { CliContext, Handler } from '../shared/context.ts';

export type CompareArgs = { readonly base: string; readonly head: string; readonly json: boolean };

export function compareCommand(context: CliContext, compare: Handler<CompareArgs>): Command {
  const examples = [
    'nibble compare results/main results/local/quick    # two folders of a suite, of two commits say',
    'nibble compare base/run.json head/run.json         # two runs: shown, and too few for a verdict',
    'nibble compare base head --json > compare.json     # for a program',
  ];
  const summary =
    'Compare the results of two versions on one device. Exits with 1 where something became worse: its interval\n' +
    'and the smallest effect that counts decide, and a run that fails now.';
  return newCommand(context, { name: 'compare', summary, examples })
    .argument('<base>', 'the folder or the record of what was')
    .argument('<head>', 'the folder or the record of what is')
    .option('--json', 'print JSON')
    .action((base: string, head: string, options: { json?: boolean }) =>
      compare({ base, head, json: options.json === true }, context),
    );
}
