/** A run against its repetition: what has to agree follows from what differs around it. */
import { describe, expect, test } from 'vitest';
import { compareRepeated } from '../../src/results/repeat.ts';
import type { RunRecord } from '../../src/results/run-schema.ts';
import { makeRun } from '../report/fixture.ts';

const changed = (change: (run: RunRecord) => void): RunRecord => {
  const run = structuredClone(makeRun('qlora', 0));
  change(run);
  return run;
};
const differing = (again: RunRecord) =>
  compareRepeated(makeRun('qlora', 0), again).agreements.filter(({ agrees }) => !agrees);

test('the same run agrees in all that has to', () => {
  const { agreements, excuses } = compareRepeated(makeRun('qlora', 0), makeRun('qlora', 0));
  expect(agreements.map(({ what, agrees, required }) => `${what} ${agrees} ${required}`)).toEqual(
    ['settings', 'weights', 'rows', 'parameters', 'tokens', 'memory', 'losses', 'evaluation', 'adapter'].map(
      (what) => `${what} true true`,
    ),
  );
  expect(excuses).toEqual({ bits: [], bytes: [] });
});

describe('on the same device', () => {
  test.each<[string, (run: RunRecord) => void]>([
    ['weights', (run) => (run.meta_info.model_info.sha256_of_weights = '0'.repeat(64))],
    ['rows', (run) => (run.eval_info.data_hashes.eval = '0'.repeat(64))],
    ['parameters', (run) => run.train_info.num_trainable_params!++],
    ['tokens', (run) => run.train_info.history[3]!.num_input_tokens_seen!++],
    ['memory', (run) => run.train_info.memory!.by_phase[0]!.peak++],
    ['losses', (run) => (run.train_info.history[3]!.loss! += 1e-15)],
    ['evaluation', (run) => (run.eval_info.metrics!.eval_loss.value += 1e-15)],
    ['adapter', (run) => (run.numerics.weight_sha256_after = '0'.repeat(64))],
  ])('another one is noticed: %s', (what, change) => {
    expect(differing(changed(change))).toEqual([expect.objectContaining({ what, required: true })]);
  });

  test('a run that ended early has other losses, however near', () => {
    const [, losses] = differing(changed((run) => run.train_info.history.pop()));
    expect(losses).toEqual({ what: 'losses', agrees: false, required: true, distance: Number.POSITIVE_INFINITY });
  });
});

test('another device excuses bits, and no bytes, tokens or parameters', () => {
  const again = changed((run) => {
    run.meta_info.gpu!.description = 'another';
    run.train_info.history[0]!.loss! *= 1 + 1e-6;
    run.numerics.weight_sha256_after = '0'.repeat(64);
    run.train_info.memory!.allocated.peak++;
  });
  expect(differing(again)).toEqual([
    { what: 'memory', agrees: false, required: true, distance: null },
    { what: 'losses', agrees: false, required: false, distance: expect.closeTo(1e-6, 10) },
    { what: 'adapter', agrees: false, required: false, distance: null },
  ]);
  expect(compareRepeated(makeRun('qlora', 0), again).excuses.bits).toEqual([expect.stringMatching(/^device: another/)]);
});

test('other kernels, or another version, excuse bytes as well; settings of another version may have another identity', () => {
  const tier = changed((run) => {
    run.train_info.tier = 'subgroup_matrix';
    run.train_info.memory!.allocated.peak++;
  });
  expect(differing(tier)).toEqual([expect.objectContaining({ what: 'memory', required: false })]);
  const version = changed((run) => {
    run.run_info.code.version = '9.9.9';
    run.run_info.run_id = '0'.repeat(16);
  });
  expect(differing(version)).toEqual([expect.objectContaining({ what: 'settings', required: false })]);
});
