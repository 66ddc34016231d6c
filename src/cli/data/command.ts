/** nibble data: the rows of a configuration, as they will be fed. */
import { type Command, InvalidArgumentError } from 'commander';
import type { ResolvedConfig } from '../../config/index.ts';
import { newCommand } from '../shared/command.ts';
import type { CliContext, Handler } from '../shared/context.ts';
import { readTrainConfig } from '../shared/read-config.ts';
import { addSettingOptions } from '../shared/setting-options.ts';

/** Rows on a screen where nobody says how many. */
export const SHOWN_ROWS = 5;

export type PreviewArgs = {
  readonly config: ResolvedConfig;
  /** Rows to show; undefined shows some on a screen, all as JSON. */
  readonly rows: number | undefined;
  /** Rows of eval_datasets instead. */
  readonly evaluation: boolean;
  readonly json: boolean;
};

/** Makes the command; `preview` shows rows. */
export function dataCommand(context: CliContext, preview: Handler<PreviewArgs>): Command {
  return newCommand(context, {
    name: 'data',
    summary: 'Look at the rows of a configuration before they are trained on.',
    examples: ['nibble data preview config.yaml   # the first rows, and what of them is learned'],
  }).addCommand(previewCommand(context, preview));
}

function previewCommand(context: CliContext, preview: Handler<PreviewArgs>): Command {
  const command = newCommand(context, {
    name: 'preview',
    summary: 'Show rows as they will be fed: tokenized, cut, packed; what the loss passes over is in another colour.',
    examples: [
      'nibble data preview config.yaml                               # the first rows',
      'nibble data preview config.yaml --rows 50 | less -R           # more of them',
      'nibble data preview config.yaml --assistant_only_loss         # with another setting',
      'nibble data preview config.yaml --eval                        # rows of eval_datasets',
      'nibble data preview config.yaml --json > rows.jsonl           # every training row: {"input_ids", "labels"}',
    ],
  })
    .argument('[config]', 'a YAML file of settings')
    .option('--rows <n>', `rows to show; ${SHOWN_ROWS} unless given, or all with --json`, count)
    .option('--eval', 'rows of eval_datasets instead of training rows')
    .option('--json', 'print one line a row, in file order: {"input_ids": [...], "labels": [...]}');
  return addSettingOptions(command).action(async (path: string | undefined, options: Record<string, unknown>) => {
    const { rows, json, eval: evaluation, ...settings } = options;
    const config = await readTrainConfig(context, path, settings, { isStrict: true });
    await preview(
      { config, rows: rows as number | undefined, json: json === true, evaluation: evaluation === true },
      context,
    );
  });
}

function count(text: string): number {
  const rows = Number(text);
  if (Number.isInteger(rows) && rows > 0) return rows;
  throw new InvalidArgumentError('Wanted a whole number of at least 1.');
}
