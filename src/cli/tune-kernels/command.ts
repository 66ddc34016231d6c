/** nibble tune-kernels: finds the fastest tiles of the matmul kernels on this device, at the shapes of a model. */
import { type Command, InvalidArgumentError } from 'commander';
import { newCommand } from '../shared/command.ts';
import type { CliContext, Handler } from '../shared/context.ts';

export type TuneKernelsArgs = {
  /** config.json files or directories of models, whose shapes are tried together; those of Llama-2-7B for none. */
  readonly models: readonly string[];
  /** Rows of the products, as many as a micro-batch has tokens. */
  readonly tokens: number;
  readonly rounds: number;
  /** Minutes that the sweep may take; null for no limit. */
  readonly minutes: number | null;
  /** Tries a few tiles of each kind instead of all. */
  readonly quick: boolean;
  /** Measures and prints, but writes nothing. */
  readonly dryRun: boolean;
  readonly json: boolean;
};

const DEFAULT_TOKENS = 4096;
const DEFAULT_ROUNDS = 3;

/** Makes the command; `run` measures. */
export function tuneKernelsCommand(context: CliContext, run: Handler<TuneKernelsArgs>): Command {
  return newCommand(context, {
    name: 'tune-kernels',
    summary:
      'Tries the tiles of the matrix kernels on this device and keeps the fastest for later runs with this GPU, driver and version.',
    examples: [
      'nibble tune-kernels                          # at the shapes of Llama-2-7B, 4096 tokens',
      'nibble tune-kernels ./llama --tokens 2048    # at those of a model you have',
      'nibble tune-kernels ./small ./large          # at those of two, together',
      'nibble tune-kernels --minutes 4              # likely winners come first: keep the best that were found by then',
      'nibble tune-kernels --dry-run --json         # measure and print, keep nothing',
    ],
  })
    .argument('[models...]', 'config.json of models, or their directories')
    .option('--tokens <n>', 'tokens of a micro-batch: rows of the products', positiveInteger, DEFAULT_TOKENS)
    .option('--rounds <n>', 'samples of each product, of which the median counts', positiveInteger, DEFAULT_ROUNDS)
    .option(
      '--minutes <n>',
      'stop after so long and keep the best so far, as Ctrl-C does (default: try everything)',
      minutes,
    )
    .option('--quick', 'try a few tiles of each kind: a rehearsal')
    .option('--dry-run', 'measure and print, but keep nothing')
    .option('--json', 'print JSON')
    .action(
      (
        models: string[],
        options: {
          tokens: number;
          rounds: number;
          minutes?: number;
          quick?: boolean;
          dryRun?: boolean;
          json?: boolean;
        },
      ) =>
        run(
          {
            models,
            tokens: options.tokens,
            rounds: options.rounds,
            quick: options.quick === true,
            minutes: options.minutes ?? null,
            dryRun: options.dryRun === true,
            json: options.json === true,
          },
          context,
        ),
    );
}

function minutes(text: string): number {
  const value = Number(text);
  if (!(value > 0 && Number.isFinite(value)))
    throw new InvalidArgumentError(`got ${text}, wanted a positive number of minutes`);
  return value;
}

function positiveInteger(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new InvalidArgumentError(`got ${text}, wanted a positive integer`);
  return value;
}
