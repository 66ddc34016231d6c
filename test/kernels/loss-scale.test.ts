import { describe, expect, test } from 'vitest';
import {
  type LossScaling,
  lossScale,
  RATE_ROWS,
  RATE_WORDS,
  SCALER,
  SCALER_WORDS,
} from '../../src/kernels/loss-scale.ts';
import { Bench } from '../gpu/harness.ts';
import { gradScalerRef } from '../ref/loss-scale.ts';

const DEFAULTS = { initScale: 65_536, growthFactor: 2, backoffFactor: 0.5, growthInterval: 2000 };
/** Rates that name their row: lr u, bias1 u + 0.25, sqrt_bias2 u + 0.5. */
const ratesOf = (first: number) =>
  Float32Array.from(
    { length: RATE_ROWS * RATE_WORDS },
    (_, i) => first + Math.floor(i / RATE_WORDS) + (i % RATE_WORDS) / 4,
  );

type State = { words: Uint32Array<ArrayBuffer>; floats: Float32Array };

function start({ initScale }: LossScaling, tracker = 0, updates = 0): State {
  const floats = new Float32Array(SCALER_WORDS);
  floats.set([9, 9, 9, initScale]);
  const words = new Uint32Array(floats.buffer);
  words[SCALER.tracker] = tracker;
  words[SCALER.updates] = updates;
  return { words, floats };
}

async function ran(state: State, scaling: LossScaling, { notFinite = 0, flags = 0 } = {}) {
  const bench = new Bench();
  const metrics = bench.input('metrics', Float32Array.of(5, 0.5, notFinite));
  const scaler = bench.input('scaler', state.words);
  const flagged = bench.input('raised', Uint32Array.of(flags));
  bench.tape.copy(flagged, bench.flags);
  lossScale(bench.tape, { ...scaling, metrics, scaler, rates: bench.input('rates', ratesOf(0)) });
  await bench.run();
  const words = await bench.readU32(scaler);
  return { next: { words, floats: new Float32Array(words.buffer) }, metrics: await bench.read(metrics) };
}

describe('loss_scale', () => {
  test('scales as GradScaler does, over steps with and without overflow', async () => {
    const scaling = { ...DEFAULTS, initScale: 1024, growthInterval: 3 };
    const overflows = [...'....x..x.xx.....'].map((c) => c === 'x');
    const want = gradScalerRef(overflows, { init: 1024, ...scaling });
    let state = start(scaling);
    let updates = 0;
    for (const [i, overflow] of overflows.entries()) {
      const { next, metrics } = await ran(state, scaling, { notFinite: overflow ? 1 : 0 });
      expect(next.floats[SCALER.used], `scale that step ${i} used`).toBe(want[i]);
      expect(next.words[SCALER.used + 1]).toBe(updates);
      expect(next.floats[SCALER.lossScale], `scale after step ${i}`).toBe(want[i + 1]);
      if (!overflow) updates++;
      expect(next.words[SCALER.updates]).toBe(updates);
      expect([...metrics]).toEqual([5, 0.5, overflow ? 1 : 0]);
      // a skipped step leaves the rates of the update that is tried again
      const row = updates % RATE_ROWS;
      const rates = updates === 0 ? [9, 9, 9] : [row, row + 0.25, row + 0.5];
      expect([...next.floats.slice(0, 3)]).toEqual(rates);
      state = next;
    }
    expect(updates).toBe(12);
  });

  test.each([1, 2, 3])('a raised flag (%i) skips a step whose gradient is finite', async (flags) => {
    const { next, metrics } = await ran(start(DEFAULTS, 7, 3), DEFAULTS, { flags });
    expect([...metrics]).toEqual([5, 0.5, 1]);
    expect(next.floats[SCALER.lossScale]).toBe(32_768);
    expect([next.words[SCALER.tracker], next.words[SCALER.updates]]).toEqual([0, 3]);
    expect([...next.floats.slice(0, 3)]).toEqual([9, 9, 9]);
  });

  test('grows with the last of growth_interval updates, not before', async () => {
    const scaleAfter = async (tracker: number) =>
      (await ran(start(DEFAULTS, tracker), DEFAULTS)).next.floats[SCALER.lossScale];
    expect([await scaleAfter(1998), await scaleAfter(1999)]).toEqual([65_536, 131_072]);
  });

  test('does not grow beyond what f32 holds, as in torch, and does not fall to 0', async () => {
    const high = { ...DEFAULTS, initScale: 2 ** 127, growthInterval: 1 };
    const grown = (await ran(start(high), high)).next;
    expect([grown.floats[SCALER.lossScale], grown.words[SCALER.tracker]]).toEqual([2 ** 127, 0]);
    const low = { ...DEFAULTS, initScale: 2 ** -126 };
    expect((await ran(start(low), low, { notFinite: 1 })).next.floats[SCALER.lossScale]).toBe(2 ** -126);
  });
});
