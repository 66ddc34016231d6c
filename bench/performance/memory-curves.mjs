#!/usr/bin/env node
/** Peak memory over sequence length and the loss's bytes over vocabulary size, from the plan; and one point of each curve run. */
import { execFileSync } from 'node:child_process';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { max as largest, linearRegression, linearRegressionLine, min as smallest } from 'simple-statistics';
import { estimateModel } from '#dist/estimate/model.js';
import { REFERENCE_MODELS } from '#dist/estimate/reference-models.js';
import { parseModelConfig } from '#dist/formats/hf-config.js';
import { KNOWN_PROFILES } from '#dist/gpu/device-profile.js';
import { loadShaders } from '#dist/node/device.js';
import { LoadWatch } from '../shared/clock.mjs';
import { chosenDevice } from '../shared/device.mjs';
import { readOptions, refuse } from '../shared/options.mjs';
import { writeRecord } from '../shared/record.mjs';
import { CHECKPOINTING, METHODS, modelJson, NARROW, SMALL, settings } from './curve-models.mjs';

/** @typedef {import('./curve-models.mjs').Shape} Shape */
/** @typedef {import('../shared/records.mjs').Figure} Figure */
/** @typedef {import('../shared/records.mjs').Curve} Curve */
/** @typedef {import('../shared/records.mjs').Point} Point */

const USAGE = `usage: node bench/performance/memory-curves.mjs [--record FOLDER]   NIBBLE_DEVICE: lavapipe or swiftshader (lavapipe)`;
const flags = readOptions(USAGE, { record: { type: 'string' } });
const DEVICE = softwareDevice();
const POINT = fileURLToPath(new URL('memory-point.mjs', import.meta.url));
const GIB = 2 ** 30;
const MIB = 2 ** 20;

const LENGTHS = Array.from({ length: 16 }, (_, i) => 512 * (i + 1));
const RUN_LENGTH = 512;
/** Rows of a loss over every vocabulary: as many as 64 MiB of logits hold at the smallest. */
const LOSS_TOKENS = 2048;
const DOUBLINGS = [8, 16, 32, 64, 128, 256].map((thousands) => thousands * 1024);
/** Vocabularies of Llama 2, SmolLM2, Llama 3, Qwen2 and Gemma: a chunk is whole rows by 64, so that some take less than the budget. */
const PUBLISHED = [32_000, 49_152, 128_256, 151_936, 256_000];
const RUN_VOCABULARY = 32 * 1024;
const LOSS_BUDGET_BYTES = 64 * MIB;
/**
 * The most that the whole peak may be off a line, for a model that somebody trains. In the small one fixed scratch that later grows with the sequence is a
 * part that can be seen: its peak is reported, and its activations are held to the line like those of the other.
 */
const MOST_DEVIATION = { 'Llama-2-7B': 0.01, small: null };
/** Most over least activations of a token at different lengths: which tensors share a place may differ by one or two of hundreds. */
const MOST_UNEVEN = 1.005;

const BEND =
  'Where a line bends, it is where buffers share memory: the scratch that a 4-bit weight is decoded into has one size, and ' +
  'what later lies in the same place grows with the sequence, so that the larger of the two counts. In a small model that ' +
  'is a part of the whole that can be seen; activations take the same bytes a token at every length, to half a percent.';
const WITNESS =
  'The ledger and the plan agree to the byte. The process grows by more than so small a model holds: kernels compiled for ' +
  'its sizes, staging and the runtime itself are in that figure. `bench/performance/memory-witness.mjs` holds a model of more than ' +
  '1 GiB against the process.';

/** @typedef {{ shape: Shape, dtype: string, profile: import('#dist/gpu/device-profile.js').DeviceProfile }} Subject */

/** @type {readonly (Subject & { model: keyof typeof MOST_DEVIATION, run: boolean })[]} */
const SUBJECTS = [
  {
    model: 'Llama-2-7B',
    shape: REFERENCE_MODELS['Llama-2-7B'],
    dtype: 'float16',
    profile: KNOWN_PROFILES.nvidia,
    run: false,
  },
  { model: 'small', shape: SMALL, dtype: 'float32', profile: KNOWN_PROFILES[DEVICE], run: true },
];
const shaders = loadShaders();

/** @returns {'lavapipe' | 'swiftshader'} */
function softwareDevice() {
  const device = chosenDevice('lavapipe');
  if (device !== 'lavapipe' && device !== 'swiftshader')
    return refuse(`NIBBLE_DEVICE: got ${device}, wanted lavapipe or swiftshader, whose memory is the process's`);
  return device;
}

/** @param {Subject} subject @param {string} method @param {string} checkpointing @param {number} S */
function estimate({ shape, dtype, profile }, method, checkpointing, S) {
  const config = settings({ method, checkpointing, S, dtype });
  return estimateModel(parseModelConfig(modelJson(shape, S, dtype)), config, profile, shaders);
}

/** The line of least squares; the deviation is the largest, of the value. @param {readonly Point[]} points */
function leastSquares(points) {
  const line = linearRegression(points.map(({ x, y }) => [x, y]));
  const at = linearRegressionLine(line);
  return { slope: line.m, deviation: largest(points.map(({ x, y }) => Math.abs(at(x) - y) / y)) };
}

/**
 * A training step in a process of its own, so that its memory is the step's.
 * @param {Shape} shape
 * @param {string} method
 * @param {string} checkpointing
 * @param {number} S
 * @returns {import('./memory-point.mjs').RunPoint}
 */
function run(shape, method, checkpointing, S) {
  const argument = JSON.stringify({ shape, method, checkpointing, S });
  const env = { ...process.env, NIBBLE_DEVICE: DEVICE };
  const printed = execFileSync(process.execPath, [POINT, argument], {
    env,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  return JSON.parse(printed.trim().split('\n').at(-1) ?? '');
}

const load = new LoadWatch();
/** @type {Curve[]} */
const curves = [];
/** @type {Figure[]} */
const figures = [];
let adapter = '';

/** What a run point adds to its curve. @param {string} subject @param {import('./memory-point.mjs').RunPoint} point @returns {Figure[]} */
function ran(subject, point) {
  adapter = point.adapter;
  load.look();
  console.log(`${subject}: ${JSON.stringify(point)}`);
  return [
    {
      what: `${subject}: ledger's peak against the plan`,
      reached: Math.abs(point.peakBytes - point.planBytes),
      bound: 0,
      unit: 'bytes apart',
    },
    { what: `${subject}: ledger's peak`, reached: point.peakBytes / MIB, bound: null, unit: 'MiB' },
    { what: `${subject}: the process grew by`, reached: point.grownBytes / MIB, bound: null, unit: 'MiB' },
  ];
}

/** @type {Figure[]} */
const points = [];
for (const subject of SUBJECTS) {
  for (const [method, name] of Object.entries(METHODS)) {
    for (const [checkpointing, kept] of Object.entries(CHECKPOINTING)) {
      /** @type {Point[]} */
      const values = [];
      const perToken = [];
      for (const S of LENGTHS) {
        const { peakBytes, byCategory } = await estimate(subject, method, checkpointing, S);
        values.push({ x: S, y: peakBytes });
        perToken.push(byCategory.activations / S);
      }
      const { slope, deviation } = leastSquares(values);
      const label = `${subject.model}, ${name}, checkpointing ${kept}`;
      const gib = (/** @type {number} */ S) => (values.find(({ x }) => x === S)?.y ?? Number.NaN) / GIB;
      figures.push(
        { what: `${label}: slope`, reached: slope / MIB, bound: null, unit: 'MiB a token' },
        {
          what: `${label}: largest deviation from a line`,
          reached: deviation,
          bound: MOST_DEVIATION[subject.model],
          unit: 'of the value',
        },
        {
          what: `${label}: activations a token, most over least`,
          reached: largest(perToken) / smallest(perToken),
          bound: MOST_UNEVEN,
          unit: 'times',
        },
        { what: `${label}: at 512 tokens`, reached: gib(512), bound: null, unit: 'GiB' },
        { what: `${label}: at 8192 tokens`, reached: gib(8192), bound: null, unit: 'GiB' },
      );
      const curve = { picture: `sequence-${subject.model}`, method: name, checkpointing: kept, values };
      if (!subject.run) {
        curves.push({ ...curve, run: null });
        continue;
      }
      const point = run(subject.shape, method, checkpointing, RUN_LENGTH);
      for (const row of ran(`${RUN_LENGTH} tokens, ${name}, checkpointing ${kept}`, point)) points.push(row);
      curves.push({ ...curve, run: { x: RUN_LENGTH, y: point.peakBytes } });
    }
  }
}

const lossSubject = { dtype: 'float32', profile: KNOWN_PROFILES[DEVICE] };
const lossBytes = async (/** @type {number} */ V) =>
  (await estimate({ ...lossSubject, shape: { ...NARROW, vocab_size: V } }, 'lora', 'false', LOSS_TOKENS)).byCategory
    .logits;
/** @type {Point[]} */
const byVocabulary = [];
for (const V of [...DOUBLINGS, ...PUBLISHED].sort((a, b) => a - b)) byVocabulary.push({ x: V, y: await lossBytes(V) });
const sizes = (/** @type {readonly number[]} */ list) =>
  byVocabulary.filter(({ x }) => list.includes(x)).map(({ y }) => y);
const spread = (/** @type {readonly number[]} */ list) => largest(sizes(list)) / smallest(sizes(list));
const lossPoint = run({ ...NARROW, vocab_size: RUN_VOCABULARY }, 'lora', 'false', LOSS_TOKENS);
curves.push({
  picture: 'vocabulary',
  tokens: LOSS_TOKENS,
  values: byVocabulary,
  run: { x: RUN_VOCABULARY, y: lossPoint.lossBytes },
});
/** @type {Figure[]} */
const flat = [
  {
    what: 'largest over smallest, vocabularies of 8k, 16k, ... 256k',
    reached: spread(DOUBLINGS),
    bound: 1,
    unit: 'times',
  },
  {
    what: 'largest over smallest, published vocabularies too',
    reached: spread([...DOUBLINGS, ...PUBLISHED]),
    bound: null,
    unit: 'times',
    note: 'a chunk is a multiple of 64 rows: Qwen2 takes less than the budget, nothing takes more',
  },
  {
    what: 'largest of all',
    reached: largest(byVocabulary.map(({ y }) => y)) / MIB,
    bound: LOSS_BUDGET_BYTES / MIB,
    unit: 'MiB',
  },
  {
    what: `run at a vocabulary of ${RUN_VOCABULARY}: logits of the ledger against the plan's`,
    reached: Math.abs(lossPoint.lossBytes - lossPoint.planLossBytes),
    bound: 0,
    unit: 'bytes apart',
  },
  ...ran(`run at a vocabulary of ${RUN_VOCABULARY}, whole model`, lossPoint),
];

for (const { what, reached, unit } of [...figures, ...points, ...flat]) console.log(`${what}: ${reached} ${unit}`);
if (flags.record) {
  const command = 'npm run build && node bench/performance/memory-curves.mjs --record FOLDER';
  /** @param {string} name @param {Omit<import('../shared/record.mjs').Measurement, 'row' | 'command' | 'load'>} rest */
  const write = (name, rest) =>
    writeRecord(path.join(flags.record ?? '', `${name}.json`), { row: 7, command, load, ...rest });
  write('memory-1-sequence', {
    title: 'Peak memory over sequence length, from the plan',
    remark: BEND,
    figures,
    curves: curves.filter(({ picture }) => picture !== 'vocabulary'),
  });
  write('memory-2-run', {
    title: `A point of each curve run (the small model, ${RUN_LENGTH} tokens)`,
    adapter,
    remark: WITNESS,
    figures: points,
  });
  write('memory-3-vocabulary', {
    title: `Logits of the loss over vocabulary size (${LOSS_TOKENS} tokens)`,
    adapter,
    figures: flat,
    curves: curves.filter(({ picture }) => picture === 'vocabulary'),
  });
}
