/** What a GPU is promised to reach, and what it reached by the files of gpu-host.sh. */
import { json, lines, over, products, torchProducts } from './files.mjs';
import { driverPeak, ofArm, peakBytes, stepMs, tokensPerSecond } from './runs.mjs';

/** @typedef {import('./runs.mjs').RunRecord} RunRecord */
/** @typedef {import('./runs.mjs').Runs} Runs */
/** @typedef {import('./runs.mjs').Suite} Suite */

/**
 * @typedef {object} Promised
 * @property {number} row of docs/performance.md
 * @property {string} what
 * @property {number | null} reached null where nothing was measured
 * @property {number} bound the bar
 * @property {number} wanted
 * @property {boolean} least whether the bar is the least that is good enough, instead of the most
 * @property {string} unit
 * @property {string | null} note
 */

/** Tokens per second over PEFT's: the bar, and what is wanted. @type {readonly [Suite, 'lora' | 'qlora', number, number][]} */
const SPEED_BARS = [
  ['smollm2-135m', 'lora', 1, 2],
  ['smollm2-135m', 'qlora', 1, 2],
  ['tinyllama-1.1b', 'lora', 0.6, 1.5],
  ['tinyllama-1.1b', 'qlora', 0.6, 1.5],
  ['llama-2-7b', 'qlora', 0.4, 1],
];
const MEASURED_SHAPES = ['4096x4096x4096', '4096x11008x4096'];
export const GB = 1e9;

/** @param {string} folder @param {Runs} runs @returns {Promised[]} */
export function promisedFigures(folder, runs) {
  return [...gemm(folder), dequant(folder), step(runs), ...speeds(runs), ...memory(runs)];
}

/** @param {string} folder @returns {Promised[]} */
function gemm(folder) {
  const rows = products(folder).filter(({ op }) => op === 'nt');
  const torch = torchProducts(folder);
  /** @type {(shape: string, dtype: string, tiers: readonly string[]) => import('./files.mjs').Product | undefined} */
  const best = (shape, dtype, tiers) =>
    rows
      .filter((row) => row.shape === shape && row.dtype === dtype && tiers.includes(row.tier))
      .sort((a, b) => b.gflops - a.gflops)[0];
  /** @type {(shape: string, dtype: string) => number | null} */
  const peer = (shape, dtype) => torch.find((row) => row.shape === shape && row.dtype === dtype)?.tflops ?? null;
  const shapes = rows.some(({ shape }) => MEASURED_SHAPES.includes(shape))
    ? MEASURED_SHAPES
    : [...new Set([...rows.map(({ shape }) => shape), ...MEASURED_SHAPES])].slice(0, 2);
  return shapes.flatMap((shape) => {
    const half = best(shape, 'f16', ['direct', 'simt', 'subgroup_matrix']);
    const single = best(shape, 'f32', ['direct', 'simt']);
    const [f16, f32] = [peer(shape, 'float16'), peer(shape, 'float32')];
    const [halfTflops, singleTflops] = [half, single].map((row) => (row === undefined ? null : row.gflops / 1000));
    return [
      {
        row: 1,
        what: `${shape}, f16 with f32 sums`,
        reached: halfTflops,
        bound: 100,
        wanted: 250,
        least: true,
        unit: 'TFLOP/s',
        note: half === undefined ? null : `${half.tier}; ${ofTorch(halfTflops, f16, 'torch float16')}`,
      },
      {
        row: 1,
        what: `${shape}, f32 over torch's`,
        reached: over(singleTflops, f32),
        bound: 0.4,
        wanted: 0.8,
        least: true,
        unit: 'times',
        note:
          single === undefined ? null : `${single.tier}, ${singleTflops?.toPrecision(4)} TFLOP/s; ${torchText(f32)}`,
      },
    ];
  });
}

/** @param {number | null} tflops */
const torchText = (tflops) => (tflops === null ? 'torch not measured' : `torch ${tflops.toPrecision(4)}, no TF32`);

/** @type {(ours: number | null, theirs: number | null, name: string) => string} */
const ofTorch = (ours, theirs, name) =>
  theirs === null || ours === null
    ? `${name} not measured`
    : `${(ours / theirs).toFixed(3)} of ${name}'s ${theirs.toPrecision(4)}`;

/** @param {string} folder @returns {Promised} */
function dequant(folder) {
  /** @type {{ ratio: number, dequant_gb_per_s: number, copy_gb_per_s: number } | null} */
  const found = json(folder, 'dequant.json');
  /** @type {{ gb_per_s: number }[]} */
  const [copy] = lines(folder, 'copy-torch.jsonl');
  const theirs = copy ? `; torch copies ${copy.gb_per_s.toFixed(0)} GB/s` : '';
  const note = found && `${found.dequant_gb_per_s.toFixed(1)} of ${found.copy_gb_per_s.toFixed(1)} GB/s${theirs}`;
  return {
    row: 2,
    what: 'NF4 with double quantization decoded',
    reached: found?.ratio ?? null,
    bound: 0.6,
    wanted: 0.9,
    least: true,
    unit: 'of a copy',
    note,
  };
}

/** @param {Runs} runs @returns {Promised} */
function step(runs) {
  const [lora, qlora] = ['lora', 'qlora'].map((arm) => stepMs(runs.of('llama-2-7b'), arm));
  return {
    row: 3,
    what: 'llama-2-7b, QLoRA step over LoRA step',
    reached: over(qlora, lora),
    bound: 1.15,
    wanted: 1.03,
    least: false,
    unit: 'times',
    note: lora && qlora ? `${qlora.toFixed(0)} over ${lora.toFixed(0)} ms` : null,
  };
}

/** @param {Runs} runs @returns {Promised[]} */
function speeds(runs) {
  return SPEED_BARS.map(([suite, arm, bound, wanted]) => {
    const [ours, theirs] = [arm, `peft-${arm}`].map((a) => tokensPerSecond(runs.of(suite), a));
    const shown = (/** @type {number | null} */ tokens) => (tokens === null ? 'not measured' : tokens.toFixed(0));
    return {
      row: 4,
      what: `${suite} ${arm}, tokens/s over PEFT's`,
      reached: over(ours, theirs),
      bound,
      wanted,
      least: true,
      unit: 'times',
      note: `${shown(ours)} tokens/s, PEFT ${shown(theirs)}${computing(runs.of(suite), arm)}`,
    };
  });
}

/**
 * What the two computed in; a peer on a dequantized base has no 4-bit kernels in its time.
 * @param {readonly RunRecord[]} runs
 * @param {string} arm
 */
function computing(runs, arm) {
  const [ours, theirs] = [arm, `peft-${arm}`].map((a) => ofArm(runs, a)[0]?.run_info.train_config);
  if (!ours || !theirs) return '';
  const base = theirs.dequantized_base ? ' on a dense base' : '';
  return `; ${ours.compute_dtype} against ${theirs.compute_dtype}${base}`;
}

/** @param {number | null} bytes */
const inGb = (bytes) => (bytes === null ? 'not measured' : `${(bytes / GB).toFixed(2)} GB`);

/** @param {Runs} runs @returns {Promised[]} */
function memory(runs) {
  const [ours, theirs] = ['qlora', 'peft-qlora'].map((arm) => peakBytes(runs.of('llama-2-7b'), arm));
  const peak = peakBytes(runs.of('llama-65b'), 'qlora');
  return [
    {
      row: 5,
      what: "llama-2-7b qlora, peak memory over PEFT's",
      reached: over(ours, theirs),
      bound: 0.8,
      wanted: 0.5,
      least: false,
      unit: 'times',
      note: `${inGb(ours)} by the ledger, PEFT ${inGb(theirs)} by torch`,
    },
    {
      row: 5,
      what: 'llama-65b qlora, 512 tokens, checkpointed: peak by the ledger',
      reached: peak === null ? null : peak / GB,
      bound: 48,
      wanted: 42,
      least: false,
      unit: 'GB',
      note: `driver: ${inGb(driverPeak(ofArm(runs.of('llama-65b'), 'qlora'), runs.samples))}`,
    },
  ];
}
