/** What the models write on after the same prompts, before and after training, arm by arm. */
import type { RunRecord } from '../../results/run-schema.ts';
import type { SuiteSummary } from '../../results/summary-schema.ts';
import { goodRuns, orderedArms, runLabel } from '../arms.ts';
import { MOST_RUN_ROWS } from '../charts/rows.ts';
import { type Block, paragraph, type Section, type Table } from '../document.ts';

/** Shows the texts of the first seed of each arm; null where no run has any. */
export function samplesSection(runs: readonly RunRecord[], summary: SuiteSummary): Section | null {
  const sampled = orderedArms(summary).flatMap((group) => {
    const run = goodRuns(runs, group).find(({ eval_info }) => (eval_info.samples ?? []).length > 0);
    return run === undefined ? [] : [run];
  });
  if (sampled.length === 0) return null;
  const rows = sampled.flatMap(rowsOf);
  const left = rows.length - MOST_RUN_ROWS;
  const blocks: Block[] = [
    paragraph('The likeliest token every time, so that a text depends on the weights alone. One run of each arm.'),
    tableOf(rows.slice(0, MOST_RUN_ROWS)),
    ...(left > 0 ? [paragraph(`${left} more texts are left out: the run files hold them.`)] : []),
  ];
  return { id: 'samples', heading: 'Samples', blocks };
}

const tableOf = (rows: Table['rows']): Table => ({
  kind: 'table',
  id: 'samples-table',
  caption: 'What the model writes on after each prompt',
  columns: ['run', 'prompt', 'before training', 'after training'],
  rows,
});

const NONE = '–';

function rowsOf(run: RunRecord): string[][] {
  const { samples = [] } = run.eval_info;
  return samples.map(({ prompt, before, after }) => [runLabel(run), prompt, before ?? NONE, after ?? NONE]);
}
