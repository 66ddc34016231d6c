#!/usr/bin/env node
/** The short table over a folder of bench/gpu-host.sh: what was measured, and "not measured" for the rest. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

const folder = process.argv[2];
if (folder === undefined || !existsSync(folder)) {
  console.error('gpu-host-table: give the folder that bench/gpu-host.sh wrote');
  process.exit(2);
}
const NOT_MEASURED = 'not measured';
const text = (file) => (existsSync(path.join(folder, file)) ? readFileSync(path.join(folder, file), 'utf8') : null);
const json = (file) => (text(file) === null ? null : JSON.parse(text(file)));
const lines = (file) =>
  (text(file) ?? '')
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line));

/** Run files below a folder, by arm: the last run of each arm stands for it. */
function runsOf(suite) {
  const runs = new Map();
  const walk = (directory) => {
    for (const entry of readdirSync(directory, { withFileTypes: true })) {
      const file = path.join(directory, entry.name);
      if (entry.isDirectory()) walk(file);
      else if (entry.name.endsWith('.run.json')) {
        const run = JSON.parse(readFileSync(file, 'utf8'));
        if (run.run_info.status === 'success') runs.set(run.run_info.arm, run);
      }
    }
  };
  const directory = path.join(folder, suite);
  if (existsSync(directory)) walk(directory);
  return runs;
}

const rows = [];
const row = (what, figure) => rows.push([what, figure ?? NOT_MEASURED]);
const gib = (bytes) => (bytes === null || bytes === undefined ? null : `${(bytes / 2 ** 30).toFixed(2)} GiB`);
const over = (a, b) => (a && b ? `${(a / b).toFixed(2)}x` : NOT_MEASURED);

const doctor = json('doctor.json');
row('device', doctor?.probe?.device?.profile?.name ?? null);
row('conformance', /Tests\s+.*$/m.exec(text('conformance.txt') ?? '')?.[0] ?? null);

const torch = lines('gemm-torch.jsonl');
const gemm = json('gemm.json')?.rows ?? [];
if (gemm.length === 0) row('matrix products', null);
const TORCH_DTYPES = { f16: 'float16', f32: 'float32' };
for (const { shape, tier, dtype, gflops } of gemm) {
  const [tflops, peer] = [
    gflops / 1000,
    torch.find((t) => t.shape === shape && t.dtype === TORCH_DTYPES[dtype])?.tflops,
  ];
  const beside = peer === undefined ? `torch ${NOT_MEASURED}` : `torch ${peer.toFixed(3)}, ${over(tflops, peer)}`;
  row(`${shape} ${dtype} ${tier}`, `${tflops.toFixed(3)} TFLOP/s, ${beside}`);
}
const dequant = json('dequant.json');
row(
  'NF4 decode / copy',
  dequant && `${dequant.dequant_gb_per_s.toFixed(1)} GB/s, ${dequant.ratio.toFixed(3)} of a copy`,
);

for (const suite of ['smollm2-135m', 'tinyllama-1.1b', 'llama-2-7b', 'llama-65b']) {
  const runs = runsOf(suite);
  const speed = (arm) => runs.get(arm)?.train_info.throughput.tokens_per_second ?? null;
  const peak = (arm) => runs.get(arm)?.train_info.memory?.allocated.peak ?? null;
  for (const arm of suite === 'llama-65b' ? ['qlora'] : ['lora', 'qlora']) {
    const tokens = speed(arm);
    row(`${suite} ${arm}`, tokens && `${tokens.toFixed(0)} tokens/s, peak ${gib(peak(arm))}`);
    row(
      `${suite} ${arm} / PEFT`,
      speed(`peft-${arm}`) &&
        `speed ${over(tokens, speed(`peft-${arm}`))}, memory ${over(peak(arm), peak(`peft-${arm}`))}`,
    );
  }
  const [lora, qlora] = ['lora', 'qlora'].map((arm) => runs.get(arm)?.train_info.step_time_ms?.p50);
  if (suite !== 'llama-65b') row(`${suite} QLoRA step / LoRA step`, lora && qlora && over(qlora, lora));
}

const width = Math.max(...rows.map(([what]) => what.length));
for (const [what, figure] of rows) console.log(`${what.padEnd(width)}  ${figure}`);
