#!/usr/bin/env node
/**
 * Peak memory over sequence length and the loss's bytes over vocabulary size, from the plan; and one point of each curve run:
 * `node bench/performance/memory-curves.mjs [--record FOLDER]` (NIBBLE_DEVICE=lavapipe|swiftshader). Plain JavaScript over dist/.
 */
import { execFileSync } from 'node:child_process';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { estimateModel } from '#dist/estimate/estimate.js';
import { REFERENCE_MODELS } from '#dist/estimate/reference-models.js';
import { parseModelConfig } from '#dist/formats/hf-config.js';
import { KNOWN_PROFILES } from '#dist/gpu/device-profile.js';
import { loadShaders } from '#dist/node/device.js';
import { LoadWatch, writeRecord } from '../shared/record.mjs';
import { CHECKPOINTING, METHODS, modelJson, NARROW, SMALL, settings } from './curve-models.mjs';

const { values: flags } = parseArgs({ options: { record: { type: 'string' } } });
const ADAPTER = process.env.NIBBLE_DEVICE ?? 'lavapipe';
const POINT = fileURLToPath(new URL('memory-point.mjs', import.meta.url));
const GIB = 2 ** 30;
const MIB = 2 ** 20;

const LENGTHS = Array.from({ length: 16 }, (_, i) => 512 * (i + 1));
const RUN_LENGTH = 512;
/** Rows of a loss over every vocabulary: as many as 64 MiB of logits hold at the smallest. */
const LOSS_TOKENS = 2048;
const DOUBLINGS = [8, 16, 32, 64, 128, 256].map((thousands) => thousands * 1024);
/** Of Llama 2, SmolLM2, Llama 3, Qwen2 and Gemma: a chunk is whole rows by 64, so that some take less than the budget. */
const PUBLISHED = [32_000, 49_152, 128_256, 151_936, 256_000];
const RUN_VOCABULARY = 32 * 1024;
const LOSS_BUDGET_BYTES = 64 * MIB;
/**
 * Of the whole peak, of a model that somebody trains. In the small one fixed scratch that later grows with the sequence is a
 * part that can be seen: its peak is reported, and its activations are held to the line like those of the other.
 */
const MOST_DEVIATION = { 'Llama-2-7B': 0.01, small: null };
/** Of the activations of one token at different lengths: which tensors share a place may differ by one or two of hundreds. */
const MOST_UNEVEN = 1.005;

const BEND =
  'Where a line bends, it is where buffers share memory: the scratch that a 4-bit weight is decoded into has one size, and ' +
  'what later lies in the same place grows with the sequence, so that the larger of the two counts. In a small model that ' +
  'is a part of the whole that can be seen; activations take the same bytes a token at every length, to half a percent.';
const WITNESS =
  'The ledger and the plan agree to the byte. The process grows by more than so small a model holds: kernels compiled for ' +
  'its sizes, staging and the runtime itself are in that figure. `bench/performance/memory-witness.mjs` holds a model of more than ' +
  '1 GiB against the process.';

const SUBJECTS = [
  { model: 'Llama-2-7B', shape: REFERENCE_MODELS['Llama-2-7B'], dtype: 'float16', profile: KNOWN_PROFILES.nvidia },
  { model: 'small', shape: SMALL, dtype: 'float32', profile: KNOWN_PROFILES[ADAPTER], run: true },
];
const shaders = loadShaders();

function estimate({ shape, dtype, profile }, method, checkpointing, S) {
  const config = settings({ method, checkpointing, S, dtype });
  return estimateModel(parseModelConfig(modelJson(shape, S, dtype)), config, profile, shaders);
}

/** Least squares; the deviation is the largest, of the value. */
function leastSquares(points) {
  const mean = (f) => points.reduce((sum, point) => sum + f(point), 0) / points.length;
  const [mx, my] = [mean(({ x }) => x), mean(({ y }) => y)];
  const slope = mean(({ x, y }) => (x - mx) * (y - my)) / mean(({ x }) => (x - mx) ** 2);
  const deviation = Math.max(...points.map(({ x, y }) => Math.abs(my + slope * (x - mx) - y) / y));
  return { slope, deviation };
}

/** A training step in a process of its own, so that its memory is the step's. */
function run(shape, method, checkpointing, S) {
  const argument = JSON.stringify({ shape, method, checkpointing, S });
  const env = { ...process.env, NIBBLE_DEVICE: ADAPTER };
  const stdio = ['ignore', 'pipe', 'ignore'];
  const printed = execFileSync(process.execPath, ['--expose-gc', POINT, argument], { env, encoding: 'utf8', stdio });
  return JSON.parse(printed.trim().split('\n').at(-1));
}

const load = new LoadWatch();
const [curves, figures] = [[], []];
let adapter = '';

/** What a run point adds to its curve. */
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

const points = [];
for (const subject of SUBJECTS) {
  for (const [method, name] of Object.entries(METHODS)) {
    for (const [checkpointing, kept] of Object.entries(CHECKPOINTING)) {
      const values = [];
      const perToken = [];
      for (const S of LENGTHS) {
        const { peakBytes, byCategory } = await estimate(subject, method, checkpointing, S);
        values.push({ x: S, y: peakBytes });
        perToken.push(byCategory.activations / S);
      }
      const { slope, deviation } = leastSquares(values);
      const label = `${subject.model}, ${name}, checkpointing ${kept}`;
      const gib = (S) => values.find(({ x }) => x === S).y / GIB;
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
          reached: Math.max(...perToken) / Math.min(...perToken),
          bound: MOST_UNEVEN,
          unit: 'times',
        },
        { what: `${label}: at 512 tokens`, reached: gib(512), bound: null, unit: 'GiB' },
        { what: `${label}: at 8192 tokens`, reached: gib(8192), bound: null, unit: 'GiB' },
      );
      const curve = { picture: `sequence-${subject.model}`, method: name, checkpointing: kept, values, run: null };
      curves.push(curve);
      if (!subject.run) continue;
      const point = run(subject.shape, method, checkpointing, RUN_LENGTH);
      points.push(...ran(`${RUN_LENGTH} tokens, ${name}, checkpointing ${kept}`, point));
      curve.run = { x: RUN_LENGTH, y: point.peakBytes };
    }
  }
}

const lossSubject = { dtype: 'float32', profile: KNOWN_PROFILES[ADAPTER] };
const lossBytes = async (V) =>
  (await estimate({ ...lossSubject, shape: { ...NARROW, vocab_size: V } }, 'lora', 'false', LOSS_TOKENS)).byCategory
    .logits;
const byVocabulary = [];
for (const V of [...DOUBLINGS, ...PUBLISHED].sort((a, b) => a - b)) byVocabulary.push({ x: V, y: await lossBytes(V) });
const sizes = (list) => byVocabulary.filter(({ x }) => list.includes(x)).map(({ y }) => y);
const spread = (list) => Math.max(...sizes(list)) / Math.min(...sizes(list));
const lossPoint = run({ ...NARROW, vocab_size: RUN_VOCABULARY }, 'lora', 'false', LOSS_TOKENS);
curves.push({
  picture: 'vocabulary',
  tokens: LOSS_TOKENS,
  values: byVocabulary,
  run: { x: RUN_VOCABULARY, y: lossPoint.lossBytes },
});
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
    reached: Math.max(...byVocabulary.map(({ y }) => y)) / MIB,
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
  const common = { row: 7, command, load };
  const write = (name, rest) => writeRecord(path.join(flags.record, `${name}.json`), { ...common, ...rest });
  const sequence = curves.filter(({ picture }) => picture !== 'vocabulary');
  write('memory-1-sequence', {
    ...{ title: 'Peak memory over sequence length, from the plan', remark: BEND },
    ...{ figures, curves: sequence },
  });
  const title = `A point of each curve run (the small model, ${RUN_LENGTH} tokens)`;
  write('memory-2-run', { title, adapter, remark: WITNESS, figures: points });
  const loss = curves.filter(({ picture }) => picture === 'vocabulary');
  write('memory-3-vocabulary', {
    ...{ title: `Logits of the loss over vocabulary size (${LOSS_TOKENS} tokens)`, adapter },
    ...{ figures: flat, curves: loss },
  });
}
