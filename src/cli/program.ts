/** The command line as a function of its arguments; main.ts is its process. */
import type { Command } from 'commander';
import { packageManifest } from '../node/package-root.ts';
import { newCommand } from './shared/command.ts';
import type { CliContext } from './shared/context.ts';
import { reportFailure } from './shared/failure.ts';
import { underscoreSettings } from './shared/setting-options.ts';

/** Makes a subcommand once the context is known. */
export type CommandMaker = (context: CliContext) => Command;

/** Runs `nibble ARGV` and returns the exit code; all output goes through the context. */
export async function runCli(
  argv: readonly string[],
  context: CliContext,
  makers: readonly CommandMaker[],
): Promise<number> {
  const program = newCommand(context, {
    name: 'nibble',
    summary:
      'Fine-tune Llama-family models with LoRA and QLoRA through WebGPU, and measure one against the other.\n' +
      'Where npm installed it for one project or clone only, it is called `npx nibble`.',
    examples: [
      'nibble doctor                       # what this machine can do',
      'nibble bench run                    # LoRA against QLoRA on the tiny model that comes with nibble',
      'nibble estimate ./llama             # GPU memory that a model needs',
      'nibble train config.yaml            # fine-tune',
      'nibble generate ./llama --adapter ./out --prompt "Hi"   # see what came of it',
      "nibble serve ./llama --adapter ./out      # chat with it, and OpenAI's API",
      'nibble train --help                 # all settings of a run',
      'nibble config print config.yaml     # what a configuration resolves to',
    ],
  }).version(packageManifest().version, '-V, --version');
  for (const make of makers) program.addCommand(make(context));
  try {
    await program.parseAsync(underscoreSettings(argv), { from: 'user' });
    return 0;
  } catch (error) {
    return reportFailure(error, context);
  }
}
