#!/usr/bin/env node
/**
 * What a generated token costs against the length of its context and the size of the batch, and what memory a base in 4 bits takes
 * against one in 16, for a model with random weights in the proportions of Llama-2. Times are CPU time, as a ratio to a point of the same
 * round: on a software driver they say how the cost grows with nibble's kernels for such drivers, not how fast a GPU is.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { max as largest, median } from 'simple-statistics';
import { estimateGeneration } from '#dist/estimate/generation.js';
import { referenceModel } from '#dist/estimate/reference-models.js';
import { buildGeneration } from '#dist/generate/build.js';
import { KNOWN_PROFILES } from '#dist/gpu/device-profile.js';
import { baseStorage } from '#dist/model/base-storage.js';
import { loadModel } from '#dist/model/load.js';
import { openModel } from '#dist/model/open.js';
import { nodeReader } from '#dist/node/files.js';
import { openNodeRuntime } from '#dist/node/runtime.js';
import { cpuSeconds, LoadWatch, timed } from '../shared/clock.mjs';
import { count, readOptions } from '../shared/options.mjs';
import { writeRecord } from '../shared/record.mjs';
import { writeRandomModel } from '../shared/training.mjs';
import { modelJson } from './curve-models.mjs';

/**
 * @typedef {import('#dist/generate/engine.js').GenerationEngine} Engine
 * @typedef {import('#dist/formats/hf-config.js').ModelConfig} ModelConfig
 * @typedef {import('#dist/generate/plan.js').GenerationPlan} Plan
 * @typedef {{ batch: number, context: number }} Point
 */

const USAGE = `usage: node bench/performance/decode-curves.mjs [options]
  --rounds N      in which every point is measured once  (9)
  --record FILE   writes what was measured
The device is NIBBLE_DEVICE, or whatever the machine has.`;
const flags = readOptions(USAGE, { rounds: { type: 'string', default: '9' }, record: { type: 'string' } });
const rounds = count('rounds', flags.rounds);

/** Llama-2-7B's proportions in a sixteenth of its width and an eighth of its layers. */
const SHAPE = {
  vocab_size: 4096,
  hidden_size: 256,
  intermediate_size: 688,
  num_hidden_layers: 4,
  num_attention_heads: 4,
};
const CONTEXTS = [64, 128, 256, 512, 1024, 2048];
const BATCHES = [1, 2, 4, 8, 16];
const BATCH_CONTEXT = 256;
const POSITIONS = 2048;
const BASES = /** @type {const} */ ({ bfloat16: false, nf4: true });
/** Shapes of the memory curves. */
const MEMORY = { model: 'Llama-2-7B', batch: 1, contexts: [64, 512, 1024, 2048, 3072, 4096] };

/** @param {boolean} load_in_4bit */
const settingsOf = (load_in_4bit) => ({
  dtype: /** @type {const} */ ('bfloat16'),
  load_in_4bit,
  bnb_4bit_quant_type: /** @type {const} */ ('nf4'),
  bnb_4bit_blocksize: 64,
  bnb_4bit_use_double_quant: true,
  llm_int8_skip_modules: null,
});

/**
 * @param {import('#dist/node/runtime.js').NodeRuntime} runtime
 * @param {string} folder
 * @param {boolean} load_in_4bit
 */
async function opened(runtime, folder, load_in_4bit) {
  const options = { model_name_or_path: folder, adapter_name_or_path: null };
  const { model, source } = await openModel(options, nodeReader);
  const storage = await baseStorage(settingsOf(load_in_4bit), model, source);
  const short = { prompt: 16, maxNewTokens: BATCH_CONTEXT - 15 };
  /** @type {Plan} */
  const plan = {
    model,
    storage,
    adapters: [],
    computeDtype: 'f32',
    batchSize: largest(BATCHES),
    requests: [{ prompt: 16, maxNewTokens: POSITIONS - 15 }, ...BATCHES.flatMap((n) => Array(n).fill(short))],
  };
  const { device } = runtime;
  const engine = buildGeneration({ device, profile: device.profile, shaders: device.shaders }, plan);
  const context = { ...runtime, residents: engine.machine.residents, sourceDtype: null };
  for await (const _ of loadModel(context, engine.declared, source)) {
    // nobody watches
  }
  await engine.compile();
  for await (const _ of engine.warmUp()) {
    // nobody watches
  }
  return engine;
}

/** A token of each of `batch` sequences, each at the end of `context` tokens. @param {Engine} engine @param {Point} point */
async function token(engine, { batch, context }) {
  const own = Math.ceil(context / 16);
  const next = Array.from({ length: batch }, (_, b) => ({
    pages: Array.from({ length: own }, (_, i) => b * own + i),
    adapter: 0,
    token: 7,
    position: context - 1,
  }));
  await engine.decode(next);
}

/** Tokens of a sample: one alone takes a few milliseconds, of which the driver's threads waking up are a part. */
const TOKENS = 8;

/**
 * Medians over the rounds of each point's CPU time, as a ratio to the first one's in the same round. Another point comes first in each
 * round.
 * @param {Engine} engine
 * @param {readonly Point[]} points
 * @param {LoadWatch} load
 */
async function ratios(engine, points, load) {
  /** @type {number[][]} */
  const times = [];
  for (let round = 0; round < rounds; round++) {
    load.look();
    /** @type {number[]} */
    const own = [];
    for (let i = 0; i < points.length; i++) {
      const at = (round + i) % points.length;
      const point = /** @type {Point} */ (points[at]);
      await token(engine, point);
      own[at] = await timed(async () => {
        for (let n = 0; n < TOKENS; n++) await token(engine, point);
      }, cpuSeconds);
    }
    times.push(own);
  }
  return points.map((_, i) => median(times.map((own) => (own[i] ?? Number.NaN) / (own[0] ?? Number.NaN))));
}

/** Bytes by context of a published model, by the plan: what `nibble generate` would hold. @param {boolean} load_in_4bit @param {import('#dist/gpu/kernel.js').ShaderLibrary} shaders */
async function memoryCurve(load_in_4bit, shaders) {
  const model = referenceModel(MEMORY.model);
  const storage = await baseStorage(settingsOf(load_in_4bit), model, null);
  const profile = {
    .../** @type {import('#dist/gpu/device-profile.js').DeviceProfile} */ (KNOWN_PROFILES.nvidia),
    tier: /** @type {const} */ ('simt'),
  };
  return MEMORY.contexts.map((context) => {
    const half = context / 2;
    const requests = Array.from({ length: MEMORY.batch }, () => ({ prompt: half, maxNewTokens: half }));
    const plan = {
      model,
      storage,
      adapters: [],
      computeDtype: /** @type {const} */ ('f32'),
      batchSize: MEMORY.batch,
      requests,
    };
    return { x: context, y: estimateGeneration(plan, profile, shaders).peakBytes };
  });
}

const folder = mkdtempSync(path.join(os.tmpdir(), 'nibble-decode-'));
const runtime = await openNodeRuntime(/** @type {any} */ (process.env.NIBBLE_DEVICE ?? 'auto'));
try {
  writeRandomModel(path.join(folder, 'model'), modelJson(SHAPE, POSITIONS, 'bfloat16'));
  const load = new LoadWatch();
  /** @type {import('../shared/records.mjs').Curve[]} */
  const curves = [];
  /** @type {import('../shared/records.mjs').Figure[]} */
  const figures = [];
  /** @type {Record<string, number>} */
  const peaks = {};
  for (const [base, load_in_4bit] of Object.entries(BASES)) {
    const engine = await opened(runtime, path.join(folder, 'model'), load_in_4bit);
    const byContext = await ratios(
      engine,
      CONTEXTS.map((context) => ({ batch: 1, context })),
      load,
    );
    const byBatch = await ratios(
      engine,
      BATCHES.map((batch) => ({ batch, context: BATCH_CONTEXT })),
      load,
    );
    peaks[base] =
      engine.machine.ledger.peak.byCategory.base_weights + engine.machine.ledger.peak.byCategory.quant_state;
    engine.destroy();
    const line = (/** @type {string} */ picture, /** @type {{ x: number, y: number }[]} */ values) =>
      curves.push({ picture, method: base, values, run: null });
    line(
      'decode-context',
      CONTEXTS.map((x, i) => ({ x, y: byContext[i] ?? Number.NaN })),
    );
    // over the time of a sequence alone: what a batch saves is what it shares
    line(
      'decode-batch',
      BATCHES.map((x, i) => ({ x, y: (byBatch[i] ?? Number.NaN) / x })),
    );
    line('decode-memory', await memoryCurve(load_in_4bit, runtime.device.shaders));
    const told = (/** @type {string} */ what, /** @type {number | undefined} */ reached) =>
      figures.push({ what, reached: reached ?? null, bound: null, unit: 'times' });
    CONTEXTS.forEach((context, i) => {
      if (i > 0) told(`${base}: a token at ${context} tokens over one at ${CONTEXTS[0]}`, byContext[i]);
    });
    BATCHES.forEach((batch, i) => {
      if (i > 0) told(`${base}: a token of each of ${batch} sequences over one of one`, byBatch[i]);
    });
  }
  figures.push({
    what: 'weights and their scales in nf4 over bfloat16, by the ledger',
    reached: (peaks.nf4 ?? Number.NaN) / (peaks.bfloat16 ?? Number.NaN),
    bound: null,
    unit: 'times',
  });
  for (const { what, reached, unit } of figures) console.log(`${what}: ${reached?.toFixed(3)} ${unit}`);
  if (flags.record !== undefined)
    writeRecord(flags.record, {
      row: 13,
      title: 'A generated token against context and batch, and a base in 4 bits against 16',
      command: 'npm run build && node bench/performance/decode-curves.mjs --record FILE',
      adapter: runtime.device.profile.name,
      load,
      versions: { model: `${SHAPE.num_hidden_layers} layers of ${SHAPE.hidden_size}, random weights`, rounds },
      figures,
      remark: `Times are CPU time on a software driver, in ratios of one run. The memory of ${MEMORY.model} is that of the plan, which tests hold against the ledger to the byte.`,
      curves,
    });
} finally {
  await runtime.close();
  rmSync(folder, { recursive: true, force: true });
}
