/** Lines without a promise, by the files of gpu-host.sh: tests, tiles, every product and attention, a profile, every run. */

import { GB } from './figures.mjs';
import { filesOf, json, lines, products, text, torchProducts } from './files.mjs';
import { driverPeak, ofArm, peakBytes, SUITES, stepMs, tokensPerSecond } from './runs.mjs';

/** @typedef {import('./runs.mjs').Runs} Runs */
/** @typedef {[what: string, figure: string | null]} Fact null where it was not measured */

/** @param {string} folder @param {Runs} runs @returns {[what: string, figure: string][]} */
export function factsOf(folder, runs) {
  const found = [
    ...checksAndTiles(folder),
    ...endedEarly(folder),
    ...productFacts(folder),
    ...attentionFacts(folder),
    ...profileFacts(folder),
    ...runFacts(runs),
  ];
  return found.map(([what, figure]) => [what, figure || 'not measured']);
}

/** @param {string} folder @returns {Fact[]} */
function checksAndTiles(folder) {
  /** @type {{ tiles?: object } | null} */
  const tune = json(folder, 'tune.json');
  return [
    ['kernel tests', testsText(json(folder, 'conformance.json'))],
    ['kernel tests, unchecked as runs are', testsText(json(folder, 'conformance-unchecked.json'))],
    ['tiles', tune?.tiles ? JSON.stringify(tune.tiles).replaceAll('"', '') : 'not tuned: the defaults'],
  ];
}

/** @param {{ numPassedTests: number, numFailedTests: number, numPendingTests: number } | null} tests vitest's report */
const testsText = (tests) =>
  tests && `${tests.numPassedTests} passed, ${tests.numFailedTests} failed, ${tests.numPendingTests} skipped`;

/** @param {string} folder @returns {Fact[]} */
function endedEarly(folder) {
  return filesOf(folder, /\.jsonl\.failed$/)
    .map((file) => file.replace('.failed', ''))
    .filter((file) => text(folder, file) === null)
    .map((file) => [file, 'ended early: its first rows only']);
}

/** @param {string} folder @returns {Fact[]} */
function productFacts(folder) {
  /** @type {{ rows: { op: string, shape: string, rank: number, dtype: string, tier: string, separateMs: number, foldedMs: number, ratio: number }[] } | null} */
  const fold = json(folder, 'lora-fold.json');
  return [
    ...torchProducts(folder).map(
      /** @returns {Fact} */ ({ shape, dtype, tflops, by }) => [
        `${by} ${shape} ${dtype}`,
        `${tflops.toPrecision(4)} TFLOP/s`,
      ],
    ),
    ...products(folder).map(
      /** @returns {Fact} */ ({ op, shape, dtype, tier, gflops }) => [
        `${op} ${shape} ${dtype} ${tier}`,
        `${(gflops / 1000).toPrecision(4)} TFLOP/s`,
      ],
    ),
    ...(fold?.rows ?? []).map(
      /** @returns {Fact} */ ({ op, shape, rank, dtype, tier, separateMs, foldedMs, ratio }) => [
        `${op} ${shape} ${dtype} ${tier}, LoRA of rank ${rank} within the product`,
        `${foldedMs.toFixed(2)} ms, ${ratio.toPrecision(3)} of the ${separateMs.toFixed(2)} ms apart`,
      ],
    ),
  ];
}

/** @param {string} folder @returns {Fact[]} */
function attentionFacts(folder) {
  /** @type {{ shape: string, direction?: string, tier: string, ms: number, tflops: number }[]} */
  const ours = lines(folder, 'attention.jsonl');
  /** @type {{ what: string, ms: number, tflops?: number, by: string }[]} */
  const theirs = lines(folder, 'attention-torch.jsonl');
  const measured = ours
    .filter(({ direction }) => direction !== undefined)
    .map(({ shape, direction, tier, ms, tflops }) => ({
      what: `${shape} ${direction} ${tier}`,
      ms,
      tflops,
      by: 'nibble',
    }));
  return [...measured, ...theirs].map(({ what, ms, tflops, by }) => [
    `attention ${what}, ${by}`,
    `${ms.toFixed(2)} ms${tflops ? `, ${tflops.toPrecision(4)} TFLOP/s` : ''}`,
  ]);
}

/** Largest kernels of a profile that the table names. */
const PROFILED_FACTS = 8;

/** @param {string} folder @returns {Fact[]} */
function profileFacts(folder) {
  /** @type {(import('./by-kernel.mjs').Profile & { model: string }) | null} */
  const found = json(folder, 'profile.json');
  if (found === null) return [['profile of a 7B QLoRA step', null]];
  const whole = `${found.ms.toFixed(1)} ms in ${found.dispatches} dispatches, one at a time`;
  return [
    [`profile of a step, ${found.model}`, whole],
    ...found.kernels.slice(0, PROFILED_FACTS).map(
      /** @returns {Fact} */ ({ kernel, ms, dispatches, share }) => [
        `  ${(100 * (share ?? 0)).toFixed(1)} %`,
        `${ms.toFixed(1)} ms, ${dispatches} x ${kernel
          .split('|')
          .filter((word) => !word.includes('='))
          .join(' ')}`,
      ],
    ),
  ];
}

/** @param {Runs} runs @returns {Fact[]} */
function runFacts(runs) {
  const all = ['lora', 'qlora', 'peft-lora', 'peft-qlora'];
  return SUITES.flatMap((suite) =>
    (suite === 'llama-65b' ? ['qlora'] : all).map(
      /** @returns {Fact} */ (arm) => [`${suite} ${arm}`, runText(runs.of(suite), arm, runs.samples)],
    ),
  );
}

/**
 * @param {readonly import('./runs.mjs').RunRecord[]} runs
 * @param {string} arm
 * @param {readonly import('./runs.mjs').Sample[]} samples
 */
function runText(runs, arm, samples) {
  const [run] = ofArm(runs, arm);
  if (run === undefined) return null;
  const [tokens, ms, peak] = [tokensPerSecond(runs, arm), stepMs(runs, arm), peakBytes(runs, arm)];
  const driver = driverPeak(ofArm(runs, arm), samples);
  const { load_s, compile_s } = run.train_info.timing;
  return [
    `${tokens?.toFixed(0)} tokens/s, ${ms?.toFixed(1)} ms a step`,
    ...(peak === null ? [] : [`peak ${(peak / GB).toFixed(2)} GB`]),
    ...(driver === null ? [] : [`driver ${(driver / GB).toFixed(2)} GB`]),
    `${run.meta_info.model_info.id}, load ${load_s?.toFixed(1)} s${compile_s === null ? '' : `, compile ${compile_s.toFixed(1)} s`}`,
    ...(run.train_info.tier === null ? [] : [run.train_info.tier]),
  ].join('; ');
}
