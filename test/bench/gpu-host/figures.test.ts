/** What gpu-host.sh left in a folder, as figures, facts, records and a table: made-up results, every figure worked out by hand. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { byKernel } from '../../../bench/gpu-host/by-kernel.mjs';
import { gpuRecords, STAGES } from '../../../bench/gpu-host/records.mjs';
import { readResults } from '../../../bench/gpu-host/results.mjs';
import { renderPage } from '../../../bench/performance/page.mjs';

const ROOT = new URL('../../../', import.meta.url).pathname;

const root = mkdtempSync(path.join(tmpdir(), 'nibble-gpu-host-'));
afterAll(() => rmSync(root, { recursive: true }));
let made = 0;

const HOST = {
  at: '2026-01-02T03:04:05.000Z',
  gpu: 'Card',
  driver: '1.2',
  software: false,
  rehearsed: false,
  cores: 16,
};
const START = Date.parse('2026-01-02T03:00:00.000Z') / 1000;

/** A run of 1,000 tokens a step whose steps took these milliseconds, and whose memory peaked at these bytes. */
function run(arm: string, stepMs: readonly number[], peak: number, at = START) {
  return {
    run_info: {
      arm,
      seed: 0,
      status: 'success',
      created_at: new Date(1000 * at).toISOString(),
      total_time: 60,
      train_config: { compute_dtype: arm.startsWith('peft') ? 'bfloat16' : 'float16' },
    },
    train_info: {
      step_time_ms: { values: stepMs },
      memory: { allocated: { peak } },
      timing: { load_s: 1, compile_s: null },
      tier: 'simt',
      history: stepMs.map((_, i) => ({ num_input_tokens_seen: 1000 * (i + 1) })),
    },
    meta_info: { model_info: { id: 'model' } },
  };
}

function folder(files: Readonly<Record<string, unknown>>): string {
  const at = path.join(root, String(made++));
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(path.dirname(path.join(at, name)), { recursive: true });
    writeFileSync(path.join(at, name), typeof content === 'string' ? content : JSON.stringify(content));
  }
  return at;
}

const product = (shape: string, dtype: string, tier: string, gflops: number) => ({
  op: 'nt',
  shape,
  dtype,
  tier,
  gflops,
});
const torch = (shape: string, dtype: string, tflops: number) =>
  `${JSON.stringify({ by: 'torch', shape, dtype, tflops })}\n`;

const RESULTS = {
  'host-1.json': HOST,
  // ended in the middle of a row: those before it count
  'gemm.jsonl.failed': `${[
    { adapter: 'Card', tiles: {} },
    product('4096x4096x4096', 'f16', 'simt', 30_000),
    product('4096x4096x4096', 'f16', 'subgroup_matrix', 120_000),
    product('4096x4096x4096', 'f32', 'simt', 15_000),
    product('4096x11008x4096', 'f16', 'subgroup_matrix', 90_000),
    { ...product('4096x11008x4096', 'f16', 'subgroup_matrix', 500_000), op: 'nn' },
  ]
    .map((row) => JSON.stringify(row))
    .join('\n')}\n{"op":"nt","shape":"4096x110`,
  'attention.jsonl': `{"adapter":"Card"}\n${JSON.stringify({ shape: '1x64x2x2x64', direction: 'forward', tier: 'simt', ms: 2, tflops: 3 })}\n`,
  'lora-fold.json': {
    rows: [
      {
        op: 'nt',
        shape: '4096x4096x4096',
        rank: 16,
        dtype: 'f16',
        tier: 'subgroup_matrix',
        separateMs: 2,
        foldedMs: 1.5,
        ratio: 0.75,
      },
    ],
  },
  'gemm-torch.jsonl': torch('4096x4096x4096', 'float16', 600) + torch('4096x4096x4096', 'float32', 50),
  'dequant.json': { dequant_gb_per_s: 1400, copy_gb_per_s: 2000, ratio: 0.7 },
  // the first and slowest step of each is no warm-up here: the median leaves it out
  'llama-2-7b/a/lora-seed0.run.json': run('lora', [900, 100, 100], 20e9),
  'llama-2-7b/a/qlora-seed0.run.json': run('qlora', [120, 120, 700], 9e9),
  'llama-2-7b/peers/peft-qlora-seed0.run.json': run('peft-qlora', [60, 60], 12e9),
  'llama-65b/a/qlora-seed0.run.json': run('qlora', [5000], 41e9, START + 100),
  'llama-65b/a/lora-seed0.run.json': { ...run('lora', [1], 1), run_info: { arm: 'lora', seed: 0, status: 'error' } },
  'gpu-memory-1.txt': `${START + 90} 1000\n${START + 110} 41000\n${START + 150} 40000\n${START + 170} 60000\n`,
};

test('every row has its figures, and what nobody measured is null', () => {
  const { figures, rehearsed, facts } = readResults(folder(RESULTS));
  expect(rehearsed).toBe(false);
  const reached = Object.fromEntries(figures.map((f) => [`${f.row} ${f.what}`, f.reached]));
  expect(reached).toEqual({
    '1 4096x4096x4096, f16 with f32 sums': 120,
    "1 4096x4096x4096, f32 over torch's": 0.3,
    '1 4096x11008x4096, f16 with f32 sums': 90,
    "1 4096x11008x4096, f32 over torch's": null,
    '2 NF4 with double quantization decoded': 0.7,
    '3 llama-2-7b, QLoRA step over LoRA step': 1.2,
    "4 smollm2-135m lora, tokens/s over PEFT's": null,
    "4 smollm2-135m qlora, tokens/s over PEFT's": null,
    "4 tinyllama-1.1b lora, tokens/s over PEFT's": null,
    "4 tinyllama-1.1b qlora, tokens/s over PEFT's": null,
    "4 llama-2-7b qlora, tokens/s over PEFT's": 0.5,
    "5 llama-2-7b qlora, peak memory over PEFT's": 0.75,
    '5 llama-65b qlora, 512 tokens, checkpointed: peak by the ledger': 41,
  });
  // 41,000 MiB during the run, 1,000 before it; what came afterwards is not the run's
  expect(figures.at(-1)?.note).toBe(`driver: ${((40_000 * 2 ** 20) / 1e9).toFixed(2)} GB`);
  expect(Object.fromEntries(facts)['llama-65b qlora']).toContain('driver 41.94 GB');
  expect(Object.fromEntries(facts)['kernel tests']).toBe('not measured');
  expect(Object.fromEntries(facts)['gemm.jsonl']).toBe('ended early: its first rows only');
  expect(Object.fromEntries(facts)['nt 4096x4096x4096 f16 subgroup_matrix, LoRA of rank 16 within the product']).toBe(
    '1.50 ms, 0.750 of the 2.00 ms apart',
  );
  expect(Object.fromEntries(facts)['attention 1x64x2x2x64 forward simt, nibble']).toBe('2.00 ms, 3.000 TFLOP/s');
});

test('tests with and without bounds checks, and a profile, are facts', () => {
  const tests = (failed: number) => ({ numPassedTests: 9, numFailedTests: failed, numPendingTests: 2 });
  const traceEvents = [
    { name: 'rope', dur: 500 },
    { name: 'matmul_simt|B_DEPTH|BK=16', dur: 4000 },
    { name: 'rope', dur: 500 },
  ];
  const profile = { model: 'random-llama-2-7b', ...byKernel(traceEvents) };
  const files = { 'conformance.json': tests(0), 'conformance-unchecked.json': tests(1), 'profile.json': profile };
  const { facts } = readResults(folder({ 'host-1.json': HOST, ...files }));
  const told = facts.map(([what, figure]) => `${what}: ${figure}`);
  expect(told).toContain('kernel tests: 9 passed, 0 failed, 2 skipped');
  expect(told).toContain('kernel tests, unchecked as runs are: 9 passed, 1 failed, 2 skipped');
  expect(told).toContain('profile of a step, random-llama-2-7b: 5.0 ms in 3 dispatches, one at a time');
  expect(told).toContain('  80.0 %: 4.0 ms, 1 x matmul_simt B_DEPTH');
  expect(told).toContain('  20.0 %: 1.0 ms, 2 x rope');
});

test('a profile of many kernels keeps the largest, and the rest as one', () => {
  const traceEvents = Array.from({ length: 33 }, (_, i) => ({ name: `k${i}`, dur: 1000 * (i + 1) }));
  const { kernels, ms } = byKernel(traceEvents);
  expect(ms).toBe(561);
  expect(kernels.length).toBe(31);
  expect(kernels[0]).toMatchObject({ kernel: 'k32', ms: 33, dispatches: 1 });
  expect(kernels.at(-1)).toMatchObject({ kernel: '3 more', ms: 6, dispatches: 3 });
});

test('the page shows them against their bars', () => {
  const records = gpuRecords(folder(RESULTS));
  expect(records.map(({ row }) => row)).toEqual([1, 2, 3, 4, 5]);
  const page = renderPage(records, []);
  expect(page).toContain('Rows 1, 2, 3, 4, 5 were measured on a GPU');
  expect(page).not.toContain('No GPU has run nibble yet');
  expect(page).toContain('### Matrix products on Card');
  expect(page).toMatch(
    /\| 4096x4096x4096, f16 with f32 sums \| 120 \| at least 100 \| TFLOP\/s \| within \| wanted 250;/,
  );
  expect(page).toMatch(/\| 4096x11008x4096, f16 with f32 sums \| 90 \| at least 100 \| TFLOP\/s \| \*\*misses\*\* \|/);
  expect(page).toMatch(/QLoRA step over LoRA step \| 1\.2 \| 1\.15 \| times \| \*\*misses\*\* \|/);
  expect(page).toContain("Not measured: 4096x11008x4096, f32 over torch's.");
});

test('rows without results stay unmeasured', () => {
  const records = gpuRecords(folder({ 'host-1.json': HOST, 'dequant.json': RESULTS['dequant.json'] }));
  expect(records.map(({ row }) => row)).toEqual([2]);
  expect(renderPage(records, []).match(/^Not measured; .* on a GPU host would\.$/gm)?.length).toBe(4);
  expect(gpuRecords(path.join(root, 'none'))).toEqual([]);
  expect(Object.keys(STAGES)).toEqual(['1', '2', '3', '4', '5']);
});

test.each([
  ['a rehearsal', { 'host-1.json': { ...HOST, rehearsed: true } }, 'holds a rehearsal'],
  ['a software driver', { 'host-1.json': { ...HOST, software: true } }, 'holds a rehearsal'],
  ['no word of the host', { 'gemm.jsonl': '' }, 'no host-*.json'],
  [
    'two drivers',
    { 'host-1.json': HOST, 'host-2.json': { ...HOST, driver: '1.3' } },
    'Card, driver 1.2 and of Card, driver 1.3',
  ],
])('refused: %s', (_, files, message) => {
  expect(() => gpuRecords(folder(files))).toThrow(message);
});

test('the table gives a verdict for each bar', () => {
  const table = (files: object) =>
    execFileSync(process.execPath, ['bench/gpu-host/table.mjs', folder(files as Record<string, unknown>)], {
      cwd: ROOT,
      encoding: 'utf8',
    });
  const real = table(RESULTS);
  const verdicts = (text: string) => [...text.matchAll(/^(PASS|MISS|not measured|rehearsed) /gm)].map(([, v]) => v);
  expect(verdicts(real)).toEqual([
    'PASS',
    'MISS',
    'MISS',
    'not measured',
    'PASS',
    'MISS',
    'not measured',
    'not measured',
    'not measured',
    'not measured',
    'PASS',
    'PASS',
    'PASS',
  ]);
  expect(new Set(verdicts(table({ 'host-1.json': HOST })))).toEqual(new Set(['not measured']));
  const rehearsal = table({ ...RESULTS, 'host-1.json': { ...HOST, rehearsed: true } });
  expect(rehearsal).toContain('REHEARSAL');
  expect(verdicts(rehearsal)).not.toContain('PASS');
});
