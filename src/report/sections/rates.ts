/** What the hardware did in a run's steps: operations a second, the share of what the machine reaches, kernels, and the price. */
import { costOf, type PriceTable, PUBLISHED_PRICES, priceOf } from '../../results/prices.ts';
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

/** Null where no run has counted its operations, as in older records. @param prices what an hour of a GPU costs */
export function ratesSection(runs: readonly RunRecord[], prices = PUBLISHED_PRICES): Section | null {
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
      ...targetBlocks(runs),
      ...costBlocks(counted, prices),
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

/** Memory as the system and the driver count it, beside the ledger's; nothing where neither did. */
function driverBlocks(runs: readonly RunRecord[]): Block[] {
  const known = runs.filter(({ train_info: { memory } }) => (memory?.device_vram ?? memory?.host_rss ?? null) !== null);
  if (known.length === 0) return [];
  return [
    {
      kind: 'table',
      id: 'driver-memory',
      caption: 'Memory by the ledger, the system and the driver',
      columns: ['run', 'ledger', 'host process', 'on the GPU, process', 'GPU', 'GPU before', 'how'],
      rows: known.map((run): Inline[] => {
        const { memory } = run.train_info;
        const { process_vram = null, device_vram = null, host_rss = null } = memory ?? {};
        return [
          runLabel(run),
          bytesFigure(memory?.allocated.peak ?? null),
          bytesFigure(host_rss?.peak ?? null),
          bytesFigure(process_vram?.peak ?? null),
          bytesFigure(device_vram?.peak ?? null),
          bytesFigure(device_vram?.baseline ?? null),
          [hostMethod(run), process_vram?.method, device_vram?.method].filter(Boolean).join('; '),
        ];
      }),
    },
  ];
}

/** How the memory of a run's process was measured; of a software driver the GPU's buffers are in it. */
function hostMethod({ meta_info: { gpu }, train_info: { memory } }: RunRecord): string | null {
  if ((memory?.host_rss ?? null) === null) return null;
  return gpu?.software_rendered === true ? 'most resident pages, GPU buffers among them' : 'most resident pages';
}

/** When evaluations reached the suite's target; nothing where no run did. */
function targetBlocks(runs: readonly RunRecord[]): Block[] {
  const reached = runs.filter(({ eval_info }) => eval_info.time_to_target !== null);
  if (reached.length === 0) return [];
  const targets = new Set(reached.map(({ eval_info }) => eval_info.time_to_target!.target));
  return [
    {
      kind: 'table',
      id: 'time-to-target',
      caption: `Time of the steps until an evaluation loss of ${[...targets].join(' or ')} nats a token`,
      columns: ['run', 'seconds', 'samples'],
      rows: runs
        .filter(({ run_info: { status } }) => status === 'success')
        .map((run) => {
          const found = run.eval_info.time_to_target;
          return found === null
            ? [runLabel(run), 'not reached', '–']
            : [runLabel(run), fixedFigure(found.seconds, 2), countFigure(found.samples)];
        }),
    },
  ];
}

/** Dollars, where the device is one that the table has a price for; never of a software driver. */
function costBlocks(runs: readonly RunRecord[], prices: PriceTable): Block[] {
  const rows = runs.flatMap((run) => {
    const { gpu } = run.meta_info;
    const price = gpu === null || gpu.software_rendered ? null : priceOf(`${gpu.device} ${gpu.description}`, prices);
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
