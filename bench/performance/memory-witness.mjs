/**
 * Holds the ledger against an outside witness: the growth of this process's resident memory on a software driver, where GPU
 * buffers are ordinary memory. A small run first compiles every kernel, so that the driver's compiler is not counted.
 *
 *   npm run build && node --expose-gc bench/performance/memory-witness.mjs [lora|qlora]     (NIBBLE_DEVICE=lavapipe|swiftshader)
 *
 * Linux only (/proc). Exits with 1 when the two differ by more than 10 %.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { loadTrainConfig } from '#dist/config/index.js';
import { parseModelConfig } from '#dist/formats/hf-config.js';
import { writeSafetensors } from '#dist/formats/safetensors-write.js';
import { parametersOf } from '#dist/model/modules.js';
import { nodeWriter } from '#dist/node/files.js';
import { openNodeRuntime } from '#dist/node/runtime.js';
import { train } from '#dist/train/run.js';
import { readRunInput } from '#dist/train/session.js';

const TOLERANCE = 0.1;
const TOKENS = 16;
const MIB = 2 ** 20;
// Weights of 1.4 GiB in f32, 1.1 GiB with a 4-bit base: far above what a process needs beside its buffers.
const LARGE = {
  vocab_size: 128_000,
  hidden_size: 1024,
  intermediate_size: 2816,
  num_hidden_layers: 8,
  num_attention_heads: 16,
};
const SMALL = {
  vocab_size: 1024,
  hidden_size: 128,
  intermediate_size: 320,
  num_hidden_layers: 1,
  num_attention_heads: 2,
};

const method = process.argv[2] ?? 'lora';
const directory = mkdtempSync(path.join(os.tmpdir(), 'nibble-witness-'));

async function writeModel(name, shape) {
  const config = {
    ...{ architectures: ['LlamaForCausalLM'], model_type: 'llama', max_position_embeddings: 64, dtype: 'float32' },
    ...{ num_key_value_heads: shape.num_attention_heads, head_dim: 64, rms_norm_eps: 1e-5, tie_word_embeddings: false },
    ...shape,
  };
  const tensors = parametersOf(parseModelConfig(config)).map((t) => ({
    name: t.name,
    shape: t.shape,
    dtype: 'F32',
    data: async function* () {
      const row = Float32Array.from({ length: t.shape.at(-1) }, (_, i) =>
        t.shape.length === 1 ? 1 : 0.02 * Math.sin(i),
      );
      for (let r = 0; r < (t.shape.length === 1 ? 1 : t.shape[0]); r++) yield new Uint8Array(row.buffer);
    },
  }));
  const target = path.join(directory, name);
  await writeSafetensors(nodeWriter(target), 'model.safetensors', tensors);
  writeFileSync(path.join(target, 'config.json'), JSON.stringify(config));
  return target;
}

const resident = (field) =>
  Number(new RegExp(`${field}:\\s+(\\d+)`).exec(readFileSync('/proc/self/status', 'utf8'))[1]) * 1024;

async function runOnce(runtime, model) {
  const flags = {
    ...{
      model_name_or_path: model,
      datasets: `[{path: ${path.join(directory, 'rows.jsonl')}}]`,
      method,
      max_steps: '1',
    },
    ...{ lora_target_modules: 'all-linear', per_device_train_batch_size: '1', bnb_4bit_use_double_quant: 'true' },
  };
  const input = await readRunInput(loadTrainConfig({ flags }).values, runtime.readerOf);
  const running = train(runtime, input, { signal: new AbortController().signal, writer: null });
  let next = await running.next();
  while (!next.done) next = await running.next();
  return next.value;
}

try {
  writeFileSync(
    path.join(directory, 'rows.jsonl'),
    `${JSON.stringify({ input_ids: Array.from({ length: TOKENS }, (_, i) => i) })}\n`,
  );
  const [small, large] = [await writeModel('small', SMALL), await writeModel('large', LARGE)];
  const runtime = await openNodeRuntime(process.env.NIBBLE_DEVICE ?? 'auto');
  (await runOnce(runtime, small)).engine.destroy();
  await runtime.device.gpu.queue.onSubmittedWorkDone();
  globalThis.gc?.();
  writeFileSync('/proc/self/clear_refs', '5'); // resets the high-water mark
  const before = resident('VmRSS');
  const { ledger, engine } = await runOnce(runtime, large);
  const growth = resident('VmHWM') - before;
  const bytes = ledger.peak.peakBytes;
  const ratio = growth / bytes;
  const figures = `ledger ${(bytes / MIB).toFixed(1)} MiB, process grew by ${(growth / MIB).toFixed(1)} MiB, ratio ${ratio.toFixed(3)}`;
  console.log(`${runtime.device.profile.name}, ${method}: ${figures}`);
  if (!(Math.abs(ratio - 1) <= TOLERANCE)) process.exitCode = 1;
  engine.destroy();
  await runtime.close();
} finally {
  rmSync(directory, { recursive: true, force: true });
}
