/** Parts of a suite: from a flag or from the variables of Kubernetes, Cloud Run, Slurm and AWS Batch; pairs stay together. */
import { expect, test } from 'vitest';
import { readShard } from '../../src/bench/shard.ts';
import { isInShard, turnsOf } from '../../src/bench/turns.ts';
import { loadSuite } from '../../src/config/index.ts';
import { ConfigError } from '../../src/errors.ts';

test.each([
  ['2/4', {}, [2, 4]],
  ['auto/4', { JOB_COMPLETION_INDEX: '0' }, [1, 4]],
  ['auto', { CLOUD_RUN_TASK_INDEX: '3', CLOUD_RUN_TASK_COUNT: '4' }, [4, 4]],
  ['auto', { SLURM_ARRAY_TASK_ID: '1', SLURM_ARRAY_TASK_COUNT: '3', SLURM_ARRAY_TASK_MIN: '1' }, [1, 3]],
  ['auto', { SLURM_ARRAY_TASK_ID: '2', SLURM_ARRAY_TASK_COUNT: '3', SLURM_ARRAY_TASK_MIN: '0' }, [3, 3]],
  ['auto/2', { AWS_BATCH_JOB_ARRAY_INDEX: '1' }, [2, 2]],
  ['auto', { AWS_BATCH_JOB_ARRAY_INDEX: '1', AWS_BATCH_JOB_ARRAY_SIZE: '2' }, [2, 2]],
] as const)('%s with %j is %j', (text, env, [i, n]) => {
  expect(readShard(text, env)).toEqual({ i, n });
});

test.each([
  ['0/4', {}, 'no part of 4: wanted 1/4 to 4/4'],
  ['5/4', {}, 'no part of 4'],
  ['1/0', {}, 'wanted 1 to 10000 shards'],
  ['x', {}, 'wanted 1/4 (the first of four), auto, or auto/4'],
  ['3', {}, 'wanted 1/4'],
  ['auto', {}, 'none of JOB_COMPLETION_INDEX'],
  ['auto', { JOB_COMPLETION_INDEX: '0' }, 'Kubernetes tells an index alone (JOB_COMPLETION_INDEX=0); give auto/COUNT'],
  ['auto/2', { JOB_COMPLETION_INDEX: '2' }, 'JOB_COMPLETION_INDEX is 2, which is no part of 2'],
  ['auto', { CLOUD_RUN_TASK_INDEX: 'x', CLOUD_RUN_TASK_COUNT: '2' }, 'CLOUD_RUN_TASK_INDEX is "x", wanted an integer'],
  ['auto/3', { CLOUD_RUN_TASK_INDEX: '0', CLOUD_RUN_TASK_COUNT: '2' }, 'CLOUD_RUN_TASK_COUNT is 2'],
  ['auto/2', { JOB_COMPLETION_INDEX: '0', SLURM_ARRAY_TASK_ID: '0' }, 'are both set'],
] as const)('%s with %j is refused: %s', (text, env, message) => {
  expect(() => readShard(text, env)).toThrow(ConfigError);
  expect(() => readShard(text, env)).toThrow(message);
});

test('shards share out the pairs: none twice, none lost, the arms of a case and seed together', () => {
  const text = `suite: s\nseeds: [0, 1, 2]\nbase: {model_name_or_path: m, datasets: [{path: a}]}
matrix: {max_length: [32, 64]}\narms: {lora: {}, qlora: {method: qlora}}\n`;
  const suite = loadSuite({ file: { path: 's.yaml', text } });
  const whole = turnsOf(suite);
  expect(whole.length).toBe(12);
  for (const n of [1, 2, 4, 5, 7]) {
    const turns = turnsOf(suite, n);
    expect(turns.map(({ name }) => name)).toEqual(whole.map(({ name }) => name));
    const parts = Array.from({ length: n }, (_, i) => turns.filter((turn) => isInShard(turn, { i: i + 1, n })));
    expect(parts.flat().length).toBe(12);
    for (const part of parts)
      for (const { seed, case: name } of part)
        expect(part.filter((turn) => turn.seed === seed && turn.case === name).length).toBe(2);
  }
});
