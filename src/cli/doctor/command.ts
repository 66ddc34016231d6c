/** nibble doctor: says what this machine can do, and which command mends what it cannot. */
import type { Command } from 'commander';
import { newCommand } from '../shared/command.ts';
import type { CliContext, Handler } from '../shared/context.ts';

export type DoctorArgs = { readonly json: boolean };

/** Makes the command; `run` examines the machine. */
export function doctorCommand(context: CliContext, run: Handler<DoctorArgs>): Command {
  return newCommand(context, {
    name: 'doctor',
    summary: 'Device, backend, driver, features and limits of this machine; what is missing and how to mend it.',
    examples: [
      'nibble doctor                              # for reading',
      'nibble doctor --json                       # for a bug report or a program',
      'NIBBLE_DEVICE=swiftshader nibble doctor   # of the software driver that comes with nibble',
    ],
  })
    .alias('env')
    .option('--json', 'print JSON')
    .action((options: { json?: boolean }) => run({ json: options.json === true }, context));
}
