/** Where the memory goes, arm beside arm, and why QLoRA saved some at this size or did not. */
import { type CategoryBytes, type RunRecord, totalBytes } from '../../results/run-schema.ts';
import type { SuiteSummary } from '../../results/summary-schema.ts';
import { categoryLabel, groupLabel, medianMemoryRun, orderedArms, usedCategories } from '../arms.ts';
import { type ArmMemory, memoryChart } from '../charts/memory.ts';
import { MOST_RUN_ROWS } from '../charts/rows.ts';
import {
  type Block,
  bytesCells,
  bytesFigure,
  countFigure,
  figure,
  fixedFigure,
  type Inline,
  paragraph,
  percentFigure,
  type Section,
  type Table,
} from '../document.ts';
import { formatBytes, formatCount, withSign } from '../format.ts';
import { savedByQlora } from './scale.ts';

const EXACT = 'exact bytes';
/** Arms with two columns each that a page is wide enough for. */
const MOST_COLUMN_PAIRS = 3;

/** Shows the peak by category, as a chart and as exact bytes, the explanation, and the checks on the ledger. */
export async function memorySection(runs: readonly RunRecord[], summary: SuiteSummary): Promise<Section | null> {
  const arms = orderedArms(summary).flatMap((group) => {
    const run = medianMemoryRun(runs, group);
    return run === null ? [] : [{ ...group, label: groupLabel(group), run, bytes: run.train_info.memory!.by_category }];
  });
  if (arms.length === 0) return null;
  const blocks: Block[] = [
    paragraph(
      'Bytes live at the moment of the highest peak, from the ledger that every GPU buffer goes through. ',
      'For each arm the run with the median peak is shown.',
    ),
    ...(arms.length <= MOST_RUN_ROWS ? [await memoryChart(arms)] : []),
    arms.length <= MOST_COLUMN_PAIRS ? categoryTable(arms) : categoryRows(arms),
  ];
  const [baseline, treatment] = arms;
  if (baseline?.arm === 'lora' && treatment?.arm === 'qlora' && baseline.case === treatment.case) {
    for (const block of explanation(baseline.bytes, treatment.bytes, summary)) blocks.push(block);
  }
  if (arms.some(({ run }) => run.train_info.memory!.predicted !== null)) blocks.push(predictionTable(arms));
  blocks.push({ kind: 'details', summary: 'Checks: phases, prediction, quantized linears', blocks: checks(arms) });
  return { id: 'memory', heading: 'Memory', blocks };
}

/** What the plan said before the run beside what the ledger counted in it. */
function predictionTable(arms: readonly Measured[]): Table {
  return {
    kind: 'table',
    id: 'memory-prediction',
    caption: 'Peak memory, predicted and measured',
    columns: ['arm', 'predicted', 'measured', 'predicted less measured, bytes'],
    rows: arms.map(({ label, run }) => {
      const { predicted, allocated } = run.train_info.memory!;
      const total = predicted?.total ?? null;
      const less = total === null ? null : total - allocated.peak;
      return [
        label,
        bytesFigure(total),
        bytesFigure(allocated.peak),
        figure(less, (value) => withSign(value, formatCount)),
      ];
    }),
  };
}

/** A row for each arm, where two columns for each would be too wide. */
function categoryRows(arms: readonly ArmMemory[]): Table {
  const categories = usedCategories(arms.map(({ bytes }) => bytes));
  return {
    kind: 'table',
    id: 'memory-by-category',
    caption: 'Peak memory by category',
    columns: ['arm', ...categories.map(categoryLabel), 'peak', `peak, ${EXACT}`],
    rows: arms.map(({ label, bytes }) => {
      const total = totalBytes(bytes);
      return [
        label,
        ...categories.map((category) => bytesFigure(bytes[category])),
        bytesFigure(total),
        countFigure(total),
      ];
    }),
  };
}

function categoryTable(arms: readonly ArmMemory[]): Table {
  const categories = usedCategories(arms.map(({ bytes }) => bytes));
  const cells = (sizes: readonly number[]): Inline[] => [
    ...sizes.flatMap(bytesCells),
    ...(sizes.length === 2 ? [signedBytes(sizes[1]! - sizes[0]!)] : []),
  ];
  return {
    kind: 'table',
    id: 'memory-by-category',
    caption: 'Peak memory by category',
    columns: [
      'category',
      ...arms.flatMap(({ label }) => [`${label}, ${EXACT}`, label]),
      ...(arms.length === 2 ? ['difference'] : []),
    ],
    rows: [
      ...categories.map((category) => [categoryLabel(category), ...cells(arms.map(({ bytes }) => bytes[category]))]),
      ['peak', ...cells(arms.map(({ bytes }) => totalBytes(bytes)))],
    ],
    total: true,
  };
}

/** Splits the difference of the peaks into base weights, workspace and the rest, bytes of QLoRA minus bytes of LoRA. */
export function memoryBalance(lora: CategoryBytes, qlora: CategoryBytes) {
  const change = (category: keyof CategoryBytes) => qlora[category] - lora[category];
  const base = change('base_weights') + change('quant_state');
  const workspace = change('workspace');
  const net = totalBytes(qlora) - totalBytes(lora);
  return { base, workspace, rest: net - base - workspace, net };
}

function explanation(lora: CategoryBytes, qlora: CategoryBytes, summary: SuiteSummary): Block[] {
  const { base, workspace, rest, net } = memoryBalance(lora, qlora);
  const baseShare = (lora.base_weights + lora.quant_state) / totalBytes(lora);
  const table: Table = {
    kind: 'table',
    id: 'memory-balance',
    caption: 'From the peak of LoRA to the peak of QLoRA',
    columns: ['step', EXACT, 'size'],
    rows: [
      ['peak of LoRA', ...bytesCells(totalBytes(lora))],
      ['base weights, now 4 bits with their quantization state', signedCount(base), signedBytes(base)],
      ['workspace, which holds the dequantized weight', signedCount(workspace), signedBytes(workspace)],
      ['everything else', signedCount(rest), signedBytes(rest)],
      ['peak of QLoRA', ...bytesCells(totalBytes(qlora))],
    ],
    total: true,
  };
  const share: Inline[] = [
    'The base is ',
    percentFigure(baseShare),
    ' of the peak of LoRA here, and that share is all that 4-bit weights can shrink. ',
  ];
  return [paragraph(...outcome(base, workspace, net), ...share, ...payoff(summary)), table];
}

function outcome(base: number, workspace: number, net: number): Inline[] {
  const freed: Inline[] = ['quantizing the base freed ', bytesFigure(Math.max(-base, 0))];
  const spent: Inline[] =
    workspace > 0
      ? [', and the scratch that a weight is dequantized into took ', bytesFigure(workspace), ' of that back']
      : [', and no further workspace was needed'];
  if (net < 0) {
    return ['Why QLoRA saved ', bytesFigure(-net), ' at this size: ', ...freed, ...spent, '. '];
  }
  return ['Why QLoRA did not save memory at this size (', signedBytes(net), '): ', ...freed, ...spent, '. '];
}

/** Says from which of the estimated sizes on QLoRA's predicted peak is the lower one. */
function payoff(summary: SuiteSummary): Inline[] {
  const models = summary.estimates?.models ?? [];
  const saves = models.map(({ name, predictions }) => ({ name, part: savedByQlora(predictions) }));
  const first = saves.find(({ part }) => part !== null && part > 0);
  const last = saves.at(-1);
  if (first === undefined || last === undefined) return [];
  return [
    `By the estimate below QLoRA pays from ${first.name} on (`,
    percentFigure(first.part),
    ` less), and saves `,
    percentFigure(last.part),
    ` at ${last.name}.`,
  ];
}

type Measured = ArmMemory & { readonly run: RunRecord };

/** Arms, each with its phases in a row. */
function phaseRows(arms: readonly Measured[], phases: readonly string[]): Table {
  return {
    kind: 'table',
    id: 'memory-by-phase',
    caption: 'Peak memory by phase, and the peak that the plan predicted',
    columns: ['arm', ...phases, 'predicted peak'],
    rows: arms.map(({ label, run }) => [
      label,
      ...phases.map((phase) => bytesFigure(peakIn(run, phase))),
      bytesFigure(run.train_info.memory!.predicted?.total ?? null),
    ]),
  };
}

function peakIn(run: RunRecord, phase: string): number | null {
  return run.train_info.memory!.by_phase.find((row) => row.phase === phase)?.peak ?? null;
}

function checks(arms: readonly Measured[]): Block[] {
  const phases = [...new Set(arms.flatMap(({ run }) => run.train_info.memory!.by_phase.map(({ phase }) => phase)))];
  const quantized = arms.filter(({ run }) => run.train_info.memory!.quantized_linears !== null);
  if (arms.length > MOST_COLUMN_PAIRS)
    return [phaseRows(arms, phases), ...quantized.map(({ label, run }) => quantizedTable(label, run))];
  return [
    {
      kind: 'table',
      id: 'memory-by-phase',
      caption: 'Peak memory by phase, and the peak that the plan predicted',
      columns: ['phase', ...arms.flatMap(({ label }) => [`${label}, ${EXACT}`, label])],
      rows: [
        ...phases.map((phase) => [phase, ...arms.flatMap(({ run }) => bytesCells(peakIn(run, phase)))]),
        ['predicted peak', ...arms.flatMap(({ run }) => bytesCells(run.train_info.memory!.predicted?.total ?? null))],
      ],
    },
    ...quantized.map(({ label, run }) => quantizedTable(label, run)),
  ];
}

function quantizedTable(label: string, run: RunRecord): Table {
  const linears = run.train_info.memory!.quantized_linears!;
  const sum = (part: 'elements' | 'packed_bytes' | 'absmax_bytes' | 'nested_bytes' | 'offset_bytes') =>
    linears.tensors.reduce((total, tensor) => total + tensor[part], 0);
  const state = sum('packed_bytes') + sum('absmax_bytes') + sum('nested_bytes') + sum('offset_bytes');
  return {
    kind: 'table',
    id: ['quantized-linears', run.run_info.arm, ...(run.run_info.case ? [run.run_info.case] : [])].join('-'),
    caption: `Quantized linears of ${label}`,
    columns: ['part', 'value'],
    rows: [
      ['tensors', countFigure(linears.tensors.length)],
      ['parameters', countFigure(sum('elements'))],
      ['packed codes, bytes', countFigure(sum('packed_bytes'))],
      ['absmax codes, bytes', countFigure(sum('absmax_bytes'))],
      ['second-level absmax, bytes', countFigure(sum('nested_bytes'))],
      ['offsets, bytes', countFigure(sum('offset_bytes'))],
      ['code tables, bytes (once)', countFigure(linears.code_tables_bytes)],
      ['ledger, bytes', countFigure(state + linears.code_tables_bytes)],
      ['formula, bytes', countFigure(linears.formula_bytes)],
      [
        'bits a parameter, without code tables',
        fixedFigure(sum('elements') === 0 ? null : (8 * state) / sum('elements'), 3),
      ],
    ],
  };
}

const signedBytes = (size: number) => figure(size, (value) => withSign(value, formatBytes));
const signedCount = (size: number) => figure(size, (value) => withSign(value, formatCount));
