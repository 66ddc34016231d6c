/** `nibble generate` and `nibble merge` whole: what they print and write, and how they refuse. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { generateCommand } from '../../src/cli/generate/command.ts';
import { runGenerate } from '../../src/cli/generate/run.ts';
import { mergeCommand } from '../../src/cli/merge/command.ts';
import { runMerge } from '../../src/cli/merge/run.ts';
import type { Generation } from '../../src/node/generate.ts';
import { nibble } from '../cli/fakes.ts';
import { directory, GOLDEN } from './nibble.ts';

const TINY = new URL('../../bench/models/tiny', import.meta.url).pathname;
const QWEN = path.join(GOLDEN, 'architectures/qwen2/dense');
const ADAPTER = path.join(GOLDEN, 'architectures/qwen2/adapter-init');
const OPTIONS = path.join(GOLDEN, 'peft-options');
const env = { NIBBLE_DEVICE: process.env.NIBBLE_TEST_DEVICE ?? 'auto', NO_COLOR: '1' };

const run = (argv: readonly string[], stdin = '') =>
  nibble(
    argv,
    [
      (context) => generateCommand(context, (args, c) => runGenerate(args, c, async () => stdin)),
      (context) => mergeCommand(context, runMerge),
    ],
    { env },
  );
const json = (text: string) =>
  text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Generation);

test('a text streams to standard output, its speed to standard error', async () => {
  const { code, stdout, stderr } = await run([
    'generate',
    TINY,
    '--prompt',
    'It was the',
    '--max-new-tokens',
    '12',
    '--temperature',
    '0',
  ]);
  expect([code, stderr.includes('nibble:')], stderr).toEqual([0, false]);
  expect(stdout).toMatch(/^ \w+[^\n]*\n$/);
  expect(stderr).toMatch(/12 tokens in [\d.]+ s, [\d.]+ tokens\/s \(length\); peak GPU memory/);
});

test('JSON has a line for each prompt, in order; stop texts and log-probabilities are heeded', async () => {
  const base = ['generate', TINY, '--max_new_tokens', '20', '--json'];
  const [whole] = json((await run([...base, '--prompt', 'It was the', '--temperature', '0'])).stdout) as [Generation];
  expect(whole).toMatchObject({ index: 0, prompt: 'It was the', adapter: null, finish_reason: 'length' });
  expect(whole.token_ids).toHaveLength(20);
  const word = (whole.text as string).trim().split(' ')[2] as string;
  const stopped = await run(
    [...base, '--temperature', '0', '--stop', word, '--logprobs', '2', '--prompts', '-'],
    'It was the\n\nSo\n',
  );
  const [first, second] = json(stopped.stdout) as [Generation, Generation];
  expect(first.text).toBe((whole.text as string).slice(0, (whole.text as string).indexOf(word)));
  expect([first.finish_reason, first.prompt, second.prompt]).toEqual(['stop', 'It was the', 'So']);
  for (const { id, logprob, top } of first.logprobs ?? []) {
    expect(top[0]).toEqual({ id, logprob });
    expect(top).toHaveLength(2);
  }
});

test('a chat is put in the chat template, from a flag or a row of messages', async () => {
  const model = directory(
    { 'chat_template.jinja': '{% for m in messages %}<{{ m.role }}> {{ m.content }} {% endfor %}<assistant>' },
    TINY,
  );
  const row = JSON.stringify({ messages: [{ role: 'user', content: 'So' }] });
  const files = directory({ 'rows.jsonl': row });
  const flags = ['--max_new_tokens', '4', '--temperature', '0', '--json'];
  const chat = await run(['generate', model, '--chat', '--prompt', 'So', '--prompts', `${files}/rows.jsonl`, ...flags]);
  const [asked, told] = json(chat.stdout) as [Generation, Generation];
  const plain = await run([
    'generate',
    model,
    '--prompt',
    '<user> So <assistant>',
    '--add_special_tokens',
    'false',
    ...flags,
  ]);
  const [{ index: _, prompt: __, ...result }] = json(plain.stdout) as [Generation];
  expect(asked).toEqual({ index: 0, prompt: 'So', ...result });
  expect(told).toEqual({ index: 1, prompt: [{ role: 'user', content: 'So' }], ...result });
});

test('rows name their adapters; a model without a tokenizer takes and gives tokens', async () => {
  const rows = [null, 'a', undefined].map((adapter) => JSON.stringify({ input_ids: [3, 4, 5], adapter })).join('\n');
  const files = directory({ 'rows.jsonl': rows });
  const flags = ['--max_new_tokens', '5', '--ignore_eos', '--temperature', '0', '--json'];
  const { stdout, stderr } = await run([
    'generate',
    QWEN,
    '--adapter',
    `${ADAPTER}=a`,
    '--prompts',
    `${files}/rows.jsonl`,
    ...flags,
  ]);
  const [plain, adapted, first] = json(stdout) as [Generation, Generation, Generation];
  expect([plain.adapter, adapted.adapter, first.adapter], stderr).toEqual([null, 'a', 'a']);
  expect(plain.text).toBeNull();
  expect(adapted.token_ids).not.toEqual(plain.token_ids);
  expect(first.token_ids).toEqual(adapted.token_ids);
});

type GreedyGolden = {
  readonly models: { readonly qwen2: { readonly prompt: number[]; readonly 'dense+adapter': { token_ids: number[] } } };
};

const jsonl = (row: object) => `${directory({ 'rows.jsonl': JSON.stringify(row) })}/rows.jsonl`;
const long = Array.from({ length: 64 }, () => 3);

test.each([
  ['no prompt', [QWEN], /prompt: is missing; give --prompt TEXT, or --prompts FILE/],
  [
    'a text without a tokenizer',
    [QWEN, '--prompt', 'Hi'],
    /--prompt: a text needs a tokenizer, and .* has no tokenizer.json/,
  ],
  [
    'a prompt beyond the context',
    [QWEN, '--prompts', jsonl({ input_ids: long })],
    /rows.jsonl:1: has 64 tokens; the model's context is 64/,
  ],
  [
    'a token beyond the vocabulary',
    [QWEN, '--prompts', jsonl({ input_ids: [999] })],
    /has token 999; the model has 128/,
  ],
  [
    'an unknown adapter',
    [QWEN, '--prompts', jsonl({ input_ids: [3], adapter: 'law' })],
    /there is no adapter law; none was given/,
  ],
  [
    'two adapters of one name',
    [QWEN, '--adapter', ADAPTER, '--adapter', ADAPTER, '--prompt', 'x'],
    /two adapters are called adapter-init/,
  ],
  ['no such adapter', [QWEN, '--adapter', './nowhere', '--prompt', 'x'], /adapter: there is no folder .\/nowhere/],
  [
    'an adapter of another base',
    [TINY, '--adapter', ADAPTER, '--prompt', 'x'],
    /Was the adapter trained on another base\?/,
  ],
  ['an unknown key', [QWEN, '--prompts', jsonl({ text: 'x' })], /has "text", which no prompt has/],
  [
    'settings that do nothing',
    [TINY, '--prompt', 'x', '--temperature', '0', '--top_p', '0.5'],
    /top_p: 0.5 says how to draw, but temperature is 0/,
  ],
  [
    'memory that is not there',
    [TINY, '--prompt', 'x', '--max_gpu_memory', '1000'],
    /out of memory: it needs [\s\S]* kv_cache [\s\S]*\nWhat would help/,
  ],
] as const)('generate refuses %s', async (_, argv, says) => {
  const { code, stdout, stderr } = await run(['generate', ...argv]);
  expect([code, stdout], stderr).toEqual([2, '']);
  expect(stderr).toMatch(says);
  expect(stderr).not.toMatch(/\n\s+at .*:\d+:\d+/);
});

test('a merged model is whole, generates as base and adapter do in PEFT, and its updates are measured', async () => {
  const out = path.join(directory(), 'merged');
  const merged = await run(['merge', QWEN, ADAPTER, out, '--dtype', 'float32', '--json']);
  expect(merged.code, merged.stderr).toBe(0);
  const summary = JSON.parse(merged.stdout) as {
    updates: { weight: string; update_per_step: number }[];
    written_as: string;
  };
  expect(summary.written_as).toBe('dense');
  expect(summary.updates).toHaveLength(14);
  expect(summary.updates.every(({ update_per_step }) => update_per_step > 0 && update_per_step < 100)).toBe(true);
  expect(JSON.parse(readFileSync(path.join(out, 'config.json'), 'utf8'))).toMatchObject({ dtype: 'float32' });
  // the tokens of transformers with PEFT's adapter on the unmerged base
  const golden = JSON.parse(readFileSync(path.join(GOLDEN, 'generate/greedy.json'), 'utf8')) as GreedyGolden;
  const { prompt, 'dense+adapter': want } = golden.models.qwen2;
  const flags = ['--max_new_tokens', '40', '--ignore_eos', '--temperature', '0', '--json'];
  const [whole] = json((await run(['generate', out, '--prompts', jsonl({ input_ids: prompt }), ...flags])).stdout) as [
    Generation,
  ];
  expect(whole.token_ids).toEqual(want.token_ids.slice(0, 40));
});

test('a base in 4 bits is merged back into 4 bits, or out of them', async () => {
  const base = path.join(GOLDEN, 'peft-steps/qlora/base');
  const adapter = path.join(OPTIONS, 'qlora-dora');
  const [again, dense] = [path.join(directory(), 'again'), path.join(directory(), 'dense')];
  const first = await run(['merge', base, adapter, again]);
  expect([first.code, first.stdout], first.stderr).toEqual([
    0,
    expect.stringMatching(/14 weights merged, quantized again/),
  ]);
  expect((await run(['merge', base, adapter, dense, '--dequantize'])).code).toBe(0);
  const config = (at: string) =>
    JSON.parse(readFileSync(path.join(at, 'config.json'), 'utf8')) as Record<string, unknown>;
  expect(config(again).quantization_config).toMatchObject({
    bnb_4bit_quant_type: 'nf4',
    bnb_4bit_use_double_quant: true,
  });
  expect(config(dense).quantization_config).toBeUndefined();
});

test.each([
  [
    'a folder that holds something',
    directory({ note: 'mine' }),
    /out: .* is not empty \(it holds note\)/,
    [QWEN, ADAPTER],
  ],
  [
    'an adapter of another base',
    path.join(directory(), 'out'),
    /Was the adapter trained on another base\?/,
    [TINY, ADAPTER],
  ],
  ['a model that is not there', path.join(directory(), 'out'), /model: there is no folder/, ['./nowhere', ADAPTER]],
] as const)('merge refuses %s, and leaves nothing', async (_, out, says, [model, adapter]) => {
  const before = existsSync(out) ? readdirSync(out) : null;
  const { code, stdout, stderr } = await run(['merge', model, adapter, out]);
  expect([code, stdout], stderr).toEqual([2, '']);
  expect(stderr).toMatch(says);
  expect(existsSync(out) ? readdirSync(out) : null).toEqual(before);
  expect(readdirSync(path.dirname(out)).filter((name) => name.includes('partial'))).toEqual([]);
});
