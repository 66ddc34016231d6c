/** What bench/gpu-host/gpu-host.sh left in a folder, as figures of the rows that issue 4 promises for a GPU host. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

const SUITES = ['smollm2-135m', 'tinyllama-1.1b', 'llama-2-7b', 'llama-65b'];
const ARMS = ['lora', 'qlora'];
/** Tokens per second over PEFT's: the bar, and what is wanted. */
const SPEED_BARS = {
  'smollm2-135m lora': [1, 2],
  'smollm2-135m qlora': [1, 2],
  'tinyllama-1.1b lora': [0.6, 1.5],
  'tinyllama-1.1b qlora': [0.6, 1.5],
  'llama-2-7b qlora': [0.4, 1],
};
const MEASURED_SHAPES = ['4096x4096x4096', '4096x11008x4096'];
const GB = 1e9;

/**
 * @param {string} folder of one host: calls of the script on another GPU or driver belong into another folder
 * @returns `{ hosts, rehearsed, figures, facts }`; a figure is `{ row, what, reached, bound, wanted, least, unit, note }`,
 *   with reached null where nothing was measured; facts are lines without a promise
 */
export function readResults(folder) {
  const hosts = filesOf(folder, /^host-.*\.json$/).map((file) => json(folder, file));
  const cards = [...new Set(hosts.map(({ gpu, driver }) => `${gpu}, driver ${driver}`))];
  if (cards.length > 1)
    throw new Error(`${folder} holds results of ${cards.join(' and of ')}: a ratio needs both sides on one card`);
  const runs = new Map(SUITES.map((suite) => [suite, runsOf(path.join(folder, suite))]));
  const smi = filesOf(folder, /^gpu-memory-.*\.txt$/).flatMap((file) => samples(text(folder, file)));
  const rehearsed = hosts.some((host) => host.rehearsed || host.software);
  const figures = [...gemm(folder), ...dequant(folder), ...steps(runs), ...speeds(runs), ...memory(runs, smi)];
  return { hosts, rehearsed, figures, facts: facts(folder, runs, smi) };
}

const text = (folder, file) => {
  const whole = path.join(folder, file);
  return existsSync(whole) ? readFileSync(whole, 'utf8') : null;
};
const json = (folder, file) => JSON.parse(text(folder, file) ?? 'null');
/** Objects a line; where a measurement was ended, those that it had printed until then. */
const lines = (folder, file) =>
  (text(folder, file) ?? text(folder, `${file}.failed`)?.replace(/[^\n]*$/, '') ?? '')
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line));
const gemmRows = (folder) => lines(folder, 'gemm.jsonl').filter(({ op }) => op !== undefined);
const filesOf = (folder, pattern) =>
  readdirSync(folder)
    .filter((file) => pattern.test(file))
    .sort();
const over = (a, b) => (typeof a === 'number' && typeof b === 'number' && b > 0 ? a / b : null);

function gemm(folder) {
  const rows = gemmRows(folder).filter(({ op }) => op === 'nt');
  const torch = lines(folder, 'gemm-torch.jsonl');
  const best = (shape, dtype, tiers) =>
    rows
      .filter((row) => row.shape === shape && row.dtype === dtype && tiers.includes(row.tier))
      .sort((a, b) => b.gflops - a.gflops)[0];
  const peer = (shape, dtype) => torch.find((row) => row.shape === shape && row.dtype === dtype)?.tflops ?? null;
  const shapes = rows.some(({ shape }) => MEASURED_SHAPES.includes(shape))
    ? MEASURED_SHAPES
    : [...new Set([...rows.map(({ shape }) => shape), ...MEASURED_SHAPES])].slice(0, 2);
  return shapes.flatMap((shape) => {
    const half = best(shape, 'f16', ['direct', 'simt', 'subgroup_matrix']);
    const single = best(shape, 'f32', ['direct', 'simt']);
    const [f16, f32] = [peer(shape, 'float16'), peer(shape, 'float32')];
    const tflops = half === undefined ? null : half.gflops / 1000;
    return [
      {
        ...{ row: 1, what: `${shape}, f16 with f32 sums`, reached: tflops, bound: 100, wanted: 250, least: true },
        ...{ unit: 'TFLOP/s', note: half && `${half.tier}; ${ofTorch(tflops, f16, 'torch float16')}` },
      },
      {
        ...{ row: 1, what: `${shape}, f32 over torch's`, reached: over(single && single.gflops / 1000, f32) },
        ...{ bound: 0.4, wanted: 0.8, least: true, unit: 'times' },
        note: single && `${single.tier}, ${(single.gflops / 1000).toPrecision(4)} TFLOP/s; ${torchText(f32)}`,
      },
    ];
  });
}

const torchText = (tflops) => (tflops === null ? 'torch not measured' : `torch ${tflops.toPrecision(4)}, no TF32`);
const ofTorch = (ours, theirs, name) =>
  theirs === null || ours === null
    ? `${name} not measured`
    : `${(ours / theirs).toFixed(3)} of ${name}'s ${theirs.toPrecision(4)}`;

function dequant(folder) {
  const found = json(folder, 'dequant.json');
  const copy = lines(folder, 'copy-torch.jsonl')[0];
  const theirs = copy ? `; torch copies ${copy.gb_per_s.toFixed(0)} GB/s` : '';
  const note = found && `${found.dequant_gb_per_s.toFixed(1)} of ${found.copy_gb_per_s.toFixed(1)} GB/s${theirs}`;
  const bars = { bound: 0.6, wanted: 0.9, least: true, unit: 'of a copy' };
  return [{ row: 2, what: 'NF4 with double quantization decoded', reached: found?.ratio ?? null, ...bars, note }];
}

/** The last successful run of every arm and seed below a folder. */
function runsOf(folder) {
  const found = new Map();
  const walk = (directory) => {
    for (const entry of readdirSync(directory, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1))) {
      const file = path.join(directory, entry.name);
      if (entry.isDirectory()) walk(file);
      else if (entry.name.endsWith('.run.json')) {
        const run = JSON.parse(readFileSync(file, 'utf8'));
        const { arm, seed, status } = run.run_info;
        if (status === 'success') found.set(`${arm} ${seed}`, run);
      }
    }
  };
  if (existsSync(folder)) walk(folder);
  return [...found.values()];
}

const median = (values) => {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  if (sorted.length === 0) return null;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
};
const ofArm = (runs, arm) => runs.filter((run) => run.run_info.arm === arm);
/** Median step over all seeds. */
const stepMs = (runs, arm) => median(ofArm(runs, arm).flatMap((run) => run.train_info.step_time_ms?.values ?? []));
const peakBytes = (runs, arm) => {
  const peaks = ofArm(runs, arm).flatMap((run) => run.train_info.memory?.allocated.peak ?? []);
  return peaks.length === 0 ? null : Math.max(...peaks);
};
/** Tokens of a step over its median time: what one slow step does to a mean is left out. */
function tokensPerSecond(runs, arm) {
  const [run] = ofArm(runs, arm);
  const history = run?.train_info.history ?? [];
  const [tokens, ms] = [history.at(-1)?.num_input_tokens_seen / history.length, stepMs(runs, arm)];
  return ms === null || !(tokens > 0) ? null : (1000 * tokens) / ms;
}

function steps(runs) {
  const seven = runs.get('llama-2-7b');
  const [lora, qlora] = ARMS.map((arm) => stepMs(seven, arm));
  const note = lora && qlora ? `${qlora.toFixed(0)} over ${lora.toFixed(0)} ms` : undefined;
  const bars = { bound: 1.15, wanted: 1.03, least: false, unit: 'times', note };
  return [{ row: 3, what: 'llama-2-7b, QLoRA step over LoRA step', reached: over(qlora, lora), ...bars }];
}

function speeds(runs) {
  return Object.entries(SPEED_BARS).map(([name, [bound, wanted]]) => {
    const [suite, arm] = name.split(' ');
    const [ours, theirs] = [arm, `peft-${arm}`].map((a) => tokensPerSecond(runs.get(suite), a));
    const shown = (tokens) => (tokens === null ? 'not measured' : tokens.toFixed(0));
    const note = `${shown(ours)} tokens/s, PEFT ${shown(theirs)}${computing(runs.get(suite), arm)}`;
    const bars = { bound, wanted, least: true, unit: 'times', note };
    return { row: 4, what: `${name}, tokens/s over PEFT's`, reached: over(ours, theirs), ...bars };
  });
}

/** What the two computed in; a peer on a dequantized base has no 4-bit kernels in its time. */
function computing(runs, arm) {
  const [ours, theirs] = [arm, `peft-${arm}`].map((a) => ofArm(runs, a)[0]?.run_info.train_config);
  if (!ours || !theirs) return '';
  const base = theirs.dequantized_base ? ' on a dense base' : '';
  return `; ${ours.compute_dtype} against ${theirs.compute_dtype}${base}`;
}

function memory(runs, smi) {
  const [seven, large] = [runs.get('llama-2-7b'), runs.get('llama-65b')];
  const [ours, theirs] = ['qlora', 'peft-qlora'].map((arm) => peakBytes(seven, arm));
  const shown = (bytes) => (bytes === null ? 'not measured' : `${(bytes / GB).toFixed(2)} GB`);
  const driver = (list, arm) => shown(driverPeak(ofArm(list, arm), smi));
  const peak = peakBytes(large, 'qlora');
  return [
    {
      ...{
        row: 5,
        what: "llama-2-7b qlora, peak memory over PEFT's",
        reached: over(ours, theirs),
        bound: 0.8,
        wanted: 0.5,
      },
      ...{ least: false, unit: 'times', note: `${shown(ours)} by the ledger, PEFT ${shown(theirs)} by torch` },
    },
    {
      ...{ row: 5, what: 'llama-65b qlora, 512 tokens, checkpointed: peak by the ledger', wanted: 42, least: false },
      ...{
        reached: peak === null ? null : peak / GB,
        bound: 48,
        unit: 'GB',
        note: `driver: ${driver(large, 'qlora')}`,
      },
    },
  ];
}

/** Lines of `seconds-since-1970 MiB`. */
function samples(content) {
  return content
    .split('\n')
    .map((line) => line.split(' ').map(Number))
    .filter(([at, mib]) => at > 0 && Number.isFinite(mib))
    .map(([at, mib]) => ({ at, bytes: mib * 2 ** 20 }));
}

/** The most that nvidia-smi saw in use on the card while a run went on, less what was in use as it began. */
function driverPeak(runs, smi) {
  const peaks = runs.flatMap(({ run_info: { created_at, total_time } }) => {
    const from = Date.parse(created_at) / 1000;
    const during = smi.filter(({ at }) => at >= from && at <= from + total_time).map(({ bytes }) => bytes);
    const before = smi.findLast(({ at }) => at < from);
    return during.length === 0 ? [] : [Math.max(...during) - (before?.bytes ?? Math.min(...during))];
  });
  return peaks.length === 0 ? null : Math.max(...peaks);
}

function facts(folder, runs, smi) {
  const tiles = json(folder, 'tune.json')?.tiles;
  const found = [
    ['kernel tests', testsText(json(folder, 'conformance.json'))],
    ['kernel tests, unchecked as runs are', testsText(json(folder, 'conformance-unchecked.json'))],
    ['tiles', tiles ? JSON.stringify(tiles).replaceAll('"', '') : 'not tuned: the defaults'],
  ];
  for (const file of filesOf(folder, /\.jsonl\.failed$/))
    if (text(folder, file.replace('.failed', '')) === null)
      found.push([file.replace('.failed', ''), 'ended early: its first rows only']);
  for (const { shape, dtype, tflops, by } of lines(folder, 'gemm-torch.jsonl'))
    found.push([`${by} ${shape} ${dtype}`, `${tflops.toPrecision(4)} TFLOP/s`]);
  for (const { op, shape, dtype, tier, gflops } of gemmRows(folder))
    found.push([`${op} ${shape} ${dtype} ${tier}`, `${(gflops / 1000).toPrecision(4)} TFLOP/s`]);
  for (const { op, shape, rank, dtype, tier, separateMs, foldedMs, ratio } of json(folder, 'lora-fold.json')?.rows ??
    [])
    found.push([
      `${op} ${shape} ${dtype} ${tier}, LoRA of rank ${rank} within the product`,
      `${foldedMs.toFixed(2)} ms, ${ratio.toPrecision(3)} of the ${separateMs.toFixed(2)} ms apart`,
    ]);
  for (const { what, ms, tflops, by } of attention(folder))
    found.push([
      `attention ${what}, ${by}`,
      `${ms.toFixed(2)} ms${tflops ? `, ${tflops.toPrecision(4)} TFLOP/s` : ''}`,
    ]);
  found.push(...profileFacts(folder));
  for (const [suite, list] of runs)
    for (const arm of suite === 'llama-65b' ? ['qlora'] : [...ARMS, ...ARMS.map((a) => `peft-${a}`)])
      found.push([`${suite} ${arm}`, runText(list, arm, smi)]);
  return found.map(([what, figure]) => [what, figure || 'not measured']);
}

/** Variants of kernels beyond these are one row of a profile. */
const PROFILED_ROWS = 30;

/** Milliseconds, dispatches and share of a step by kernel and variant, the largest first; and of all. */
export function byKernel(traceEvents) {
  const rows = new Map();
  for (const { name, dur } of traceEvents) {
    const row = rows.get(name) ?? { kernel: name, ms: 0, dispatches: 0 };
    rows.set(name, { ...row, ms: row.ms + dur / 1000, dispatches: row.dispatches + 1 });
  }
  const sorted = [...rows.values()].sort((a, b) => b.ms - a.ms);
  const sum = (list, key) => list.reduce((total, row) => total + row[key], 0);
  const [kept, others] = [sorted.slice(0, PROFILED_ROWS), sorted.slice(PROFILED_ROWS)];
  if (others.length > 0)
    kept.push({ kernel: `${others.length} more`, ms: sum(others, 'ms'), dispatches: sum(others, 'dispatches') });
  const ms = sum(sorted, 'ms');
  return { ms, dispatches: traceEvents.length, kernels: kept.map((row) => ({ ...row, share: over(row.ms, ms) })) };
}

/** Largest kernels of a profile that the table names. */
const PROFILED_FACTS = 8;

function profileFacts(folder) {
  const found = json(folder, 'profile.json');
  if (found === null) return [['profile of a 7B QLoRA step', null]];
  const whole = `${found.ms.toFixed(1)} ms in ${found.dispatches} dispatches, one at a time`;
  return [
    [`profile of a step, ${found.model}`, whole],
    ...found.kernels.slice(0, PROFILED_FACTS).map(({ kernel, ms, dispatches, share }) => [
      `  ${(100 * share).toFixed(1)} %`,
      `${ms.toFixed(1)} ms, ${dispatches} x ${kernel
        .split('|')
        .filter((word) => !word.includes('='))
        .join(' ')}`,
    ]),
  ];
}

const testsText = (tests) =>
  tests && `${tests.numPassedTests} passed, ${tests.numFailedTests} failed, ${tests.numPendingTests} skipped`;

function attention(folder) {
  const ours = lines(folder, 'attention.jsonl')
    .filter(({ direction }) => direction !== undefined)
    .map(({ shape, direction, tier, ms, tflops }) => {
      return { by: 'nibble', what: `${shape} ${direction} ${tier}`, ms, tflops };
    });
  return [...ours, ...lines(folder, 'attention-torch.jsonl')];
}

function runText(runs, arm, smi) {
  const [run] = ofArm(runs, arm);
  if (run === undefined) return null;
  const [tokens, ms, peak] = [tokensPerSecond(runs, arm), stepMs(runs, arm), peakBytes(runs, arm)];
  const driver = driverPeak(ofArm(runs, arm), smi);
  const { load_s, compile_s } = run.train_info.timing;
  return [
    `${tokens?.toFixed(0)} tokens/s, ${ms?.toFixed(1)} ms a step`,
    ...(peak === null ? [] : [`peak ${(peak / GB).toFixed(2)} GB`]),
    ...(driver === null ? [] : [`driver ${(driver / GB).toFixed(2)} GB`]),
    `${run.meta_info.model_info.id}, load ${load_s?.toFixed(1)} s${compile_s === null ? '' : `, compile ${compile_s.toFixed(1)} s`}`,
    ...(run.train_info.tier === null ? [] : [run.train_info.tier]),
  ].join('; ');
}
