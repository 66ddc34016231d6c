import { expect, test } from 'vitest';
import { renderCsv } from '../../src/report/csv.ts';
import { MEMORY_CATEGORIES } from '../../src/results/run-schema.ts';
import { makeRun, makeRuns } from './fixture.ts';

/** RFC 4180, written for this test alone: quotes, doubled quotes, commas and line breaks inside fields. */
function parseCsv(text: string): string[][] {
  const rows: string[][] = [[]];
  const field = /("(?:[^"]|"")*"|[^,\r\n]*)(,|\r\n|$)/y;
  while (field.lastIndex < text.length) {
    const [, raw, end] = field.exec(text)!;
    rows.at(-1)!.push(raw!.startsWith('"') ? raw!.slice(1, -1).replaceAll('""', '"') : raw!);
    if (end === '\r\n') rows.push([]);
  }
  return rows.filter((row) => row.length > 0);
}

function records(text: string): Record<string, string>[] {
  const [header, ...rows] = parseCsv(text);
  return rows.map((row) => Object.fromEntries(header!.map((name, i) => [name, row[i]!])));
}

test('every number in the file is the JSON value in full precision', () => {
  const runs = makeRuns();
  const rows = records(renderCsv(runs));
  expect(rows).toHaveLength(6);
  for (const [i, run] of runs.entries()) {
    const row = rows[i]!;
    const { train_info: train, eval_info: evaluated, run_info: info } = run;
    const want: Record<string, number | null> = {
      seed: info.seed,
      total_time: info.total_time,
      train_time: train.timing.train_s,
      train_loss: train.history.at(-1)!.loss,
      accelerator_memory_max: train.accelerator_memory_max,
      accelerator_memory_reserved_avg: train.accelerator_memory_reserved_avg,
      file_size: train.file_size,
      num_trainable_params: train.num_trainable_params,
      peak_memory_bytes: train.memory!.allocated.peak,
      step_time_ms_p50: train.step_time_ms!.p50,
      tokens_per_second: train.throughput.tokens_per_second,
      eval_loss_before: evaluated.metrics_before!.eval_loss.value,
      eval_loss: evaluated.metrics!.eval_loss.value,
      perplexity: evaluated.metrics!.perplexity,
      quantize_s: train.timing.quantize_s,
      ...Object.fromEntries(MEMORY_CATEGORIES.map((c) => [`${c}_bytes`, train.memory!.by_category[c]])),
    };
    for (const [name, value] of Object.entries(want)) {
      expect([name, row[name]]).toEqual([name, value === null ? '' : String(value)]);
    }
    expect(row.run_id).toBe(info.run_id);
    expect(row.software_rendered).toBe('true');
  }
});

test('text that a spreadsheet would run is disarmed; negative numbers stay numbers', () => {
  const run = structuredClone(makeRun('lora', 0));
  run.run_info.suite = '=cmd|calc';
  run.run_info.experiment_name = '+1, "quoted"\nsecond line';
  run.meta_info.model_info.id = '@SUM(A1)';
  run.train_info.history.at(-1)!.loss = -0.25;
  run.run_info.status = 'error';
  run.run_info.error = { kind: 'Error', message: '-2+3', stack: null };
  const [row] = records(renderCsv([run]));
  expect(row!.task_name).toBe("'=cmd|calc");
  expect(row!.experiment_name).toBe(`'+1, "quoted"\nsecond line`);
  expect(row!.model_id).toBe("'@SUM(A1)");
  expect(row!.error).toBe("'-2+3");
  expect(row!.train_loss).toBe('-0.25');
});

test('a run without an adapter is full fine-tuning, and what was not measured is an empty field', () => {
  const run = structuredClone(makeRun('lora', 0));
  run.run_info.peft_config = null;
  run.train_info.memory = null;
  run.eval_info.metrics = null;
  run.meta_info.gpu = null;
  const [row] = records(renderCsv([run]));
  expect(row!.peft_type).toBe('full-finetuning');
  expect([row!.peak_memory_bytes, row!.workspace_bytes, row!.eval_loss, row!.device]).toEqual(['', '', '', '']);
});
