/** The estimate of a run equals the peak that its ledger measures, to the byte: every model, every method. */
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import type { TrainConfig } from '../../src/config/settings.ts';
import { estimateRun } from '../../src/estimate/estimate.ts';
import { totalBytes } from '../../src/gpu/category.ts';
import { loadShaders } from '../../src/node/device.ts';
import { device } from '../gpu/harness.ts';
import { GOLDEN } from '../train/open.ts';
import { type Files, learnableRows, runTraining } from '../train/run.ts';

const TINY = new URL('../../bench/models/tiny/', import.meta.url).pathname;
const MODELS = ['untied-gqa-f32', 'tied-mha-bf16', 'llama3-rope-f16'].map((name) => path.join(GOLDEN, 'llama', name));
// the model of the built-in suite, where its weights have been made
if (existsSync(path.join(TINY, 'model.safetensors'))) MODELS.push(TINY);

const METHODS: Record<string, Partial<TrainConfig>> = {
  lora: { method: 'lora', lora_target_modules: ['q_proj', 'down_proj'], lora_dropout: 0.1 },
  qlora: { method: 'qlora', load_in_4bit: true, bnb_4bit_use_double_quant: true },
  full: { method: 'full' },
  'qlora, DoRA': { method: 'qlora', load_in_4bit: true, use_dora: true, lora_dropout: 0.1 },
  'lora, biases and modules': {
    method: 'lora',
    bias: 'all',
    lora_modules_to_save: ['embed_tokens', 'norm'],
    use_dora: true,
    lora_target_modules: ['q_proj', 'down_proj'],
    gradient_checkpointing: true,
  },
  'lora, biases of lora_B and tokens': {
    method: 'lora',
    lora_bias: true,
    trainable_token_indices: [3, 9, 1],
    lora_target_modules: ['q_proj', 'down_proj'],
  },
  'lora, PiSSA': { method: 'lora', init_lora_weights: 'pissa_niter_1' },
  'lora, packed': { method: 'lora', packing: true, max_length: 40 },
  'lora, checkpointed': { method: 'lora', lora_dropout: 0.1, gradient_checkpointing: true },
};

// run on one model only, since their shaders take long to compile
const ONCE = new Set(['lora, packed']);

// two shapes of batch, rows of 12 and of 20 tokens, the last one short; evaluation in shapes of its own
const text = [learnableRows(1, 4, 12, 160), learnableRows(2, 3, 20, 160)].join('');
const files: Files = new Map([
  ['rows.jsonl', text],
  ['eval.jsonl', learnableRows(3, 3, 16, 160)],
]);

function isTied(directory: string): boolean {
  return JSON.parse(readFileSync(path.join(directory, 'config.json'), 'utf8')).tie_word_embeddings === true;
}

describe.each(MODELS.map((directory) => [path.basename(directory), directory] as const))('%s', (_, directory) => {
  test.each(Object.keys(METHODS).filter((method) => directory === MODELS[0] || !ONCE.has(method)))(
    '%s',
    async (method) => {
      const evaluation = { eval_datasets: [{ path: 'eval.jsonl' }], per_device_eval_batch_size: 2 };
      const settings = METHODS[method] as Partial<TrainConfig>;
      // tied weights are trained together
      const ensure_weight_tying = settings.lora_modules_to_save !== undefined && isTied(directory);
      const config = { model_name_or_path: directory, ...settings, ...evaluation, ensure_weight_tying, max_steps: 2 };
      const { input, result } = await runTraining({ '.': files }, { ...config, gradient_accumulation_steps: 2 });
      const { ledger } = result;
      const estimate = estimateRun(input.layout, input.config, input.batches.shapes, device.profile, loadShaders());
      expect(input.batches.shapes.train.length).toBeGreaterThan(1);
      // two steps of two micro-batches take all rows, packed ones twice, and so every shape
      const { count } = input.train.rows;
      expect(result.steps.reduce((sum, step) => sum + step.samples, 0)).toBe(settings.packing ? 2 * count : count);
      expect(estimate.peakBytes).toBe(ledger.peak.peakBytes);
      expect(estimate.byCategory).toEqual(ledger.peak.byCategory);
      expect(estimate.phases).toEqual(ledger.phasePeaks);
      expect(totalBytes(estimate.byCategory)).toBe(estimate.peakBytes);
      expect(estimate.trainableParams).toBe(result.trainableParams);
      expect(estimate.allParams).toBe(result.allParams);
      // every category has bytes where it should
      const { quant_state, adapter, gradients, optimizer, activations, logits, workspace, staging } =
        estimate.byCategory;
      for (const bytes of [gradients, optimizer, activations, logits, workspace, staging])
        expect(bytes).toBeGreaterThan(0);
      expect(quant_state > 0).toBe(settings.method === 'qlora');
      expect(adapter > 0).toBe(settings.method !== 'full');
      expect(optimizer).toBe(2 * gradients);
    },
  );
});
