import { expect, it } from 'vitest';
import { compared, probeDevice } from '../../src/doctor/probe.ts';
import { device } from '../gpu/harness.ts';

it('tries the device: exact sums, subnormals of each type it has, times of a pipeline', async () => {
  const facts = await probeDevice(device);
  expect(facts.selfTests.map((t) => [t.name, t.passed])).toEqual([
    ['add', true],
    ['multiply', true],
    ['matmul 33x31x20', true],
  ]);
  expect(facts.selfTests.slice(0, 2).map((t) => t.error)).toEqual([0, 0]);
  // known independently of nibble: SwiftShader flushes subnormals, lavapipe keeps them
  const f32 = { swiftshader: 'flushed', lavapipe: 'kept' }[facts.profile.name];
  if (f32 !== undefined) expect(facts.subnormals.f32).toEqual({ operands: f32, results: f32 });
  expect(facts.subnormals.f16 !== null).toBe(facts.profile.shaderF16);
  const { kernel, ...times } = facts.compile;
  expect(kernel).toBe('matmul_nt');
  for (const value of Object.values(times)) expect(value).toBeGreaterThan(0);
});

it('a self-test fails on NaN, on a missing element and just past its limit', () => {
  const want = [1, 2];
  expect(compared('x', [1, 2.5], want, 0.5)).toEqual({ name: 'x', passed: true, error: 0.5, limit: 0.5 });
  expect(compared('x', [1, 2.6], want, 0.5).passed).toBe(false);
  expect(compared('x', [Number.NaN, 2], want, 9)).toMatchObject({ passed: false, error: null });
  expect(compared('x', [1], want, 9)).toMatchObject({ passed: false, error: null });
});
