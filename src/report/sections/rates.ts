/** What the hardware did in a run's steps: operations a second, the share of what the machine reaches, kernels, and the price. */
import { costOf, publishedPrice } from '../../results/prices.ts';
import type { RunRecord } from '../../results/run-schema.ts';
import { runLabel } from '../arms.ts';
import {
  type Block,
  bytesFigure,
  countFigure,
  fixedFigure,
  type Inline,
  msFigure,
  paragraph,
  percentFigure,
  type Section,
  type Table,
} from '../document.ts';

/** Kernels beyond these take little of a step. */
const MOST_KERNELS = 12;

/** Null where no run has counted its operations, as in older records. */
export function ratesSection(runs: readonly RunRecord[]): Section | null {
  const counted = runs.filter((run) => typeof run.train_info.compute?.tflops === 'number');
  if (counted.length === 0) return null;
  const profiled = runs.filter((run) => run.train_info.kernel_times !== undefined);
  return {
    id: 'rates',
    heading: 'Rates',
    blocks: [
      ...probeNote(counted),
      ratesTable(counted),
      ...driverBlocks(runs),
      ...costBlocks(counted),
      ...profiled.map((run) => kernelBlock(run)),
    ],
  };
}

function probeNote(runs: readonly RunRecord[]): Block[] {
  const probes = new Set(runs.flatMap(({ train_info }) => train_info.compute?.peak?.probe ?? []));
  const text =
    'Operations are those of products and attention by the plan of each micro-batch, those that checkpointing does again among them.';
  const peak =
    probes.size === 0
      ? ' No peak was measured: nibble train --profile does.'
      : ` The peak is what the same machine reached with one product: ${[...probes].join('; ')}.`;
  return [paragraph(`${text}${peak}`)];
}

function ratesTable(runs: readonly RunRecord[]): Table {
  return {
    kind: 'table',
    id: 'rates',
    caption: 'Operations by run',
    columns: ['run', 'tokens a micro-step', 'GFLOP a micro-step', 'TFLOP/s', 'measured peak', 'share'],
    rows: runs.map((run) => {
      const { compute, throughput } = run.train_info;
      const { flops_per_micro_step: flops = null, tflops = null, peak = null, share_of_peak = null } = compute ?? {};
      return [
        runLabel(run),
        fixedFigure(throughput.tokens_per_micro_step ?? null, 0),
        fixedFigure(flops === null ? null : flops / 1e9, 2),
        fixedFigure(tflops, 4),
        fixedFigure(peak?.tflops ?? null, 4),
        percentFigure(share_of_peak),
      ];
    }),
  };
}

/** Memory as the driver counts it, beside the ledger's; nothing where no driver did. */
function driverBlocks(runs: readonly RunRecord[]): Block[] {
  const known = runs.filter(({ train_info: { memory } }) => (memory?.device_vram ?? null) !== null);
  if (known.length === 0) return [];
  return [
    {
      kind: 'table',
      id: 'driver-memory',
      caption: 'GPU memory by the ledger and by the driver',
      columns: ['run', 'ledger', 'process', 'GPU', 'GPU before', 'how'],
      rows: known.map((run): Inline[] => {
        const { memory } = run.train_info;
        const { process_vram = null, device_vram = null } = memory ?? {};
        return [
          runLabel(run),
          bytesFigure(memory?.allocated.peak ?? null),
          bytesFigure(process_vram?.peak ?? null),
          bytesFigure(device_vram?.peak ?? null),
          bytesFigure(device_vram?.baseline ?? null),
          [process_vram?.method, device_vram?.method].filter((method) => method !== undefined).join('; '),
        ];
      }),
    },
  ];
}

/** Dollars, where the device is one that a published table has a price for; never of a software driver. */
function costBlocks(runs: readonly RunRecord[]): Block[] {
  const rows = runs.flatMap((run) => {
    const { gpu } = run.meta_info;
    const price = gpu === null || gpu.software_rendered ? null : publishedPrice(`${gpu.device} ${gpu.description}`);
    const seconds = run.run_info.total_time;
    if (price === null || seconds === null) return [];
    const { dollarsPerHour, source } = price;
    return [
      [
        runLabel(run),
        fixedFigure(seconds, 1),
        fixedFigure(dollarsPerHour, 2),
        fixedFigure(costOf(seconds, price), 4),
        source,
      ],
    ];
  });
  if (rows.length === 0) return [];
  const columns = ['run', 'seconds', 'dollars an hour', 'dollars', 'price of'];
  return [
    { kind: 'table', id: 'cost', caption: 'What the time of a run costs where the GPU is rented', columns, rows },
  ];
}

function kernelBlock(run: RunRecord): Block {
  const { source = '', times = [] } = run.train_info.kernel_times ?? {};
  const label = runLabel(run);
  const table: Table = {
    kind: 'table',
    id: `kernels-${label.replaceAll(/\W+/g, '-')}`,
    caption: `${label}: a micro-batch and an update by kernel (${source})`,
    columns: ['kernel', 'dispatches', 'time', 'share'],
    rows: times
      .slice(0, MOST_KERNELS)
      .map(({ kernel, dispatches, ms, share }) => [
        kernel,
        countFigure(dispatches),
        msFigure(ms),
        percentFigure(share),
      ]),
  };
  return { kind: 'details', summary: `Kernels of ${label}`, blocks: [table] };
}
