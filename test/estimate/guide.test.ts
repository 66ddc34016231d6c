/** What cards hold: the largest is the largest, to the byte, and what would help is what a refused run is told. */
import { expect, test } from 'vitest';
import { loadTrainConfig, settleComputeDtype } from '../../src/config/index.ts';
import { cardNamed } from '../../src/estimate/card-names.ts';
import { estimateGuide } from '../../src/estimate/guide.ts';
import { Curve, largestWithin } from '../../src/estimate/largest.ts';
import { estimateModel } from '../../src/estimate/model.ts';
import { referenceModel } from '../../src/estimate/reference-models.ts';
import { assumedSettings, USUAL } from '../../src/estimate/usual.ts';
import { type DeviceProfile, KNOWN_PROFILES } from '../../src/gpu/device-profile.ts';
import { loadShaders } from '../../src/node/device.ts';

const profile = KNOWN_PROFILES.nvidia as DeviceProfile;
const shaders = loadShaders();
/** Two layers of Llama-2-7B: as wide, and quick to plan. */
const model = { ...referenceModel('Llama-2-7B'), num_hidden_layers: 2 };

function jobOf(flags: Record<string, string>, usual: object = USUAL) {
  const asked = loadTrainConfig({ flags: { model_name_or_path: 'm', ...flags }, usual }, 'estimate');
  const { config } = settleComputeDtype(asked, profile);
  return { config, model, modelName: 'm', profile, shaders };
}

test('the longest row and the largest batch fit, and the next ones do not', async () => {
  const job = jobOf({});
  const card = { ...cardNamed('8', '--gpu'), usableBytes: 5 * 2 ** 30 };
  const guide = await estimateGuide({ ...job, card });
  const peak = async (method: 'lora' | 'qlora', B: number, S: number) => {
    const more = { method, load_in_4bit: method === 'qlora', bnb_4bit_use_double_quant: true };
    const config = { ...job.config.values, ...more, per_device_train_batch_size: B, max_length: S };
    return (await estimateModel(model, config, profile, shaders)).peakBytes;
  };
  let checked = 0;
  for (const { method, fits, longest_row, largest_batch } of guide.cards[0]?.methods ?? []) {
    if (method === 'full' || longest_row === null || largest_batch === null) continue;
    expect(fits).toBe(true);
    expect(longest_row).toBe(4096);
    expect(await peak(method, largest_batch, 2048)).toBeLessThanOrEqual(card.usableBytes);
    expect(await peak(method, largest_batch + 1, 2048)).toBeGreaterThan(card.usableBytes);
    checked++;
  }
  expect(checked).toBe(2);
});

test('a card that is too small is told what would help, by the same changes as a run', async () => {
  const card = { ...cardNamed('8', '--gpu'), usableBytes: 2 ** 30 };
  const { cards, remedies } = await estimateGuide({ ...jobOf({ gradient_checkpointing: 'false' }), card });
  expect(cards[0]?.methods.map(({ fits }) => fits)).toEqual([false, false, false]);
  expect(remedies.map(({ method }) => method)).toEqual(['lora', 'qlora', 'full']);
  const changes = remedies[0]?.changes.map(({ what }) => what) ?? [];
  expect(changes).toContain('method: qlora with bnb_4bit_use_double_quant');
  expect(changes).toContain('gradient_checkpointing: true');
  expect(changes).toContain('max_length: 1024');
});

test('what nobody set is said, and nothing that somebody set', () => {
  const assumed = (flags: Record<string, string>) => assumedSettings(jobOf(flags).config);
  expect(assumed({})).toEqual({ ...USUAL, compute_dtype: 'float16' });
  expect(Object.keys(assumed({ lora_r: '8', max_length: '512' }))).not.toContain('lora_r');
  expect(Object.keys(assumed({ fp16: 'true' }))).not.toContain('compute_dtype');
  expect(assumedSettings(jobOf({}, {}).config)).toEqual({});
});

test('the search needs few plans of a line, and finds the place where a limit bends it', async () => {
  const planned: number[] = [];
  const line = new Curve(async (n) => {
    planned.push(n);
    return n > 700 ? Number.POSITIVE_INFINITY : 10 + 3 * n;
  });
  expect(await largestWithin(line, 1000, 12)).toBeNull();
  expect(await largestWithin(line, 1000, 310)).toBe(100);
  expect(planned.length).toBeLessThan(10);
  expect(await largestWithin(line, 1000, 1e9)).toBe(700);
  expect(await largestWithin(line, 50, 1e9)).toBe(50);
  const bent = new Curve(async (n) => Math.max(500, n ** 2));
  for (const budget of [500, 600, 9_999, 10_000, 123_456])
    expect(await largestWithin(bent, 1000, budget)).toBe(Math.floor(Math.sqrt(budget)));
});
