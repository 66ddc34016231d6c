/** A row for each run, in the order they ran, and the errors of those that failed. */
import { caseOf } from '../../results/groups.ts';
import type { RunRecord } from '../../results/run-schema.ts';
import { metricOf } from '../../results/summarize.ts';
import { armLabel } from '../arms.ts';
import {
  type Block,
  bytesFigure,
  code,
  countFigure,
  fixedFigure,
  msFigure,
  type Section,
  secondsFigure,
} from '../document.ts';
import { lossFigure } from './verdict.ts';

/** Shows every run, failed ones included. */
export function runsSection(runs: readonly RunRecord[]): Section {
  const hasCases = runs.some((run) => caseOf(run) !== null);
  const blocks: Block[] = [
    {
      kind: 'table',
      id: 'runs-table',
      caption: 'All runs in the order they ran',
      columns: [
        'run',
        'arm',
        ...(hasCases ? ['case'] : []),
        'seed',
        'status',
        'trainable',
        'peak',
        'step',
        'tokens/s',
        'loss',
        'perplexity',
        'total',
      ],
      rows: runs.map((run) => [
        code(run.run_info.run_id),
        armLabel(run.run_info.arm),
        ...(hasCases ? [run.run_info.case ?? '–'] : []),
        countFigure(run.run_info.seed),
        run.run_info.status,
        countFigure(run.train_info.num_trainable_params),
        bytesFigure(metricOf(run, 'peak_memory_bytes')),
        msFigure(metricOf(run, 'step_time_ms')),
        fixedFigure(metricOf(run, 'tokens_per_second'), 1),
        lossFigure(metricOf(run, 'eval_loss')),
        fixedFigure(metricOf(run, 'perplexity'), 2),
        secondsFigure(run.run_info.total_time),
      ]),
    },
  ];
  const failed = runs.filter((run) => run.run_info.error !== null);
  if (failed.length > 0) {
    blocks.push({
      kind: 'list',
      items: failed.map(({ run_info: { run_id, error } }) => [code(run_id), ` ${error!.kind}: ${error!.message}`]),
    });
  }
  return { id: 'runs', heading: 'Runs', blocks };
}
