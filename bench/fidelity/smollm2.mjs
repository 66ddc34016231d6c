/**
 * SmolLM2-135M-Instruct, a real pretrained model: logits, perplexity, and ten steps of LoRA and of QLoRA, against transformers
 * and PEFT, in float32. Writes results/fidelity/smollm2.json. README.md in this folder says what has to be installed.
 *
 *   npm run build && node bench/fidelity/smollm2.mjs --python PYTHON --scratch DIR
 *
 * DIR gets what smollm2.py makes (0.5 GB, never committed); what is there from an earlier call is used again. It runs on lavapipe
 * unless NIBBLE_DEVICE says otherwise, and takes minutes.
 */
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import v8 from 'node:v8';
import vm from 'node:vm';
import { openAdapter } from '../../dist/adapters/files.js';
import { adapterTensors } from '../../dist/adapters/layout.js';
import { builtinText } from '../../dist/bench/builtin-data.js';
import { loadTrainConfig } from '../../dist/config/index.js';
import { readFloats } from '../../dist/formats/checkpoint.js';
import { nodeReader, nodeWriter } from '../../dist/node/files.js';
import { openNodeRuntime } from '../../dist/node/runtime.js';
import { train } from '../../dist/train/run.js';
import { allocate, fill, initialize, readRunInput } from '../../dist/train/session.js';
import { logitsOf } from './logits.mjs';
import { options, python, record, relativeError, withScratch } from './record.mjs';

const MIB = 2 ** 20;
/** Those of rows 2 and 3 of the fidelity table; a perplexity moves as its loss does. */
const BOUND = { logits: 1e-4, perplexity: 1e-5, loss: 5e-6, gradNorm: 1e-4, updateMedian: 5e-4, updateWorst: 5e-2 };
const BASES = { lora: 'model', qlora: 'bnb-4bit' };

/** Set once, by withScratch. */
let root = '';
const at = (...parts) => path.join(root, ...parts);

async function prepare(given) {
  if (!existsSync(at('reference.json'))) {
    tell('transformers and PEFT');
    writeFileSync(at('novel.txt'), await builtinText('moby-dick-eval'));
    writeFileSync(at('speeches.txt'), await builtinText('sotu-train'));
    python(given, 'smollm2.py', 'make', root);
  }
  return JSON.parse(readFileSync(at('reference.json'), 'utf8'));
}

function configOf(method, reference, more) {
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

/** What is being done, and when it began: a run takes minutes. */
function tell(text) {
  console.error(`${(performance.now() / 1000).toFixed(0).padStart(5)} s  ${text}`);
}

/** Loads a base with an adapter and compiles its plans. */
async function open(runtime, config) {
  const input = await readRunInput(config, runtime.readerOf);
  const engine = await allocate(runtime, input);
  for await (const _ of fill(runtime, input, engine)) {
    // nobody is watching
  }
  await engine.compile();
  await initialize(input, engine);
  return { engine, input };
}

function storedLogits(name) {
  const bytes = readFileSync(at(`logits-${name}.bin`));
  return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
}

/** Logits under the adapter that PEFT trained; logits and perplexities of the base alone. */
async function measureBase(runtime, method, reference, ids, shape) {
  const config = configOf(method, reference, {
    adapter_name_or_path: at(`peft-${method}`),
    eval_datasets: `[{path: ${at('eval.jsonl')}}]`,
    per_device_eval_batch_size: '4',
  });
  tell(`${method}: loading`);
  const { engine, input } = await open(runtime, config);
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

async function perplexityOf(engine, batches) {
  let [total, count] = [0, 0];
  for (const batch of batches) {
    for (const loss of await engine.rowLosses(batch)) total += loss;
    count += batch.lossTokens;
  }
  return Math.exp(total / count);
}

/** Ten steps through the library, the adapter saved; and the logits under it for PEFT to compare. */
async function measureTraining(runtime, method, reference, ids, shape) {
  const directory = at(`nibble-${method}`);
  rmSync(directory, { recursive: true, force: true });
  const input = await readRunInput(configOf(method, reference, {}), runtime.readerOf);
  tell(`${method}: ${reference.config.max_steps} steps`);
  const witness = startWitness();
  const target = { signal: new AbortController().signal, writer: nodeWriter(directory) };
  const { engine, ledger, timing, steps } = await lastOf(train(runtime, input, target));
  const growthBytes = witness();
  const logits = await logitsOf(engine, ids, shape);
  writeFileSync(at(`logits-nibble-${method}.bin`), new Uint8Array(logits.buffer));
  engine.destroy();
  return { steps, timing, peakBytes: ledger.peak.peakBytes, growthBytes, input };
}

async function lastOf(generator) {
  let next = await generator.next();
  for (; !next.done; next = await generator.next()) {
    const { type, step, loss, gradNorm, stepMs } = next.value;
    if (type === 'step') tell(`step ${step}: loss ${loss}, gradient norm ${gradNorm}, ${(stepMs / 1000).toFixed(1)} s`);
  }
  return next.value;
}

/** Growth of this process's resident memory up to the call of what is returned: on lavapipe GPU buffers are ordinary memory. */
function startWitness() {
  const resident = (field) =>
    Number(new RegExp(`${field}:\\s+(\\d+)`).exec(readFileSync('/proc/self/status', 'utf8'))[1]) * 1024;
  v8.setFlagsFromString('--expose-gc');
  vm.runInNewContext('gc')();
  writeFileSync('/proc/self/clear_refs', '5'); // resets the high-water mark
  const before = resident('VmRSS');
  return () => resident('VmHWM') - before;
}

/** ||W - W'|| / ||W' - W0|| of every adapter tensor, W ours, W' PEFT's, sums in f64. */
async function measureUpdates(method, base) {
  const opened = {};
  for (const name of ['adapter-init', `peft-${method}`, `nibble-${method}`])
    opened[name] = await openAdapter(nodeReader(at(name)), base);
  const [start, theirs, ours] = Object.values(opened);
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

/** NaN when any value is, as Math.max has it: a sort would lose it. */
const median = (values) =>
  values.some((value) => Number.isNaN(value))
    ? Number.NaN
    : values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];
const largest = (values) => Math.max(...values);
const relative = (got, want) => Math.abs(got - want) / Math.abs(want);

/** What is held against PEFT and transformers. */
function fidelityFigures(method, reference, { base, training, updates, back }) {
  const want = reference[method];
  const { steps } = training;
  const kind = method === 'lora' ? 'bf16 base' : 'bnb-4bit base (NF4, double quantization)';
  const losses = steps.map(({ loss }, i) => relative(loss, want.steps[i].loss));
  const norms = steps.map(({ gradNorm }, i) => relative(gradNorm, want.steps[i].grad_norm));
  const [first, last] = [want.steps[0].loss, want.steps.at(-1).loss].map((loss) => loss.toFixed(3));
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
    ['update W - W0, median tensor', median(updates), BOUND.updateMedian, 'relative', `${updates.length} tensors`],
    ['update W - W0, worst tensor', largest(updates), BOUND.updateWorst, 'relative'],
  ];
}

/** What it took; no bounds, the machine may have had other work. */
function costFigures(method, reference, { training }) {
  const { steps, timing, peakBytes, growthBytes } = training;
  const seconds = median(steps.slice(1).map(({ stepMs }) => stepMs)) / 1000;
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

function figuresOf(method, ...facts) {
  const rows = [...fidelityFigures(method, ...facts), ...costFigures(method, ...facts)];
  const name = { lora: 'LoRA', qlora: 'QLoRA' }[method];
  return rows.map(([what, reached, bound, unit, note]) => {
    const figure = { what: `${name}: ${what}`, reached, bound, unit };
    return note === undefined ? figure : { ...figure, note };
  });
}

async function measure(runtime, method, reference) {
  const novel = readFileSync(at('eval.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .slice(0, reference.logit_rows)
    .map((line) => JSON.parse(line).input_ids);
  const [ids, shape] = [novel.flat(), { B: novel.length, S: novel[0].length }];
  const base = await measureBase(runtime, method, reference, ids, shape);
  const training = await measureTraining(runtime, method, reference, ids, shape);
  const updates = await measureUpdates(method, training.input.layout.base);
  return { base, training, updates };
}

const given = options();
await withScratch(given, async (folder) => {
  root = folder;
  const reference = await prepare(given);
  const runtime = await openNodeRuntime(process.env.NIBBLE_DEVICE ?? 'lavapipe');
  const adapter = runtime.device.info.description;
  const measured = new Map();
  for (const method of ['lora', 'qlora']) measured.set(method, await measure(runtime, method, reference));
  await runtime.close();
  tell('PEFT loads what was trained here');
  const back = JSON.parse(python(given, 'smollm2.py', 'back', root));
  const figures = [...measured].flatMap(([m, found]) => figuresOf(m, reference, { ...found, back: back[m] }));
  const title = 'A real pretrained model: SmolLM2-135M-Instruct, sequences of 64 tokens';
  record(given, 'smollm2', { row: 5, title, adapter, versions: reference.versions, figures });
});
