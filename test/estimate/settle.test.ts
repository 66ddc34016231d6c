/** What `gradient_checkpointing: auto` takes of a 12-layer model at 2,048 tokens under three budgets: by plans alone, no GPU. */
import { expect, test } from 'vitest';
import { settings, type TrainConfig } from '../../src/config/settings.ts';
import { estimateRun } from '../../src/estimate/estimate.ts';
import { settlePlan } from '../../src/estimate/settle.ts';
import { readModelConfig } from '../../src/formats/hf-config.ts';
import { memoryReader } from '../../src/formats/memory.ts';
import { KNOWN_PROFILES } from '../../src/gpu/device-profile.ts';
import { loadShaders } from '../../src/node/device.ts';
import { modelLayout } from '../../src/train/model-layout.ts';

const S = 2048;
const LLAMA = {
  architectures: ['LlamaForCausalLM'],
  model_type: 'llama',
  vocab_size: 256,
  hidden_size: 64,
  intermediate_size: 128,
  num_hidden_layers: 12,
  num_attention_heads: 4,
  max_position_embeddings: S,
  rms_norm_eps: 1e-5,
  tie_word_embeddings: true,
  dtype: 'float32',
};
const model = await readModelConfig(memoryReader(new Map([['config.json', JSON.stringify(LLAMA)]])));
const shaders = loadShaders();
const profile = KNOWN_PROFILES.lavapipe ?? expect.unreachable();
const shapes = { train: [{ B: 1, S }], evaluation: [] };

async function jobOf(asked: Partial<TrainConfig>) {
  const given = { model_name_or_path: 'llama', optim: 'paged_adamw_32bit', lora_r: 64, max_length: S, ...asked };
  const config = settings.parse({ ...given, lora_target_modules: 'all-linear' }) as TrainConfig;
  const layout = await modelLayout({ config, model, source: null, adapter: null, maxPositions: S });
  return { config, layout, shapes, profile, shaders };
}
const plan = async (gradient_checkpointing: TrainConfig['gradient_checkpointing']) => {
  const { config, layout } = await jobOf({ gradient_checkpointing });
  return estimateRun(layout, config, shapes, profile, shaders);
};

/** Plans from the fastest to the slowest, as bench/performance/auto.mjs measures them. */
const FASTEST_FIRST = [false, 'selective', true] as const;

test('it takes the fastest plan that fits, and pages only what has to be', async () => {
  const [off, selective, full] = await Promise.all(FASTEST_FIRST.map((choice) => plan(choice)));
  if (off === undefined || selective === undefined || full === undefined) throw new Error('no plan');
  const state = off.byCategory.optimizer;
  expect(off.peakBytes).toBeGreaterThan(selective.peakBytes + state);
  expect(selective.peakBytes).toBeGreaterThan(full.peakBytes + state);
  const budgets = [
    { bytes: off.peakBytes - state / 2, taken: false, pages: true },
    { bytes: selective.peakBytes, taken: 'selective', pages: false },
    { bytes: full.peakBytes - state / 2, taken: true, pages: true },
  ] as const;
  for (const { bytes, taken, pages } of budgets) {
    const job = await jobOf({ gradient_checkpointing: 'auto' });
    const { config } = settlePlan(job, bytes);
    expect(config.gradient_checkpointing).toBe(taken);
    const chosen = estimateRun(job.layout, config, shapes, profile, shaders);
    expect(chosen.peakBytes).toBeLessThanOrEqual(bytes);
    expect(chosen.state.hostBytes > 0).toBe(pages);
    for (const faster of FASTEST_FIRST.slice(0, FASTEST_FIRST.indexOf(taken))) {
      // nor with as much of its state in host memory as there can be
      const whole = faster === false ? off : selective;
      expect(whole.peakBytes - whole.byCategory.optimizer, `${faster} below ${bytes}`).toBeGreaterThan(bytes);
    }
    if (pages) expect((taken === false ? off : full).peakBytes).toBeGreaterThan(bytes);
  }
});
