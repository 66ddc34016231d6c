#!/usr/bin/env node
/**
 * Seconds from nothing on the GPU to loaded weights and compiled pipelines, of two built checkouts in turn, and the resident
 * memory that took: `node bench/performance/load.mjs --before DIR --after DIR [--adapter lavapipe] [--rounds 5] [--record FILE]`. The models
 * have random weights in safetensors files of a temporary folder (1 GB), which the page cache holds. A process per run.
 */
import { spawnSync } from 'node:child_process';
import { closeSync, mkdirSync, mkdtempSync, openSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { commitOf, LoadWatch, median, writeRecord } from '../shared/record.mjs';

/** Of bench/performance/promises.mjs. */
const ROW = 11;
const MIB = 2 ** 20;
const S = 64;
/** SmolLM2-135M's shapes: most tensors are smaller than a slab; and 16 layers of half of TinyLlama's width, several slabs each. */
const MODELS = {
  'SmolLM2-135M shapes': { hidden: 576, ffn: 1536, layers: 30, heads: 9, kv: 3, vocab: 49_152 },
  '16 layers of width 1024': { hidden: 1024, ffn: 2816, layers: 16, heads: 16, kv: 16, vocab: 32_000 },
};

const { values: flags } = parseArgs({
  options: {
    before: { type: 'string' },
    after: { type: 'string' },
    adapter: { type: 'string', default: 'lavapipe' },
    rounds: { type: 'string', default: '5' },
    record: { type: 'string' },
    // one run in this process: the tree, then the model's folder and the method
    one: { type: 'string' },
    model: { type: 'string' },
    method: { type: 'string' },
  },
});

/** Loads and compiles as a run does, up to its warm-up. Prints seconds and bytes as JSON. */
async function one(tree, directory, method) {
  const from = (file) => import(path.join(path.resolve(tree), 'dist', file));
  const [{ loadTrainConfig }, { openNodeRuntime }, { train }, { readRunInput }] = await Promise.all(
    ['config/index.js', 'train/node.js', 'train/run.js', 'train/session.js'].map(from),
  );
  const { values: config } = loadTrainConfig({
    flags: {
      ...{ model_name_or_path: directory, method, lora_target_modules: 'all-linear', max_steps: '1' },
      ...{ datasets: JSON.stringify([{ path: path.join(directory, 'rows.jsonl') }]), per_device_train_batch_size: '1' },
    },
  });
  const runtime = await openNodeRuntime(flags.adapter);
  const input = await readRunInput(config, runtime.readerOf);
  const idle = process.memoryUsage.rss();
  const cpu = process.cpuUsage();
  const started = performance.now();
  const at = {};
  const signal = new AbortController().signal;
  for await (const event of train(runtime, input, { signal, writer: null })) {
    if (event.type !== 'phase') continue;
    at[event.phase] = (performance.now() - started) / 1000;
    if (event.phase === 'warmup') break;
  }
  const { user, system } = process.cpuUsage(cpu);
  const result = {
    load: at.compile,
    ready: at.warmup,
    cpu: (user + system) / 1e6,
    // on a software driver the weights are the process's own memory
    resident: 1024 * process.resourceUsage().maxRSS - idle,
  };
  console.log(JSON.stringify(result));
  process.exit(0);
}

function writeModel(root, name, { hidden, ffn, layers, heads, kv, vocab }) {
  const directory = path.join(root, name.replaceAll(' ', '-'));
  mkdirSync(directory);
  const config = {
    ...{ architectures: ['LlamaForCausalLM'], vocab_size: vocab, hidden_size: hidden, intermediate_size: ffn },
    ...{ num_hidden_layers: layers, num_attention_heads: heads, num_key_value_heads: kv },
    ...{ max_position_embeddings: S, dtype: 'bfloat16', tie_word_embeddings: true },
  };
  writeFileSync(path.join(directory, 'config.json'), JSON.stringify(config));
  writeFileSync(
    path.join(directory, 'rows.jsonl'),
    `${JSON.stringify({ input_ids: Array.from({ length: S }, (_, i) => i) })}\n`,
  );
  const kvOut = (hidden / heads) * kv;
  const tensors = [
    ['model.embed_tokens.weight', [vocab, hidden]],
    ...Array.from({ length: layers }, (_, i) =>
      [
        ['input_layernorm', [hidden]],
        ['post_attention_layernorm', [hidden]],
        ['self_attn.q_proj', [hidden, hidden]],
        ['self_attn.k_proj', [kvOut, hidden]],
        ['self_attn.v_proj', [kvOut, hidden]],
        ['self_attn.o_proj', [hidden, hidden]],
        ['mlp.gate_proj', [ffn, hidden]],
        ['mlp.up_proj', [ffn, hidden]],
        ['mlp.down_proj', [hidden, ffn]],
      ].map(([module, shape]) => [`model.layers.${i}.${module}.weight`, shape]),
    ).flat(),
    ['model.norm.weight', [hidden]],
  ];
  let end = 0;
  const header = Object.fromEntries(
    tensors.map(([tensor, shape]) => {
      const from = end;
      end += 2 * shape.reduce((p, n) => p * n, 1);
      return [tensor, { dtype: 'BF16', shape, data_offsets: [from, end] }];
    }),
  );
  const json = Buffer.from(JSON.stringify(header));
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(json.length));
  const file = openSync(path.join(directory, 'model.safetensors'), 'w');
  writeSync(file, Buffer.concat([size, json]));
  // bf16 of magnitudes near 0.01, either sign
  const pool = Buffer.from(
    Uint16Array.from({ length: 2 * MIB }, (_, i) => 0x3c00 + ((i * 40_503) % 512) + (i % 2) * 0x8000).buffer,
  );
  for (let at = 0; at < end; at += pool.length) writeSync(file, pool, 0, Math.min(pool.length, end - at));
  closeSync(file);
  return { directory, bytes: end };
}

function measure(tree, directory, method) {
  const script = fileURLToPath(import.meta.url);
  const args = [script, '--one', tree, '--model', directory, '--method', method, '--adapter', flags.adapter];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${tree}: a run ended with ${status}\n${stderr}`);
  return JSON.parse(stdout.trim().split('\n').at(-1));
}

if (flags.one) await one(flags.one, flags.model, flags.method);
if (!flags.before || !flags.after) throw new RangeError('needs --before DIR and --after DIR, two built checkouts');
const trees = { before: path.resolve(flags.before), after: path.resolve(flags.after) };
const rounds = Number(flags.rounds);
if (!Number.isSafeInteger(rounds) || rounds < 1) throw new RangeError(`--rounds=${flags.rounds}: needs a whole number`);
const root = mkdtempSync(path.join(os.tmpdir(), 'nibble-load-'));
const load = new LoadWatch();
const figures = [];
try {
  for (const [name, shape] of Object.entries(MODELS)) {
    const { directory, bytes } = writeModel(root, name, shape);
    for (const method of ['lora', 'qlora']) {
      const seen = { before: [], after: [] };
      for (let i = 0; i < rounds; i++) {
        // before and after in turn, and either of them first
        for (const arm of i % 2 === 0 ? ['before', 'after'] : ['after', 'before'])
          seen[arm].push(measure(trees[arm], directory, method));
        load.look();
      }
      const of = (arm, key) => median(seen[arm].map((run) => run[key]));
      const paired = median(seen.before.map((run, i) => run.ready / seen.after[i].ready));
      const what = `${method}, ${name} (${Math.round(bytes / MIB)} MiB of bf16)`;
      for (const arm of ['before', 'after']) {
        const at = of(arm, 'load');
        const mib = of(arm, 'resident') / MIB;
        console.log(
          `${what}, ${arm}: loaded ${at.toFixed(2)} s, ready ${of(arm, 'ready').toFixed(2)} s, ` +
            `CPU ${of(arm, 'cpu').toFixed(2)} s, ${mib.toFixed(0)} MiB more resident at most`,
        );
      }
      console.log(`${what}: before / after ${paired.toFixed(2)}`);
      for (const arm of ['before', 'after']) {
        figures.push({
          what: `${what}: loaded and compiled, ${arm}`,
          reached: of(arm, 'ready'),
          bound: null,
          unit: 's',
        });
        figures.push({
          what: `${what}: resident memory, most it grew by, ${arm}`,
          reached: of(arm, 'resident') / MIB,
          bound: null,
          unit: 'MiB',
        });
      }
      figures.push({
        what: `${what}: before over after, median of pairs`,
        reached: paired,
        bound: null,
        unit: 'times',
      });
    }
    rmSync(directory, { recursive: true });
  }
} finally {
  rmSync(root, { recursive: true, force: true });
}
if (flags.record) {
  writeRecord(flags.record, {
    row: ROW,
    title: 'Loading a model',
    command: `node bench/performance/load.mjs --before DIR --after DIR --adapter ${flags.adapter} --rounds ${rounds} --record FILE`,
    versions: { before: commitOf(trees.before), after: commitOf(trees.after) },
    adapter: flags.adapter,
    load,
    figures,
  });
}
