/** nibble bench: run a suite, list suites, write and publish reports. */
import { join } from 'node:path';
import type { Command } from 'commander';
import { isFolder, readExperiments } from '../../bench/peft-experiments.ts';
import { readShard } from '../../bench/shard.ts';
import type { ResolvedSuite, SourceFile } from '../../config/index.ts';
import { show } from '../../config/show.ts';
import { ConfigError } from '../../errors.ts';
import { packageRoot } from '../../node/package-root.ts';
import type { Shard } from '../../node/run-types.ts';
import { newCommand } from '../shared/command.ts';
import type { CliContext, Handler } from '../shared/context.ts';
import { readSource, readSuite } from '../shared/read-config.ts';
import { addSettingOptions } from '../shared/setting-options.ts';
import { type PublishHandlers, publishCommands } from './publish-commands.ts';

export type BenchRunArgs = {
  readonly suite: ResolvedSuite;
  readonly file: SourceFile;
  /** Folder in which each run of a suite gets a folder of its own. */
  readonly output: string;
  /** Folder to begin in or to go on with, instead of a new one. */
  readonly resume: string | undefined;
  /** Part to make; null for the whole. */
  readonly shard: Shard | null;
  /** Says what would run, and runs nothing. */
  readonly dryRun: boolean;
  /** False writes run files and summary only, as on hosts without the chart library. */
  readonly report: boolean;
};
export type BenchListArgs = { readonly json: boolean };
export type BenchReportArgs = {
  readonly folders: readonly [string, ...string[]];
  /** Folder for the report of several folders; the report of one goes into that folder. */
  readonly output: string | undefined;
  /** File with what an hour of a GPU costs; published prices where it is absent. */
  readonly prices: string | undefined;
};
export type BenchMergeArgs = { readonly folders: readonly string[]; readonly output: string };

/** Handlers of the subcommands; one without a handler is not offered. */
export type BenchHandlers = {
  readonly run?: Handler<BenchRunArgs>;
  readonly list?: Handler<BenchListArgs>;
  readonly report?: Handler<BenchReportArgs>;
  readonly merge?: Handler<BenchMergeArgs>;
} & PublishHandlers;

const DEFAULT_SUITE = 'quick';
const DEFAULT_OUTPUT = 'results/local';

/** Makes the command, with those of its subcommands that have a handler. */
export function benchCommand(context: CliContext, handlers: BenchHandlers): Command {
  const examples = [
    'nibble bench run                          # the built-in quick suite',
    'nibble bench list                         # the built-in suites',
    'nibble bench report results/local/RUN     # write the report of a run again',
    'nibble bench publish results/local/RUN    # copy it out of the ignored results',
    'nibble bench repeat results/quick         # make its runs again, and say what agrees',
  ];
  const bench = newCommand(context, { name: 'bench', summary: 'Measure LoRA against QLoRA, and report it.', examples });
  if (handlers.run) bench.addCommand(runCommand(context, handlers.run));
  if (handlers.list) bench.addCommand(listCommand(context, handlers.list));
  if (handlers.report) bench.addCommand(reportCommand(context, handlers.report));
  if (handlers.merge) bench.addCommand(mergeCommand(context, handlers.merge));
  for (const command of publishCommands(context, handlers)) bench.addCommand(command);
  return bench;
}

function runCommand(context: CliContext, run: Handler<BenchRunArgs>): Command {
  const command = newCommand(context, {
    name: 'run',
    summary: 'Run every arm of a suite with every seed, a process per run, and write a report.',
    examples: [
      'nibble bench run                               # the built-in quick suite',
      'nibble bench run my-suite.yaml                 # your own',
      'nibble bench run quick --max_steps 8           # a setting replaced in all arms alike',
      'nibble bench run quick --output /tmp/results   # somewhere else',
      'nibble bench run quick --dry-run               # what it would run, and the memory of each arm',
      'nibble bench run quick --resume results/quick  # begin there, or go on: runs that ended are not made again',
      'nibble bench run quick --shard 1/4 --resume a  # the first of four parts, for nibble bench merge',
    ],
  })
    .argument('[suite]', "a suite file, the name of a built-in suite, or a folder of PEFT's experiments", DEFAULT_SUITE)
    .option('--output <dir>', 'where the folder of the results goes', DEFAULT_OUTPUT)
    .option('--resume <dir>', 'begin in this folder, or go on with the suite in it')
    .option('--shard <i/n>', 'make one part: 1/4, or auto for the index that Kubernetes, Slurm and others set')
    .option('--dry-run', 'say what would run, and run nothing')
    .option('--no-report', 'write the run files and the summary alone; nibble bench report makes the rest of them');
  return addSettingOptions(command).action(async (name: string, options: Record<string, unknown>) => {
    const given = suitePath(name);
    const note = (text: string): void => void context.stderr.write(`note: ${text}\n`);
    const file = (await isFolder(given)) ? await readExperiments(given, note) : await readSource(given, context);
    const suite = await readSuite(context, file, options);
    const shard = options.shard === undefined ? null : readShard(String(options.shard), context.env);
    const resume = options.resume === undefined ? undefined : String(options.resume);
    const how = { resume, shard, dryRun: options.dryRun === true, report: options.report !== false };
    await run({ suite, file, output: String(options.output), ...how }, context);
  });
}

/** Path of a suite file: a bare word names a suite of the package; with a dot or a slash it is a path itself. */
function suitePath(name: string): string {
  return /^[\w-]+$/.test(name) ? join(packageRoot(), 'bench', 'suites', `${name}.yaml`) : name;
}

function listCommand(context: CliContext, list: Handler<BenchListArgs>): Command {
  const examples = ['nibble bench list          # built-in suites', 'nibble bench list --json   # for a program'];
  return newCommand(context, { name: 'list', summary: 'List the built-in suites.', examples })
    .option('--json', 'print JSON')
    .action((options: { json?: boolean }) => list({ json: options.json === true }, context));
}

function reportCommand(context: CliContext, report: Handler<BenchReportArgs>): Command {
  const examples = [
    'nibble bench report results/local/RUN                          # report.md, report.html and runs.csv, anew',
    'nibble bench report results/quick results/peers --output cmp   # runs of several folders side by side',
    'nibble bench report results/quick --prices prices.yaml         # its cost, by prices of your own',
  ];
  return newCommand(context, { name: 'report', summary: 'Write the report of finished runs.', examples })
    .argument('<folders...>', 'the folder of a run of a suite, or several to compare')
    .option('--output <dir>', 'where the report of several folders goes')
    .option('--prices <file>', 'dollars an hour by GPU, with source and date; Hugging Face Jobs otherwise')
    .action((folders: [string, ...string[]], { output, prices }: { output?: string; prices?: string }) =>
      report({ folders, output, prices }, context),
    );
}

function mergeCommand(context: CliContext, merge: Handler<BenchMergeArgs>): Command {
  const examples = [
    'nibble bench merge part-1 part-2 part-3 part-4 results/quick   # into a new folder, with its report',
  ];
  return newCommand(context, { name: 'merge', summary: 'Put the parts of a suite into one folder.', examples })
    .argument('<folders...>', 'the folders of the parts, and last the new one')
    .action(async (folders: string[]) => {
      const output = folders.at(-1) ?? '';
      if (folders.length < 2)
        throw new ConfigError([
          {
            path: 'folders',
            message: `got ${show(output)} alone, wanted the folders of the parts and, last, a new one`,
          },
        ]);
      await merge({ folders: folders.slice(0, -1), output }, context);
    });
}
