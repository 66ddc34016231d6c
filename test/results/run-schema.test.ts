import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { sha256OfText } from '../../src/node/environment.ts';
import { canonicalJson, type RunIdentity, runIdOf } from '../../src/results/identity.ts';
import {
  categoryBytesOf,
  MEMORY_CATEGORIES,
  type RunRecord,
  runJsonSchema,
  runSchema,
  runShape,
} from '../../src/results/run-schema.ts';
import { suiteSummarySchema } from '../../src/results/summary-schema.ts';
import { makeRun, makeRuns, makeSummary } from '../report/fixture.ts';

const problemsOf = (run: unknown) => runSchema.safeParse(run).error?.issues.map((issue) => issue.path.join('.')) ?? [];

function withRun(change: (run: RunRecord) => void): RunRecord {
  const run = structuredClone(makeRun('qlora', 0));
  change(run);
  return run;
}

test('a full run survives a round trip through JSON', () => {
  const run = makeRun('qlora', 1);
  expect(runSchema.parse(JSON.parse(JSON.stringify(run)))).toEqual(run);
});

test('an unknown key and an absent one are both refused, by path', () => {
  expect(problemsOf({ ...makeRun('lora', 0), extra: 1 })).toEqual(['']);
  const absent = structuredClone(makeRun('lora', 0)) as { train_info: { tier?: unknown } };
  delete absent.train_info.tier;
  expect(problemsOf(absent)).toEqual(['train_info.tier']);
});

test('a failed run says null where nothing was measured', () => {
  const run = withRun((r) => {
    r.run_info.status = 'oom';
    r.run_info.error = { kind: 'DeviceError', message: 'out of memory', stack: null };
    r.train_info.memory = null;
    r.train_info.step_time_ms = null;
    r.eval_info.metrics = null;
    r.meta_info.gpu = null;
  });
  expect(problemsOf(run)).toEqual([]);
});

test('category rows that do not sum to the peak are refused', () => {
  const run = withRun((r) => {
    r.train_info.memory!.by_category.workspace += 1;
  });
  expect(problemsOf(run)).toEqual(['train_info.memory.by_category', 'train_info.memory.predicted.by_category']);
});

test('overlapping timers are refused', () => {
  const run = withRun((r) => {
    r.train_info.timing.eval_s = r.run_info.total_time;
  });
  expect(problemsOf(run)).toEqual(['train_info.timing']);
});

test('timers that claim to be all of them add up to the time of the run, within 1 %', () => {
  const whole = (other_s: number) =>
    withRun((r) => {
      const { quantize_busy_s, compile_overlapped_s, ...disjoint } = r.train_info.timing;
      const timed = Object.values(disjoint).reduce((sum: number, part) => sum + (part ?? 0), 0);
      r.run_info.total_time = timed + 1;
      Object.assign(r.train_info.timing, { startup_s: 0, hash_s: 0, other_s: other_s * (timed + 1) - timed });
    });
  expect(problemsOf(whole(1))).toEqual([]);
  expect(problemsOf(whole(0.991))).toEqual([]);
  expect(problemsOf(whole(0.989))).toEqual(['train_info.timing']);
});

test('the category list is the keys of by_category, in order', () => {
  expect(Object.keys(runShape.shape.train_info.shape.memory.unwrap().shape.by_category.shape)).toEqual([
    ...MEMORY_CATEGORIES,
  ]);
  expect(MEMORY_CATEGORIES).toHaveLength(11);
});

test('a record from before a category was known reads as 0 there; one whose rows then miss bytes is refused', () => {
  const { by_category } = makeRun('qlora', 0).train_info.memory!;
  const later = categoryBytesOf([...MEMORY_CATEGORIES, 'drafts']);
  expect(later.parse(by_category)).toEqual({ ...by_category, drafts: 0 });
  expect(later.safeParse({ ...by_category, kv_cash: 0 }).success).toBe(false);
  const without = (category: 'quant_state' | 'logits', of: RunRecord) => {
    const { memory } = of.train_info;
    for (const rows of [memory!.by_category, memory!.predicted!.by_category] as Partial<typeof by_category>[])
      delete rows[category];
  };
  const lora = structuredClone(makeRun('lora', 0));
  expect(lora.train_info.memory!.by_category.quant_state).toBe(0);
  without('quant_state', lora);
  expect(runSchema.parse(lora).train_info.memory!.by_category.quant_state).toBe(0);
  expect(problemsOf(withRun((r) => without('logits', r)))).toEqual([
    'train_info.memory.by_category',
    'train_info.memory.predicted.by_category',
  ]);
});

test('a summary of three pairs satisfies its schema', () => {
  const summary = makeSummary(makeRuns());
  expect(suiteSummarySchema.parse(JSON.parse(JSON.stringify(summary)))).toEqual(summary);
});

test('run_id depends on every part of the identity and not on the order of keys', () => {
  const identity = {
    config: { a: 1, b: { c: 2, d: 3 } },
    modelSha256: 'm',
    dataSha256: { train: 't' },
    seed: 1,
    arm: 'lora',
  };
  const idOf = (of: RunIdentity) => runIdOf(of, sha256OfText);
  const id = idOf(identity);
  expect(id).toMatch(/^[0-9a-f]{16}$/);
  expect(idOf({ ...identity, config: { b: { d: 3, c: 2 }, a: 1 } })).toBe(id);
  const changed = [
    { ...identity, config: { a: 1, b: { c: 2, d: 4 } } },
    { ...identity, modelSha256: 'n' },
    { ...identity, dataSha256: { train: 'u' } },
    { ...identity, seed: 2 },
    { ...identity, arm: 'qlora' },
  ].map(idOf);
  expect(new Set([id, ...changed]).size).toBe(6);
});

test('canonical JSON sorts keys at every level and keeps the order of arrays', () => {
  expect(canonicalJson({ b: [2, 1, { z: 1, y: null }], a: 'x' })).toBe('{"a":"x","b":[2,1,{"y":null,"z":1}]}');
});

test('schemas/run.schema.json is what the code says (UPDATE_SCHEMAS=1 writes it; format afterwards)', async () => {
  const path = new URL('../../schemas/run.schema.json', import.meta.url);
  const text = `${JSON.stringify(runJsonSchema(), null, 2)}\n`;
  if (process.env.UPDATE_SCHEMAS === '1') {
    const { writeFileSync } = await import('node:fs');
    writeFileSync(path, text);
  }
  expect(JSON.parse(readFileSync(path, 'utf8'))).toEqual(JSON.parse(text));
});
