/** `nibble eval` and `nibble merge --datasets` whole: the commands of docs/eval.md, what they write, and how they refuse. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { evalCommand } from '../../src/cli/eval/command.ts';
import { runEval } from '../../src/cli/eval/run.ts';
import { mergeCommand } from '../../src/cli/merge/command.ts';
import { runMerge } from '../../src/cli/merge/run.ts';
import { quantizeCommand } from '../../src/cli/quantize/command.ts';
import { runQuantize } from '../../src/cli/quantize/run.ts';
import type { EvalSummary } from '../../src/node/eval.ts';
import type { MergeSummary } from '../../src/node/merge.ts';
import { nibble } from '../cli/fakes.ts';
import { directory, GOLDEN } from './nibble.ts';

const ROOT = new URL('../../', import.meta.url).pathname;
const TINY = path.join(ROOT, 'bench/models/tiny');
const ADAPTER = path.join(GOLDEN, 'eval/adapter');
const page = readFileSync(`${ROOT}docs/eval.md`, 'utf8');
const env = { NIBBLE_DEVICE: process.env.NIBBLE_TEST_DEVICE ?? 'auto', NO_COLOR: '1' };

const run = (argv: readonly string[]) =>
  nibble(
    argv,
    [(c) => evalCommand(c, runEval), (c) => mergeCommand(c, runMerge), (c) => quantizeCommand(c, runQuantize)],
    {
      env,
    },
  );

function block(language: string): string {
  const found = new RegExp(`^\`\`\`${language}\n([^]*?)^\`\`\``, 'm').exec(page)?.[1];
  if (found === undefined) throw new Error(`docs/eval.md has no block of ${language}`);
  return found;
}

const sentences =
  'The whale swam.|A ship sailed on.|All hands!|Call me Ishmael.|The sea was black.|He threw it.|So be it.|I go.|We sank.';
const rows = `${sentences
  .split('|')
  .map((text) => JSON.stringify({ text }))
  .join('\n')}\n`;

test('the commands of the page do what it says', async () => {
  const at = directory({
    'capitals.yaml': block('yaml'),
    'capitals.jsonl': block('json'),
    'eval.jsonl': rows,
    'chat.jinja': '{% for m in messages %}<{{ m.role }}> {{ m.content }} {% endfor %}<assistant>',
    'book.txt': readFileSync(path.join(GOLDEN, 'eval/data/sea.txt'), 'utf8').slice(0, 700),
  });
  const places: Readonly<Record<string, string>> = {
    './llama': TINY,
    './out': ADAPTER,
    results: path.join(at, 'results'),
  };
  const lines = block('sh')
    .trim()
    .split('\n')
    .map((line) => line.split(' #')[0]!.trim());
  expect(lines).toHaveLength(7);
  const printed: string[] = [];
  for (const line of lines) {
    const words = line
      .split(/\s+/)
      .map((word) => places[word] ?? (existsSync(path.join(at, word)) ? path.join(at, word) : word));
    const { code, stdout, stderr } = await run(words.slice(2));
    expect(code, `${line}\n${stderr}`).toBe(0);
    printed.push(stdout);
  }
  expect(printed[0]).toMatch(
    /^task +metric +filter +items +model +value +stderr +95 %\ncapitals +acc ↑ +none +2 +base +[01]\.[05]000/,
  );
  expect(printed[1]).toMatch(/judged|adapter +[01]\.[05]000.*base: \d gained, \d lost, p = 1\.000/);
  expect(printed[2]!.match(/(base|adapter)(-4bit)? +[01]\.\d{4}/g)).toHaveLength(8);
  expect(printed[3]).toMatch(/eval\.jsonl +9 +\d+ +base +\d\.\d{4} +\d+\.\d{3} +± \d\.\d{4}/);
  expect(printed[4]).toMatch(/book\.txt +1 +\d+ +base +\d\.\d{4}/);
  expect(printed[6]).toMatch(/^task[^\n]*\ncapitals +acc ↑ +none +2 +base +[01]\.[05]000/);
  const folder = path.join(at, 'results/base');
  const files = readdirSync(folder).sort();
  expect(files.map((name) => name.replace(/_[-\dT.]+\.json/, '_DATE.json'))).toEqual([
    'results_DATE.json',
    'samples_capitals_DATE.jsonl',
  ]);
  const results = JSON.parse(readFileSync(path.join(folder, files[0]!), 'utf8')) as { results: object; config: object };
  expect(Object.keys(results.results)).toEqual(['capitals']);
  expect(results.config).toMatchObject({ model: 'nibble', fewshot_seed: 1234, limit: null });
  expect(results).toMatchObject({ chat_template: null, system_instruction: null, fewshot_as_multiturn: true });
}, 300_000);

const task = (changes = '') => `${block('yaml')}${changes}`;

test.each([
  ['nothing to evaluate', [TINY], 'nothing to evaluate: give tasks, datasets or texts'],
  ['a task that is not there', [TINY, '--tasks', 'hellaswag'], 'there is no file or folder hellaswag'],
  ['an adapter that is not there', [TINY, '--adapter', './nowhere', '--tasks', 'AT/t.yaml'], 'nowhere'],
  [
    'an adapter of another base',
    [TINY, '--adapter', path.join(GOLDEN, 'architectures/qwen2/adapter-init'), '--tasks', 'AT/t.yaml'],
    'adapter',
  ],
  ['a stride without texts', [TINY, '--tasks', 'AT/t.yaml', '--stride', '8'], 'stride: says how texts are evaluated'],
  ['a limit without tasks', [TINY, '--texts', 'AT/t.jsonl', '--limit', '8'], 'limit: says how tasks are evaluated'],
  [
    'results of two adapters in one folder',
    [
      TINY,
      '--adapter',
      `${ADAPTER}=a/b`,
      '--adapter',
      `${ADAPTER}=a__b`,
      '--tasks',
      'AT/t.yaml',
      '--output_path',
      'AT/o',
    ],
    'the results of a/b and of a__b would have one folder, a__b',
  ],
  [
    'two adapters of one name',
    [TINY, '--adapter', `${ADAPTER}=a`, '--adapter', `${ADAPTER}=a`, '--tasks', 'AT/t.yaml'],
    'two adapters are called a',
  ],
  [
    'both bases in 4 bits',
    [TINY, '--both_bases', '--load_in_4bit', '--tasks', 'AT/t.yaml'],
    'leave one of the two out',
  ],
  [
    'a window beyond the context',
    [TINY, '--texts', 'AT/t.jsonl', '--window_length', '4096'],
    "the model's context is 512",
  ],
  [
    'a stride beyond the window',
    [TINY, '--texts', 'AT/t.jsonl', '--window_length', '64', '--stride', '65'],
    'would be left out',
  ],
  [
    'settings of datasets without one',
    [TINY, '--tasks', 'AT/t.yaml', '--max_length', '64'],
    'says how datasets are evaluated',
  ],
  ['Python', [TINY, '--tasks', 'AT/python.yaml'], '!function'],
  [
    'an output that is a file',
    [TINY, '--tasks', 'AT/t.yaml', '--output_path', 'AT/t.jsonl'],
    'cannot be a folder of results',
  ],
] as const)('%s is refused in one message', async (_, argv, message) => {
  const at = directory({
    't.yaml': task().replace('capitals.jsonl', 't.jsonl'),
    't.jsonl': block('json'),
    'python.yaml': task('process_docs: !function utils.f\n'),
  });
  const { code, stderr } = await run(['eval', ...argv.map((word) => word.replace('AT', at))]);
  expect(stderr).toContain(message);
  expect([code, stderr.includes('    at ')]).toEqual([2, false]);
});

test('a merge says what it cost: nothing in float32, something in 4 bits', async () => {
  const at = directory({ 'eval.jsonl': rows });
  const [four, wide, narrow] = ['four', 'wide', 'narrow'].map((name) => path.join(at, name)) as [
    string,
    string,
    string,
  ];
  const quantized = await run(['quantize', TINY, four]);
  expect(quantized.code, quantized.stderr).toBe(0);
  const data = ['--datasets', path.join(at, 'eval.jsonl'), '--json'];
  const merged = async (argv: readonly string[]): Promise<MergeSummary> => {
    const { code, stdout, stderr } = await run(['merge', ...argv, ...data]);
    expect(code, stderr).toBe(0);
    return JSON.parse(stdout) as MergeSummary;
  };
  const [dense] = (await merged([TINY, ADAPTER, wide, '--dtype', 'float32'])).losses;
  const [coded] = (await merged([four, ADAPTER, narrow])).losses;
  // the same weights, added up before instead of behind the product
  expect(Math.abs(dense!.after.loss - dense!.before.loss)).toBeLessThan(1e-5);
  expect(Math.abs(coded!.after.loss - coded!.before.loss)).toBeGreaterThan(1e-4);
  expect(coded!.difference!.rows).toBe(9);
  const { stdout } = await run(['eval', TINY, '--adapter', `${ADAPTER}=a`, '--include_base', 'false', ...data]);
  const [row] = (JSON.parse(stdout) as EvalSummary).datasets;
  expect(row!.models[0]!.loss).toBe(dense!.before.loss);
}, 300_000);
