/** Task files: the same rows, prompts and answers as lm-eval's, and what is refused. */
import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { readSplits } from '../../src/eval/documents.ts';
import { taskOutcome } from '../../src/eval/outcome.ts';
import { resultsFile, sampleLine } from '../../src/eval/results.ts';
import { prepareTask } from '../../src/eval/task.ts';
import { readTaskFile } from '../../src/eval/task-file.ts';
import type { Place } from '../../src/eval/work.ts';
import { memoryReader } from '../../src/formats/memory.ts';
import { goldenTask, judged, TASKS } from './open.ts';

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

describe.each(TASKS)('%s', (name) => {
  test('rows, prompts, answers and results are lm-eval’s, by its hashes, from its own numbers', async () => {
    const task = await goldenTask(name);
    const golden = judged.base.samples[name]!;
    const filter = golden[0]!.filter;
    const items = golden.filter((sample) => sample.filter === filter);
    expect(task.items).toHaveLength(items.length);
    // the model's part is lm-eval's own here
    const scores: { logprob: number; isGreedy: boolean }[] = [];
    const texts: string[] = [];
    const places = items.map(({ resps }) =>
      resps.map(([given]): Place => {
        if (typeof given === 'string') return { kind: 'texts', numbers: [texts.push(given) - 1] };
        const [logprob, isGreedy = false] = [given].flat() as [number, boolean?];
        return { kind: 'rows', numbers: [scores.push({ logprob, isGreedy }) - 1] };
      }),
    );
    const outcome = taskOutcome({ task, places }, { scores, texts }, judged.bootstrap_iters);
    for (const [i, sample] of outcome.samples.entries()) {
      const line = sampleLine(sample, outcome, sha256);
      const want = golden[i]!;
      for (const key of ['doc_id', 'filter', 'metrics', 'doc_hash', 'prompt_hash', 'target_hash', ...want.metrics])
        expect([key, i, line[key]]).toEqual([key, i, want[key]]);
    }
    const file = resultsFile([outcome], facts, sha256) as unknown as Record<
      string,
      Record<string, Record<string, unknown>>
    >;
    const [got, want] = [file.results![name]!, judged.base.results[name]!];
    expect(Object.keys(got)).toEqual(Object.keys(want));
    for (const [key, value] of Object.entries(want))
      if (typeof value === 'number')
        expect(Math.abs((got[key] as number) / value - 1) < 1e-12 || got[key] === value, key).toBe(true);
      else expect(got[key]).toEqual(value);
    for (const key of ['n-samples', 'n-shot', 'versions', 'higher_is_better'])
      expect([key, file[key]![name]]).toEqual([key, (judged.base[key] as Record<string, unknown>)[name]]);
  });
});

const facts = { config: {}, date: 0, model_source: 'nibble', model_name: 'tiny', total_evaluation_time_seconds: '0' };

const FINE = `task: t
dataset_path: json
dataset_kwargs: {data_files: rows.jsonl}
test_split: train
output_type: multiple_choice
doc_to_text: "{{q}}"
doc_to_choice: [yes, no]
doc_to_target: a
`;

async function make(yaml: string, rows = '{"q": "Is it?", "a": 0}\n'): Promise<string> {
  const reader = memoryReader(
    new Map([
      ['t.yaml', yaml],
      ['rows.jsonl', rows],
      ['base.yaml', FINE],
    ]),
  );
  try {
    const file = await readTaskFile(reader, 't.yaml');
    const splits = await readSplits(file.fields, reader, async (path) => ((await reader.exists(path)) ? path : null));
    const task = prepareTask(file, splits, { limit: null, numFewshot: null, fewshotSeed: 1234 });
    return `fine: ${task.items.length}`;
  } catch (error) {
    return (error as Error).message;
  }
}

test('rows whose target is none of their choices are told of', async () => {
  const rows = '{"q": "a?", "a": 0}\n{"q": "b?", "a": 7}\n{"q": "c?", "a": 1}\n';
  const reader = memoryReader(
    new Map([
      ['t.yaml', FINE],
      ['rows.jsonl', rows],
    ]),
  );
  const read = await readTaskFile(reader, 't.yaml');
  const splits = await readSplits(read.fields, reader, async (path) => path);
  const { notes } = prepareTask(read, splits, { limit: null, numFewshot: null, fewshotSeed: 1 });
  expect(notes).toEqual([
    't: 1 of 3 rows have a target that is none of their choices, and count as wrong, as in lm-eval; the first is memory/rows.jsonl:2 (7)',
  ]);
});

describe('a task file', () => {
  test('is read, with what it includes', async () => {
    expect(await make(FINE)).toBe('fine: 1');
    expect(await make('include: base.yaml\ntask: other\n')).toBe('fine: 1');
    expect(await make('include: t.yaml\ntask: other\n')).toContain('includes itself');
  });

  test.each([
    ['no YAML', 'task: [', 'not valid YAML'],
    ['Python', `${FINE}process_docs: !function utils.process\n`, '!function'],
    ['Python results', `${FINE}process_results: utils.process\n`, 'Python code, which nibble does not run'],
    ['an unknown key', `${FINE}doc_to_txt: q\n`, 'did you mean doc_to_text?'],
    ['a hub dataset', FINE.replace('json', 'EleutherAI/hellaswag'), 'dataset_path: got "EleutherAI/hellaswag"'],
    ['an unknown metric', `${FINE}metric_list: [{metric: bleu}]\n`, 'there are acc, acc_norm'],
    [
      'an aggregation of pairs',
      `${FINE}metric_list: [{metric: acc, aggregation: weighted_perplexity}]\n`,
      'does not add up acc',
    ],
    ['a split without rows', FINE.replace('test_split: train', 'test_split: test'), 'data_files has train'],
    ['no split', FINE.replace('test_split: train\n', ''), 'test_split: is missing'],
    [
      'a filter of texts',
      `${FINE}filter_list: [{name: x, filter: [{function: regex}, {function: take_first}]}]\n`,
      'gives numbers',
    ],
    ['no choices', FINE.replace(/doc_to_choice.*\n/, ''), 'multiple_choice needs choices'],
    ['a missing key', FINE.replace(/doc_to_text.*\n/, ''), 'doc_to_text: is missing'],
    ['a missing file', FINE.replace('rows.jsonl', 'none.jsonl'), 'none.jsonl: is not there'],
  ])('is refused with %s', async (_, yaml, message) => {
    expect(await make(yaml)).toContain(message);
  });

  test.each([
    [
      'without the column',
      '{"question": "Is it?", "a": 0}\n',
      'rows.jsonl:1: doc_to_text cannot be rendered (a value that it uses is not there)',
    ],
    ['whose target is a list of nothing', '{"q": "Is it?", "a": []}\n', 'doc_to_target gives []'],
    ['that is no JSON', '{"q"\n', 'rows.jsonl:1'],
    ['that is empty', '\n', 'holds no row'],
  ])('refuses rows %s', async (_, rows, message) => {
    expect(await make(FINE, rows)).toContain(message);
  });

  test('has examples of other rows alone, and refuses more than there are', async () => {
    expect(await make(`${FINE}num_fewshot: 1\nfewshot_split: train\n`)).toContain(
      'there are 0 rows to take examples from',
    );
  });
});
