#!/usr/bin/env node
/**
 * SmolLM2-135M-Instruct, a real pretrained model: logits, perplexity, and ten steps of LoRA and of QLoRA, against transformers
 * and PEFT, in float32.
 */
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { median } from 'simple-statistics';
import { openAdapter } from '#dist/adapters/files.js';
import { adapterTensors } from '#dist/adapters/layout.js';
import { builtinText } from '#dist/bench/builtin-data.js';
import { loadTrainConfig } from '#dist/config/index.js';
import { readFloats } from '#dist/formats/checkpoint.js';
import { nodeReader, nodeWriter } from '#dist/node/files.js';
import { openNodeRuntime } from '#dist/node/runtime.js';
import { readRunInput } from '#dist/train/session.js';
import { chosenDevice, nameOf } from '../shared/device.mjs';
import { watchGrowth } from '../shared/resident.mjs';
import { loadedEngine, trainToEnd } from '../shared/training.mjs';
import { logitsOf } from './logits.mjs';
import { options, python, record, relativeError, withScratch } from './peer.mjs';

/** @typedef {import('../shared/training.mjs').Runtime} Runtime */
/** @typedef {import('#dist/train/engine.js').Engine} Engine */
/** @typedef {import('#dist/train/session.js').RunInput} RunInput */
/** @typedef {'lora' | 'qlora'} Method */
/** @typedef {{ B: number, S: number }} Shape */

/**
 * @typedef {object} Theirs what PEFT reached by one method
 * @property {{ loss: number, grad_norm: number }[]} steps
 * @property {number} perplexity
 * @property {number} step_seconds
 */

/** @typedef {{ config: Record<string, unknown> & { max_steps: number }, logit_rows: number, versions: Record<string, string> } & Record<Method, Theirs>} Reference what smollm2.py wrote */
/** @typedef {{ logits: number, warnings: unknown[] }} Back what PEFT says of an adapter from here */
/** @typedef {Awaited<ReturnType<typeof measure>>} Measured */

const MIB = 2 ** 20;
/** Bounds of logits and of 50 steps of training on the page; a perplexity moves as its loss does. */
const BOUND = { logits: 1e-4, perplexity: 1e-5, loss: 5e-6, gradNorm: 1e-4, updateMedian: 5e-4, updateWorst: 5e-2 };
const BASES = { lora: 'model', qlora: 'bnb-4bit' };

/** Set once, by withScratch. */
let root = '';
const at = (/** @type {string[]} */ ...parts) => path.join(root, ...parts);

/** @param {import('./peer.mjs').Given} given @returns {Promise<Reference>} */
async function prepare(given) {
  if (!existsSync(at('reference.json'))) {
    tell('transformers and PEFT');
    writeFileSync(at('novel.txt'), await builtinText('moby-dick-eval'));
    writeFileSync(at('speeches.txt'), await builtinText('sotu-train'));
    python(given, 'smollm2.py', 'make', root);
  }
  return JSON.parse(readFileSync(at('reference.json'), 'utf8'));
}

/** @param {Method} method @param {Reference} reference @param {Record<string, string>} [more] */
function configOf(method, reference, more = {}) {
  const flags = {
    model_name_or_path: at(BASES[method]),
    adapter_name_or_path: at('adapter-init'),
    method,
    bnb_4bit_use_double_quant: method === 'qlora' ? 'true' : 'false',
    lora_r: '8',
    lora_alpha: '16',
    lora_target_modules: 'all-linear',
    datasets: `[{path: ${at('train.jsonl')}}]`,
    train_sampling_strategy: 'sequential',
    ...Object.fromEntries(Object.entries(reference.config).map(([key, value]) => [key, String(value)])),
    ...more,
  };
  return loadTrainConfig({ flags }).values;
}

/** What is being done, and when it began: a run takes minutes. @param {string} text */
function tell(text) {
  console.error(`${(performance.now() / 1000).toFixed(0).padStart(5)} s  ${text}`);
}

/** @param {string} name */
function storedLogits(name) {
  const bytes = readFileSync(at(`logits-${name}.bin`));
  return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
}

/**
 * Logits under the adapter that PEFT trained; logits and perplexities of the base alone.
 * @param {Runtime} runtime
 * @param {Method} method
 * @param {Reference} reference
 * @param {readonly number[]} ids
 * @param {Shape} shape
 */
async function measureBase(runtime, method, reference, ids, shape) {
  const config = configOf(method, reference, {
    adapter_name_or_path: at(`peft-${method}`),
    eval_datasets: `[{path: ${at('eval.jsonl')}}]`,
    per_device_eval_batch_size: '4',
  });
  tell(`${method}: loading`);
  const input = await readRunInput(config, runtime.readerOf);
  const engine = await loadedEngine(runtime, input);
  tell(`${method}: logits`);
  const adapted = relativeError(await logitsOf(engine, ids, shape), storedLogits(`peft-${method}`));
  for (const [name, { param }] of engine.declared.trainable.tensors)
    if (name.includes('lora_B')) engine.writeTensor(param, new Float32Array(param.elements));
  const logits = relativeError(await logitsOf(engine, ids, shape), storedLogits(method));
  tell(
    `${method}: logits within ${logits.toExponential(1)}, under PEFT's adapter ${adapted.toExponential(1)}; perplexity`,
  );
  const perplexity = await perplexityOf(engine, input.batches.evaluation);
  engine.destroy();
  tell(`${method}: perplexity ${perplexity}`);
  return { adapted, logits, perplexity };
}

/** @param {Engine} engine @param {RunInput['batches']['evaluation']} batches */
async function perplexityOf(engine, batches) {
  let [total, count] = [0, 0];
  for await (const batch of batches) {
    for (const loss of await engine.rowLosses(batch)) total += loss;
    count += batch.lossTokens;
  }
  return Math.exp(total / count);
}

/**
 * Ten steps through the library, the adapter saved; and the logits under it for PEFT to compare.
 * @param {Runtime} runtime
 * @param {Method} method
 * @param {Reference} reference
 * @param {readonly number[]} ids
 * @param {Shape} shape
 */
async function measureTraining(runtime, method, reference, ids, shape) {
  const directory = at(`nibble-${method}`);
  rmSync(directory, { recursive: true, force: true });
  const input = await readRunInput(configOf(method, reference), runtime.readerOf);
  tell(`${method}: ${reference.config.max_steps} steps`);
  const growth = watchGrowth();
  const { engine, ledger, timing, steps } = await trainToEnd(runtime, input, {
    writer: nodeWriter(directory),
    onEvent: tellStep,
  });
  const growthBytes = growth();
  const logits = await logitsOf(engine, ids, shape);
  writeFileSync(at(`logits-nibble-${method}.bin`), new Uint8Array(logits.buffer));
  engine.destroy();
  return { steps, timing, peakBytes: ledger.peak.peakBytes, growthBytes, input };
}

/** @param {import('#dist/train/events.js').TrainEvent} event */
function tellStep(event) {
  if (event.type !== 'step') return;
  const { step, loss, gradNorm, stepMs } = event;
  tell(`step ${step}: loss ${loss}, gradient norm ${gradNorm}, ${(stepMs / 1000).toFixed(1)} s`);
}

/**
 * ||W - W'|| / ||W' - W0|| of every adapter tensor, W ours, W' PEFT's, sums in f64.
 * @param {Method} method
 * @param {RunInput['layout']['base']} base
 */
async function measureUpdates(method, base) {
  const [start, theirs, ours] = await Promise.all(
    ['adapter-init', `peft-${method}`, `nibble-${method}`].map((name) => openAdapter(nodeReader(at(name)), base)),
  );
  const errors = [];
  for (const { key } of adapterTensors(theirs.layout)) {
    const [w0, want, got] = await Promise.all([start, theirs, ours].map(({ source }) => readFloats(source, key)));
    let [difference, update] = [0, 0];
    for (let i = 0; i < want.length; i++) {
      difference += (got[i] - want[i]) ** 2;
      update += (want[i] - w0[i]) ** 2;
    }
    errors.push(Math.sqrt(difference / update));
  }
  return errors;
}

/** NaN when any value is, as Math.max has it: an order would lose it. @param {number[]} values */
const middle = (values) => (values.some(Number.isNaN) ? Number.NaN : median(values));
const largest = (/** @type {readonly number[]} */ values) =>
  values.reduce((most, value) => Math.max(most, value), Number.NEGATIVE_INFINITY);
const relative = (/** @type {number} */ got, /** @type {number} */ want) => Math.abs(got - want) / Math.abs(want);

/** @typedef {[what: string, reached: number, bound: number | null, unit: string, note?: string]} Row */

/**
 * What is held against PEFT and transformers.
 * @param {Method} method
 * @param {Reference} reference
 * @param {Measured & { back: Back }} measured
 * @returns {Row[]}
 */
function fidelityFigures(method, reference, { base, training, updates, back }) {
  const want = reference[method];
  const { steps } = training;
  const kind = method === 'lora' ? 'bf16 base' : 'bnb-4bit base (NF4, double quantization)';
  const losses = steps.map(({ loss }, i) => relative(loss, want.steps[i].loss));
  const norms = steps.map(({ gradNorm }, i) => relative(gradNorm, want.steps[i].grad_norm));
  const [first, last] = [want.steps[0], want.steps[want.steps.length - 1]].map(({ loss }) => loss.toFixed(3));
  const of = 'of max |logit|';
  return [
    [`logits of the ${kind}`, base.logits, BOUND.logits, of],
    [
      'perplexity over 1,024 tokens, 1,008 of which are predicted',
      relative(base.perplexity, want.perplexity),
      BOUND.perplexity,
      'relative',
    ],
    ['logits under the adapter PEFT trained', base.adapted, BOUND.logits, of],
    ['logits of PEFT under the adapter trained here', back.logits, BOUND.logits, of],
    ['warnings of PEFT loading it', back.warnings.length, 0, 'warnings', 'beyond what its own adapter sets off'],
    ['loss, worst of ten steps', largest(losses), BOUND.loss, 'relative', `loss ${first} to ${last}`],
    ['gradient norm, worst of ten steps', largest(norms), BOUND.gradNorm, 'relative'],
    ['update W - W0, median tensor', middle(updates), BOUND.updateMedian, 'relative', `${updates.length} tensors`],
    ['update W - W0, worst tensor', largest(updates), BOUND.updateWorst, 'relative'],
  ];
}

/**
 * What it took; no bounds, the machine may have had other work.
 * @param {Method} method
 * @param {Reference} reference
 * @param {Measured} measured
 * @returns {Row[]}
 */
function costFigures(method, reference, { training }) {
  const { steps, timing, peakBytes, growthBytes } = training;
  const seconds = middle(steps.slice(1).map(({ stepMs }) => stepMs)) / 1000;
  const peft = `PEFT on one thread of this CPU: ${reference[method].step_seconds.toFixed(2)} s`;
  const share = (growthBytes / peakBytes).toFixed(3);
  const witness = `${share} of the ledger; memory kept from the run before is used again and not counted`;
  return [
    ['peak memory by the ledger', peakBytes / MIB, null, 'MiB'],
    ['growth of the process', growthBytes / MIB, null, 'MiB', witness],
    ['median step', seconds, null, 's', peft],
    ['loading the base', timing.load_s + timing.quantize_s, null, 's'],
  ];
}

/** @param {Method} method @param {Reference} reference @param {Measured & { back: Back }} measured */
function figuresOf(method, reference, measured) {
  const rows = [...fidelityFigures(method, reference, measured), ...costFigures(method, reference, measured)];
  const name = { lora: 'LoRA', qlora: 'QLoRA' }[method];
  return rows.map(([what, reached, bound, unit, note]) => {
    const figure = { what: `${name}: ${what}`, reached, bound, unit };
    return note === undefined ? figure : { ...figure, note };
  });
}

/** @param {Runtime} runtime @param {Method} method @param {Reference} reference */
async function measure(runtime, method, reference) {
  const novel = readFileSync(at('eval.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .slice(0, reference.logit_rows)
    .map((line) => /** @type {number[]} */ (JSON.parse(line).input_ids));
  const [ids, shape] = [novel.flat(), { B: novel.length, S: novel[0].length }];
  const base = await measureBase(runtime, method, reference, ids, shape);
  const training = await measureTraining(runtime, method, reference, ids, shape);
  const updates = await measureUpdates(method, training.input.layout.base);
  return { base, training, updates };
}

const given = options(
  'smollm2',
  'Takes minutes and 0.5 GB of scratch; what --scratch has from an earlier call is used. NIBBLE_DEVICE: lavapipe.',
);
await withScratch(given, async (folder) => {
  root = folder;
  const reference = await prepare(given);
  const runtime = await openNodeRuntime(chosenDevice('lavapipe'));
  const adapter = nameOf(runtime.device);
  /** @type {Map<Method, Measured>} */
  const measured = new Map();
  for (const method of /** @type {const} */ (['lora', 'qlora']))
    measured.set(method, await measure(runtime, method, reference));
  await runtime.close();
  tell('PEFT loads what was trained here');
  /** @type {Record<Method, Back>} */
  const back = JSON.parse(python(given, 'smollm2.py', 'back', root));
  const figures = [...measured].flatMap(([m, found]) => figuresOf(m, reference, { ...found, back: back[m] }));
  const title = 'A real pretrained model: SmolLM2-135M-Instruct, sequences of 64 tokens';
  record(given, 'smollm2', { row: 5, title, adapter, versions: reference.versions, figures });
});
