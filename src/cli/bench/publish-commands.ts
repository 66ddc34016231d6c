/** nibble bench publish, index, repeat and export: results on their way to others, and back. */
import { type Command, Option } from 'commander';
import { show } from '../../config/show.ts';
import { ConfigError } from '../../errors.ts';
import { EXPORT_FORMATS, type ExportFormat } from '../../report/exports/formats.ts';
import { newCommand } from '../shared/command.ts';
import type { CliContext, Handler } from '../shared/context.ts';

export type BenchPublishArgs = {
  readonly folder: string;
  readonly name: string | undefined;
  /** Where a reader has inputs from that are not copied, by their names. */
  readonly sources: ReadonlyMap<string, string>;
};
export type BenchIndexArgs = { readonly folder: string };
export type BenchRepeatArgs = {
  readonly folder: string;
  /** Paths of inputs that the folder does not hold, by their names. */
  readonly inputs: ReadonlyMap<string, string>;
  /** Runs to repeat; empty for all. */
  readonly only: readonly string[];
  readonly output: string;
  readonly json: boolean;
};
export type BenchExportArgs = {
  readonly folder: string;
  readonly format: ExportFormat;
  /** Absent for standard output. */
  readonly output: string | undefined;
};

export type PublishHandlers = {
  readonly publish?: Handler<BenchPublishArgs>;
  readonly index?: Handler<BenchIndexArgs>;
  readonly repeat?: Handler<BenchRepeatArgs>;
  readonly export?: Handler<BenchExportArgs>;
};

/** Makes the commands that have a handler. */
export function publishCommands(context: CliContext, handlers: PublishHandlers): Command[] {
  return [
    ...(handlers.publish ? [publishCommand(context, handlers.publish)] : []),
    ...(handlers.index ? [indexCommand(context, handlers.index)] : []),
    ...(handlers.repeat ? [repeatCommand(context, handlers.repeat)] : []),
    ...(handlers.export ? [exportCommand(context, handlers.export)] : []),
  ];
}

const collect = (word: string, before: readonly string[]): string[] => [...before, word];

function publishCommand(context: CliContext, publish: Handler<BenchPublishArgs>): Command {
  const examples = [
    'nibble bench publish results/local/RUN                 # copy it up to results/, to be committed',
    'nibble bench publish results/local/RUN --as h200-tiny  # under a name of its own',
    'nibble bench publish results/local/RUN --source models/llama=URL   # where a reader has it from',
  ];
  const summary = 'Copy a suite to where git sees it, with all that others need to repeat it.';
  return newCommand(context, { name: 'publish', summary, examples })
    .argument('<folder>', 'the folder of a run of a suite')
    .option('--as <name>', 'name of the published folder')
    .option(
      '--source <name=where>',
      'where a reader has an input from that is not copied; may be repeated',
      collect,
      [],
    )
    .action((folder: string, options: { as?: string; source: string[] }) =>
      publish({ folder, name: options.as, sources: pairsOf('--source', options.source) }, context),
    );
}

function indexCommand(context: CliContext, index: Handler<BenchIndexArgs>): Command {
  const examples = [
    'nibble bench index             # results/README.md',
    'nibble bench index benchmarks  # another folder',
  ];
  return newCommand(context, { name: 'index', summary: 'Write README.md of a folder of published results.', examples })
    .argument('[folder]', 'the folder', 'results')
    .action((folder: string) => index({ folder }, context));
}

function repeatCommand(context: CliContext, repeat: Handler<BenchRepeatArgs>): Command {
  const examples = [
    'nibble bench repeat ./quick                      # make its runs again, and say what agrees',
    'nibble bench repeat ./quick --only lora-seed0    # one of them; may be repeated',
    'nibble bench repeat ./llama-7b --input models/llama=/data/llama   # what the folder does not hold',
  ];
  const summary = 'Repeat a published suite. Exits with 1 where something does not agree that has to.';
  return newCommand(context, { name: 'repeat', summary, examples })
    .argument('<folder>', 'a folder that nibble bench publish made')
    .option('--input <name=path>', 'where an input is that the folder does not hold; may be repeated', collect, [])
    .option('--only <run>', 'repeat this run alone, such as lora-seed0; may be repeated', collect, [])
    .option('--output <dir>', 'where the folder of the results goes', 'results/local')
    .option('--json', 'print JSON')
    .action((folder: string, options: { input: string[]; only: string[]; output: string; json?: boolean }) => {
      const { output, only } = options;
      const inputs = pairsOf('--input', options.input);
      return repeat({ folder, inputs, only, output, json: options.json === true }, context);
    });
}

function exportCommand(context: CliContext, run: Handler<BenchExportArgs>): Command {
  const examples = [
    "nibble bench export results/quick --format peft --output peft/   # a file a run, as PEFT's method comparison has them",
    'nibble bench export results/quick --format ibm > quick.csv       # columns of LLMFineTuningBench',
    'nibble bench export results/quick --format github-action-benchmark > smaller.json   # customSmallerIsBetter',
    'nibble bench export results/quick --format csv                   # runs.csv, defused for spreadsheets',
  ];
  return newCommand(context, { name: 'export', summary: "Write results in others' formats.", examples })
    .argument('<folder>', 'the folder of a suite or of a run')
    .addOption(new Option('--format <name>', 'which').choices([...EXPORT_FORMATS]).makeOptionMandatory())
    .option('--output <path>', 'file, or for peft a new folder; standard output otherwise')
    .action((folder: string, { format, output }: { format: ExportFormat; output?: string }) =>
      run({ folder, format, output }, context),
    );
}

/** Reads NAME=VALUE words. @throws ConfigError */
function pairsOf(option: string, words: readonly string[]): ReadonlyMap<string, string> {
  return new Map(
    words.map((word) => {
      const at = word.indexOf('=');
      if (at > 0 && at < word.length - 1) return [word.slice(0, at), word.slice(at + 1)] as const;
      throw new ConfigError([
        { path: option, message: `got ${show(word)}, wanted a name and what it stands for: models/llama=...` },
      ]);
    }),
  );
}
