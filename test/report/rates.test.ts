/** Rates, kernels and prices in a report: only what was measured, and no price of a software driver. */
import { expect, test } from 'vitest';
import { ratesSection } from '../../src/report/sections/rates.ts';
import type { RunRecord } from '../../src/results/run-schema.ts';
import { makeRun } from './fixture.ts';

function measured(edit: (run: RunRecord) => void = () => undefined): RunRecord {
  const run = structuredClone(makeRun('qlora', 0));
  run.train_info.throughput.tokens_per_micro_step = 512;
  run.train_info.compute = { flops_per_micro_step: 3e9, tflops: 0.5, peak: null, share_of_peak: null };
  edit(run);
  return run;
}

const tables = (run: RunRecord) =>
  (ratesSection([run])?.blocks ?? []).flatMap((block) =>
    block.kind === 'table' ? [block] : block.kind === 'details' ? block.blocks.filter((b) => b.kind === 'table') : [],
  );
const cells = (row: readonly unknown[]) =>
  row.map((cell) => (typeof cell === 'string' ? cell : (cell as { text: string }).text));

test('records without counts have no section', () => {
  expect(ratesSection([makeRun('lora', 0)])).toBeNull();
});

test('tokens and operations of a micro-step, and the share of a peak where one was measured', () => {
  const [plain] = tables(measured());
  expect(cells(plain?.rows[0] ?? []).slice(1)).toEqual(['512', '3.00', '0.5000', '–', '–']);
  const probed = measured((run) => {
    Object.assign(run.train_info.compute ?? {}, { peak: { tflops: 2, probe: 'a probe' }, share_of_peak: 0.25 });
  });
  expect(cells(tables(probed)[0]?.rows[0] ?? []).slice(3)).toEqual(['0.5000', '2.0000', '25.0 %']);
  expect(JSON.stringify(ratesSection([probed])?.blocks[0])).toContain('one product: a probe');
});

test('a price is that of the GPU, with its source and date; a software driver has none', () => {
  const rented = measured((run) => {
    Object.assign(run.meta_info.gpu ?? {}, { device: 'NVIDIA H200', description: '', software_rendered: false });
    run.run_info.total_time = 720;
  });
  const cost = tables(rented).find(({ id }) => id === 'cost');
  expect(cells(cost?.rows[0] ?? []).slice(1)).toEqual(['720.0', '5.00', '1.0000', 'Hugging Face Jobs, 2026-08-22']);
  const software = measured((run) => {
    Object.assign(run.meta_info.gpu ?? {}, { device: 'NVIDIA H200' });
  });
  expect(tables(software).map(({ id }) => id)).toEqual(['rates', 'driver-memory']);
});

test('kernels of a profiled run, and the driver beside the ledger', () => {
  const run = measured(({ train_info }) => {
    train_info.kernel_times = {
      source: 'a clock',
      times: [{ kernel: 'matmul_nt', dispatches: 3, ms: 1.5, share: 0.75 }],
    };
    Object.assign(train_info.memory ?? {}, {
      process_vram: { peak: 2 ** 30, method: 'm' },
      device_vram: { peak: 2 ** 31, method: 'n', baseline: 2 ** 20 },
    });
  });
  const [, driver, kernels] = tables(run);
  expect(cells(driver?.rows[0] ?? []).slice(2)).toEqual([
    ...['393.8 MiB', '1.00 GiB', '2.00 GiB', '1.00 MiB'],
    'most resident pages, GPU buffers among them; m; n',
  ]);
  expect(kernels?.caption).toContain('(a clock)');
  expect(cells(kernels?.rows[0] ?? [])).toEqual(['matmul_nt', '3', '1.5 ms', '75.0 %']);
});

test('prices of the reader take the place of the published ones, by the longest name', () => {
  const rented = measured((run) => {
    Object.assign(run.meta_info.gpu ?? {}, { device: 'NVIDIA H100 NVL', description: '', software_rendered: false });
    run.run_info.total_time = 1800;
  });
  const prices = { source: 'Mine', date: '2026-12-01', dollarsPerHour: { H100: 2, 'H100 NVL': 3, H10: 9 } };
  const blocks = ratesSection([rented], prices)?.blocks ?? [];
  const [cost] = blocks.filter((block) => block.kind === 'table' && block.id === 'cost');
  expect(cost?.kind === 'table' && cells(cost.rows[0] ?? []).slice(1)).toEqual([
    '1800.0',
    '3.00',
    '1.5000',
    'Mine, 2026-12-01',
  ]);
  expect(tables(rented).map(({ id }) => id)).not.toContain('cost');
});

test('the time until a target loss, and that it was not reached', () => {
  const met = measured((run) => {
    run.eval_info.time_to_target = { metric: 'eval_loss', target: 2.5, seconds: 12.345, samples: 640 };
  });
  const table = (runs: RunRecord[]) =>
    ratesSection(runs)?.blocks.find((block) => block.kind === 'table' && block.id === 'time-to-target');
  expect(table([measured()])).toBeUndefined();
  const found = table([met, measured()]);
  expect(found?.kind === 'table' && found.caption).toContain('2.5 nats a token');
  expect(found?.kind === 'table' && found.rows.map((row) => cells(row).slice(1))).toEqual([
    ['12.35', '640'],
    ['not reached', '–'],
  ]);
});
