/** Arms beside the two that are compared: their medians, and nibble against the peer that did the same work. */

import { comparePairs } from '../../results/paired.ts';
import type { RunRecord } from '../../results/run-schema.ts';
import { seededValues } from '../../results/summarize.ts';
import { METRIC_NAMES, METRICS, type Metric, type SuiteSummary } from '../../results/summary-schema.ts';
import { armLabel, goodRuns, groupLabel, orderedArms } from '../arms.ts';
import { type Block, countFigure, figure, paragraph, ratioFigure, type Section, type Table } from '../document.ts';
import { METRIC_FORMATS } from './comparison.ts';

/** Prefix that bench/peers gives its arms: `peft-lora` is PEFT's run of the arm `lora`. */
const PEER_PREFIX = 'peft-';
/** Metrics compared by their ratio. Losses have ratios of 1 to many digits, and are compared by their difference. */
const RATIOS: readonly Metric[] = ['peak_memory_bytes', 'step_time_ms', 'tokens_per_second'];

/** Shows every arm; null where only the compared arms ran, or a single one. */
export function otherArmsSection(runs: readonly RunRecord[], summary: SuiteSummary): Section | null {
  const shown = summary.comparison === null ? 1 : 2;
  if (summary.arms.length <= shown) return null;
  const peers = peerTable(runs, summary);
  const blocks: Block[] = [medians(summary)];
  if (peers !== null) {
    blocks.push(
      paragraph(
        'The same model, rows, order and recipe in nibble and in its peer, seed by seed. Ratios are nibble over the peer, ',
        'differences nibble minus the peer. Times count only where both ran on one device: see Environment.',
      ),
      peers,
    );
  }
  return { id: 'arms', heading: 'Every arm', blocks };
}

function medians(summary: SuiteSummary): Table {
  return {
    kind: 'table',
    id: 'arms-table',
    caption: 'Medians of every arm',
    columns: ['arm', 'runs', 'failed', ...METRIC_NAMES.map((metric) => METRICS[metric].label)],
    rows: orderedArms(summary).map((group) => [
      groupLabel(group),
      countFigure(group.n),
      countFigure(group.failed),
      ...METRIC_NAMES.map((metric) => figure(group.metrics[metric]?.median ?? null, METRIC_FORMATS[metric])),
    ]),
  };
}

function peerTable(runs: readonly RunRecord[], summary: SuiteSummary): Table | null {
  const arms = summary.arms.flatMap((group) => (group.case === null ? [group.arm] : []));
  const pairs = arms.filter((arm) => arms.includes(`${PEER_PREFIX}${arm}`));
  if (pairs.length === 0) return null;
  return {
    kind: 'table',
    id: 'peers-table',
    caption: 'nibble against PEFT',
    columns: ['metric', ...pairs.map(armLabel)],
    rows: METRIC_NAMES.map((metric) => [
      `${METRICS[metric].label}, ${RATIOS.includes(metric) ? 'ratio' : 'difference'}`,
      ...pairs.map((arm) => againstPeer(runs, metric, arm)),
    ]),
  };
}

function againstPeer(runs: readonly RunRecord[], metric: Metric, treatment: string) {
  const baseline = `${PEER_PREFIX}${treatment}`;
  const values = (arm: string) => seededValues(goodRuns(runs, { arm, case: null }), metric);
  const paired = comparePairs(values(baseline), values(treatment));
  if (RATIOS.includes(metric)) return ratioFigure(paired?.median_ratio ?? null);
  return figure(paired?.median_difference ?? null, (value) =>
    value === null ? '–' : value.toExponential(1).replaceAll('-', '−'),
  );
}
