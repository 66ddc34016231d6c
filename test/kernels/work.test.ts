/** Operations by the plan equal those by the model's sizes, whatever tier computes them. */
import { expect, test } from 'vitest';
import { loadTrainConfig } from '../../src/config/index.ts';
import { referenceModel } from '../../src/estimate/reference-models.ts';
import { type DeviceProfile, KNOWN_PROFILES } from '../../src/gpu/device-profile.ts';
import { flopsOf } from '../../src/kernels/work.ts';
import { loadShaders } from '../../src/node/device.ts';
import { kernelTimes } from '../../src/results/kernel-times.ts';
import { buildEngine } from '../../src/train/build.ts';
import { modelLayout } from '../../src/train/model-layout.ts';

const SHAPE = { B: 2, S: 128 };
const model = { ...referenceModel('TinyLlama-1.1B'), num_hidden_layers: 2 };

async function planned(name: string, flags: Record<string, string>): Promise<number> {
  const settings = { model_name_or_path: 'm', lora_target_modules: '["q_proj"]', lora_r: '4', ...flags };
  const { values: config } = loadTrainConfig({ flags: settings }, 'estimate');
  const layout = await modelLayout({ config, model, source: null, adapter: null, maxPositions: SHAPE.S });
  const target = { device: null, profile: KNOWN_PROFILES[name] as DeviceProfile, shaders: loadShaders() };
  const { machine } = buildEngine(target, layout, config, { train: [SHAPE], evaluation: [] });
  return machine.plans.reduce(
    (sum, { name: of, commands }) => sum + (of.startsWith('micro') ? flopsOf(commands) : 0),
    0,
  );
}

/** By sizes: forward and the gradient of the input for each product, attention causal, and the adapter on q. */
function bySizes(): number {
  const { hidden_size: C, intermediate_size: F, num_attention_heads: H, num_key_value_heads: K, vocab_size: V } = model;
  const D = C / H;
  const tokens = SHAPE.B * SHAPE.S;
  const weights = C * C + 2 * C * K * D + C * C + 3 * C * F;
  const attention = (2 + 3 + 4) * SHAPE.B * H * SHAPE.S * SHAPE.S * D;
  const layers = model.num_hidden_layers * (2 * 2 * tokens * weights + attention);
  return layers + 2 * 2 * tokens * C * V;
}

test('a micro-batch has the operations that its sizes have, within what the adapter adds', async () => {
  const [simt, direct] = [await planned('nvidia', {}), await planned('lavapipe', {})];
  // rank 4 on one of seven products of a layer adds a part in a thousand; the first layer's input needs no gradient
  for (const flops of [simt, direct]) {
    expect(flops / bySizes()).toBeGreaterThan(0.96);
    expect(flops / bySizes()).toBeLessThan(1.01);
  }
  expect(simt / direct).toBeCloseTo(1, 2);
  const again = await planned('nvidia', { gradient_checkpointing: 'true' });
  // computing layers again costs less than a third, since the head is not computed again
  expect(again / simt).toBeGreaterThan(1.1);
  expect(again / simt).toBeLessThan(1.5);
});

test('spans are summed by kernel, variants together, the longest first', () => {
  const span = (label: string, ms: number) => ({ label, startNs: 5e6, endNs: 5e6 + ms * 1e6 });
  const times = kernelTimes([
    span('matmul_nt|VEC4', 2),
    span('rope', 1),
    span('matmul_nt', 3),
    span('add_fwd|VEC4', 4),
  ]);
  expect(times).toEqual([
    { kernel: 'matmul_nt', dispatches: 2, ms: 5, share: 0.5 },
    { kernel: 'add_fwd', dispatches: 1, ms: 4, share: 0.4 },
    { kernel: 'rope', dispatches: 1, ms: 1, share: 0.1 },
  ]);
  expect(kernelTimes([])).toEqual([]);
});
