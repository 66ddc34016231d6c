/** Pairs of any arms: seeds without a partner, runs on two devices, old records, and records that were edited. */
import { expect, test } from 'vitest';
import { sha256OfText } from '../../src/node/environment.ts';
import type { RunRecord } from '../../src/results/run-schema.ts';
import { isIntact, sealed } from '../../src/results/seal.ts';
import { summarizeRuns } from '../../src/results/summarize.ts';
import { makeRun } from '../report/fixture.ts';

const summarize = (runs: readonly RunRecord[], baseline?: string) =>
  summarizeRuns(runs, { suite: 's', createdAt: '2026-01-01T00:00:00.000Z', baseline });

function onDevice(run: RunRecord, description: string): RunRecord {
  const copy = structuredClone(run);
  copy.meta_info.gpu = { ...copy.meta_info.gpu!, description, driver: null };
  return copy;
}

test('a seed without its pair is named, and is in no comparison', () => {
  const { comparison, notices } = summarize([
    makeRun('lora', 0),
    makeRun('qlora', 0),
    makeRun('lora', 1),
    makeRun('lora', 2),
  ]);
  expect(comparison?.n).toBe(1);
  expect(notices).toContain('Seeds 1, 2 of lora have no run of qlora beside, and no part in its comparison');
});

test('the baseline is the one that is named, else lora, else the first', () => {
  const runs = [makeRun('qlora', 0), makeRun('lora', 0)];
  expect(summarize(runs).comparison).toMatchObject({ baseline: 'lora', treatment: 'qlora' });
  expect(summarize(runs, 'qlora').comparison).toMatchObject({ baseline: 'qlora', treatment: 'lora' });
  const renamed = runs.map((run, i) => ({ ...run, run_info: { ...run.run_info, arm: `arm${i}` } }));
  expect(summarize(renamed).comparison).toMatchObject({ baseline: 'arm0', treatment: 'arm1' });
  expect(summarize(runs, 'absent').comparison).toBeNull();
});

test('pairs across two devices are left out, and the top says so', () => {
  const [a, b] = ['llvmpipe (LLVM 19)', 'SwiftShader Device'];
  const { comparison, notices } = summarize([
    onDevice(makeRun('lora', 0), a),
    onDevice(makeRun('qlora', 0), a),
    onDevice(makeRun('lora', 1), a),
    onDevice(makeRun('qlora', 1), b),
  ]);
  expect(comparison?.n).toBe(1);
  expect(comparison?.paired.eval_loss?.seeds).toEqual([0]);
  expect(notices.slice(0, 2)).toEqual([
    `The runs were made on 2 devices: 3 on ${a}, 1 on ${b}. Pairs across two of them are left out`,
    'Left out, since their runs were made on two devices: qlora against lora, seed 1',
  ]);
});

test('records of schema 1 are read with a notice, and so are several versions of nibble', () => {
  const old = { ...makeRun('lora', 0), schema_version: 1 as const };
  const later = makeRun('qlora', 0);
  later.run_info.code = { ...later.run_info.code, version: '9.9.9' };
  const { notices } = summarize([old, later]);
  expect(notices).toContain('1 of 2 records are of schema 1, which has no hash that would show an edit');
  expect(notices.join()).toMatch(/made by several versions of nibble: 0\.1\.0 \(commit 012345678\), 9\.9\.9/);
});

test('the hash of a record shows any edit, and no change of its layout', () => {
  const record = sealed(makeRun('lora', 0), sha256OfText);
  const read = JSON.parse(JSON.stringify(record, null, 4));
  expect(isIntact(read, sha256OfText)).toBe(true);
  expect(isIntact(sealed(record, sha256OfText), sha256OfText)).toBe(true);
  read.eval_info.metrics.eval_loss.value -= 0.01;
  expect(isIntact(read, sha256OfText)).toBe(false);
  expect(isIntact(makeRun('lora', 0), sha256OfText)).toBeNull();
});
