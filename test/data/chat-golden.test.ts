/** Rows of chats and text equal TRL's: ids and labels of test/golden/chat, in every loss mode, cut and whole. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { openChatSource } from '../../src/data/chat-source.ts';
import { loadDataset } from '../../src/data/dataset.ts';
import { layeredReader, memoryReader } from '../../src/formats/memory.ts';
import { loadTokenizer } from '../../src/formats/tokenizer.ts';
import { nodeReader } from '../../src/node/files.ts';
import { rejection } from '../formats/files.ts';

type Case = {
  form: string;
  max_length: number;
  assistant_only_loss?: boolean;
  completion_only_loss?: boolean;
  /** For each row that TRL feeds: tokens, hash of ids, labels that count, hash of labels. */
  fed: string[];
};
type Template = { tokenizer: string; eos_token: string; bos_token: string | null; taken: number[]; cases: Case[] };

const GOLDEN = new URL('../golden/chat/', import.meta.url).pathname;
const read = <T>(name: string): T => JSON.parse(readFileSync(`${GOLDEN}${name}`, 'utf8')) as T;

const templates = read<Record<string, Template>>('cases.json');
// rows stay text, so that 7.0 stays 7.0
const forms = new Map(
  readFileSync(`${GOLDEN}rows.json`, 'utf8')
    .trim()
    .slice(1, -1)
    .split(',\n')
    .map((line): [string, (string | null)[]] => {
      const at = line.indexOf(': ');
      return [JSON.parse(line.slice(0, at)) as string, linesOf(line.slice(at + 2))];
    }),
);

/** The elements of a JSON array of objects and nulls, as they are spelled. */
function linesOf(array: string): (string | null)[] {
  const found: (string | null)[] = [];
  let [depth, start, inString] = [0, 1, false];
  for (let i = 1; i < array.length; i++) {
    const char = array[i];
    if (inString) {
      if (char === '\\') i++;
      else if (char === '"') inString = false;
    } else if (char === '"') inString = true;
    else if (char === '{' || char === '[') depth++;
    else if ((char === '}' || char === ']') && depth > 0) depth--;
    else if (depth === 0 && (char === ',' || char === ']')) {
      const element = array.slice(start, i).trim();
      found.push(element === 'null' ? null : element);
      start = i + 1;
    }
  }
  return found;
}

const short = (ids: ArrayLike<number>): string =>
  createHash('sha256').update(Array.from(ids).join(',')).digest('hex').slice(0, 8);

const opened = new Map<string, ReturnType<typeof openAnew>>();

function open(name: string) {
  const known = opened.get(name) ?? openAnew(name);
  opened.set(name, known);
  return known;
}

async function openAnew(name: string) {
  const { tokenizer: kind, eos_token, bos_token } = templates[name]!;
  const config = read<object>(`tokenizer-${kind}/tokenizer_config.json`);
  const files = new Map([
    ['tokenizer_config.json', new TextEncoder().encode(JSON.stringify({ ...config, eos_token, bos_token }))],
  ]);
  const reader = layeredReader(files, nodeReader(`${GOLDEN}tokenizer-${kind}`));
  const chat = await openChatSource(reader, `${GOLDEN}templates/${name}.jinja`, nodeReader);
  return { tokenizer: await loadTokenizer(reader), chat };
}

async function feed(name: string, rows: readonly string[], options: Partial<Case>) {
  const { rows: found } = await loadDataset(
    memoryReader(new Map([['r.jsonl', rows.join('\n')]])),
    [{ path: 'r.jsonl' }],
    {
      ...(await open(name)),
      vocabSize: 2000,
      maxPositions: 4096,
      maxLength: options.max_length ?? 4096,
      appendEos: true,
      completionOnlyLoss: options.completion_only_loss ?? null,
      assistantOnlyLoss: options.assistant_only_loss ?? false,
    },
  );
  return Promise.all(Array.from({ length: found.count }, (_, i) => found.row(i)));
}

test('there are six templates of real models, two of our own and twenty conversations', () => {
  const names = Object.keys(templates).filter((name) => !name.endsWith('_training'));
  expect(names).toEqual(['llama3', 'qwen2_5', 'qwen3', 'gemma', 'phi3', 'deepseek_r1_distill', 'plain', 'bare']);
  expect([...forms].map(([form, rows]) => [form, rows.length])).toEqual(
    ['messages', 'conversations', 'chat-pairs', 'text', 'text-pairs'].map((form) => [form, 20]),
  );
  const rows = Object.values(templates).flatMap(({ cases }) => cases.flatMap(({ fed }) => fed));
  expect(rows.length).toBeGreaterThan(4000);
});

describe.each(Object.keys(templates))('%s', (name) => {
  const { taken, cases } = templates[name]!;

  test.each(cases.map(({ fed, ...options }) => [JSON.stringify(options), options, fed] as const))(
    '%s',
    async (_, options, fed) => {
      const isText = options.form.startsWith('text');
      const lines = forms.get(options.form)!.filter((line, i) => line !== null && (isText || taken.includes(i)));
      const rows = await feed(name, lines as string[], options);
      const found = rows.map(({ inputIds, labels }) => {
        const learned = labels ?? inputIds;
        const count = Array.from(learned).filter((label) => label !== -100).length;
        return `${inputIds.length} ${short(inputIds)} ${count} ${short(learned)}`;
      });
      expect(found).toEqual(fed);
    },
  );

  test('refuses the conversations that Python refuses', async () => {
    for (const [i, line] of forms.get('messages')!.entries())
      if (!taken.includes(i))
        expect((await rejection(feed(name, [line!], {}))).message, String(i)).toMatch(/r\.jsonl:1: the chat template/);
  });
});
