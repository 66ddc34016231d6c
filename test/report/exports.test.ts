/** Results in others' formats: fields and types as their readers take them, nothing made up, and nothing that a spreadsheet runs. */
import { parse } from 'csv-parse/sync';
import { describe, expect, test } from 'vitest';
import { githubActionBenchmark } from '../../src/report/exports/github-action-benchmark.ts';
import { ibmCsv } from '../../src/report/exports/ibm.ts';
import { peftFiles, peftResult } from '../../src/report/exports/peft.ts';
import type { RunRecord } from '../../src/results/run-schema.ts';
import { makeRun, makeRuns, makeSummary } from '../report/fixture.ts';

const failed = (): RunRecord => {
  const run = structuredClone(makeRun('qlora', 0));
  run.run_info.status = 'oom';
  run.run_info.error = { kind: 'DeviceError', message: '=cmd|calc', stack: null };
  return run;
};

describe("PEFT's method comparison", () => {
  // names that its processing.py reads, with the types it casts them to
  const TRAIN: Readonly<Record<string, string>> = {
    accelerator_memory_reserved_avg: 'int',
    accelerator_memory_max: 'int',
    accelerator_memory_reserved_99th: 'int',
    train_time: 'float',
    file_size: 'int',
    num_trainable_params: 'int',
    num_total_params: 'int',
  };

  test('a file a run, whose fields its tables read', () => {
    const files = peftFiles(makeRuns());
    expect([...files.keys()].slice(0, 2)).toEqual(['lora--lora-seed0.json', 'lora--qlora-seed0.json']);
    for (const text of files.values()) {
      const { run_info, train_info, meta_info } = JSON.parse(text);
      for (const [name, type] of Object.entries(TRAIN))
        expect([name, type === 'int' ? Number.isInteger(train_info[name]) : train_info[name] > 0]).toEqual([
          name,
          true,
        ]);
      expect(train_info.status).toBe('success');
      expect(train_info.metrics.at(-1)).toMatchObject({
        step: 24,
        'test accuracy': null,
        'train samples': expect.any(Number),
      });
      expect(Number.isInteger(train_info.metrics.at(-1)['train total tokens'])).toBe(true);
      expect(run_info.peft_config.peft_type).toBe('LORA');
      expect(run_info.train_config).toMatchObject({ seed: expect.any(Number), optimizer_kwargs: expect.any(Object) });
      for (const name of ['peft', 'transformers', 'datasets', 'torch', 'bitsandbytes'])
        expect(meta_info.package_info[`${name}-version`]).toBe(null);
    }
  });

  test('a run that failed is one that failed, and a 4-bit base is int4', () => {
    const result = peftResult(failed());
    expect(result).toMatchObject({
      run_info: { error_msg: '=cmd|calc', train_config: { dtype: 'int4' } },
      train_info: { status: 'canceled', metrics: [] },
    });
    const { run_info, ...rest } = failed();
    expect(peftResult({ ...rest, run_info: { ...run_info, status: 'error' } }).train_info).toMatchObject({
      status: 'failed',
    });
  });
});

test('the columns of LLMFineTuningBench; failed runs are kept, and what was not measured is empty', () => {
  const evil = failed();
  evil.run_info.arm = '@SUM(1)';
  const rows = parse(ibmCsv([makeRun('lora', 0), evil]), { columns: true }) as Record<string, string>[];
  // as the dataset's card and preview have them, in their order
  const theirs =
    'identifier,experiment_id,method,model_name,number_nodes,gpu_model,number_gpus,tokens_per_sample,batch_size,enable_roce,fast_moe,fast_kernels,fms_hf_tuning_version';
  expect(Object.keys(rows[0]!).slice(0, 13).join()).toBe(theirs);
  expect(rows[0]).toMatchObject({
    method: 'lora',
    is_valid: '1',
    number_gpus: '0',
    gpu_power_watts_avg: '',
    seed: '0',
  });
  expect(Number(rows[0]!.train_tokens_per_second)).toBe(
    makeRun('lora', 0).train_info.throughput.padded_tokens_per_second,
  );
  expect(rows[1]).toMatchObject({ method: 'qlora-nf4', is_valid: '0', arm: "'@SUM(1)" });
});

test('customSmallerIsBetter: medians of what is better where it is smaller', () => {
  const entries = githubActionBenchmark(makeSummary(makeRuns()));
  expect(entries.map(({ name }) => name)).toEqual(
    ['lora', 'qlora'].flatMap((arm) =>
      ['Peak memory', 'Step time, median of a run', 'Evaluation loss after training', 'Perplexity after training'].map(
        (label) => `quick/${arm}: ${label}`,
      ),
    ),
  );
  for (const { unit, value, range } of entries)
    expect([typeof unit, Number.isFinite(value), /^± \d/.test(range)]).toEqual(['string', true, true]);
});
