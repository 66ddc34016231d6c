/** nibble data preview: rows as they are fed, on a screen and as JSON lines. */
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { dataCommand } from '../../src/cli/data/command.ts';
import { runPreview } from '../../src/cli/data/run.ts';
import type { CliContext } from '../../src/cli/shared/context.ts';
import { nibble } from './fakes.ts';

const TINY = fileURLToPath(new URL('../../bench/models/tiny', import.meta.url));
const TEMPLATE = fileURLToPath(new URL('../golden/chat/templates/plain.jinja', import.meta.url));
const chat = (question: string, answer: string) => ({
  messages: [
    { role: 'user', content: question },
    { role: 'assistant', content: answer },
  ],
});

async function preview(rows: readonly object[], ...given: (string | Partial<CliContext>)[]) {
  const flags = given.filter((one) => typeof one === 'string');
  const [context = {}] = given.filter((one) => typeof one !== 'string');
  const folder = mkdtempSync(path.join(tmpdir(), 'nibble-preview-'));
  const file = path.join(folder, 'rows.jsonl');
  writeFileSync(file, rows.map((row) => JSON.stringify(row)).join('\n'));
  const settings = ['--model_name_or_path', TINY, '--datasets', file, '--chat_template_path', TEMPLATE];
  return nibble(['data', 'preview', ...settings, ...flags], [(cli) => dataCommand(cli, runPreview)], context);
}

test('shows what is learned in brackets where there is no colour, and how many rows there are', async () => {
  const { code, stdout, stderr } = await preview([chat('Hello', 'Ahoy!'), { text: 'a sea' }], '--assistant_only_loss');
  expect(code).toBe(2);
  expect(stderr).toContain('rows.jsonl:2: is no conversation, and assistant_only_loss: true');
  expect(stdout).toBe('');
  const shown = await preview(
    [chat('Hello', 'Ahoy!'), chat('Again', 'A\u0007h!')],
    '--assistant_only_loss',
    '--rows',
    '2',
  );
  expect(shown.code).toBe(0);
  expect(shown.stdout).toContain('USER: Hello\nA:⟦ Ahoy!<|eos|>⟧\n');
  expect(shown.stdout).toContain('A\\x07h!');
  expect(shown.stderr).toMatch(/^train: 2 rows, \d+ tokens, \d+ of them predicted and learned$/m);
  expect((await preview([chat('Hello', 'Ahoy!'), chat('Again', 'Ah!')], '--rows', '1')).stdout).not.toContain('Again');
});

test('what is learned begins where its label does, in a colour on a terminal', async () => {
  const row = { prompt: 'a', completion: 'b' };
  const { stdout } = await preview([row]);
  expect(stdout).toContain('⟦learned⟧, not learned\n');
  expect(stdout).toContain('<|bos|>⟦ab<|eos|>⟧\n');
  const colored: string[] = [];
  const terminal = { isTTY: true, write: (text: string) => colored.push(text) };
  expect((await preview([row], { stdout: terminal })).code).toBe(0);
  expect(colored.join('')).toContain('\u001b[32mlearned\u001b[39m, \u001b[2mnot learned\u001b[22m\n');
  expect(colored.join('')).toContain('\u001b[2m<|bos|>\u001b[22m\u001b[32mab<|eos|>\u001b[39m\n');
});

test('prints a line for each training row, with labels that are not shifted', async () => {
  const { stdout } = await preview([{ prompt: 'a', completion: 'b' }, { input_ids: [5, 6, 7] }], '--json');
  const rows = stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as { input_ids: number[]; labels: number[] });
  expect(rows.map((row) => Object.keys(row))).toEqual([
    ['input_ids', 'labels'],
    ['input_ids', 'labels'],
  ]);
  expect(rows[0]!.labels.filter((label) => label !== -100)).toEqual(rows[0]!.input_ids.slice(-2));
  expect(rows[1]).toEqual({ input_ids: [5, 6, 7], labels: [5, 6, 7] });
});

test('a template without marks is refused where the marks are asked for, and another one offered', async () => {
  const bare = fileURLToPath(new URL('../golden/chat/templates/llama3.jinja', import.meta.url));
  const { code, stderr } = await preview([chat('a', 'b')], '--assistant_only_loss', '--chat_template_path', bare);
  expect(code).toBe(2);
  expect(stderr).toContain('llama3.jinja: has no {% generation %} marks');
  expect(stderr).toContain('Set chat_template_path');
});

test('rows without a label within max_length are left out and counted; none left is an error', async () => {
  const long = { prompt: 'a long prompt that fills the row by itself', completion: 'b' };
  const { code, stdout, stderr } = await preview([long, { prompt: 'a', completion: 'b' }], '--max_length', '6');
  expect(code).toBe(0);
  expect(stdout).toContain('row 1: ');
  expect(stdout).not.toContain('row 2: ');
  expect(stderr).toContain('note: train: 1 row without a label within max_length 6 left out, as TRL leaves them out');
  const none = await preview([long], '--max_length', '6');
  expect([none.code, none.stderr]).toEqual([2, expect.stringContaining('has 1 rows and no token to learn from')]);
});

test('advice on the rows is told, and an error with strict', async () => {
  const rows = [chat('Hello', 'Ahoy!'), chat('Again', 'Ah!')];
  const told = await preview(rows);
  expect(told.stderr).toMatch(
    /^advice: assistant_only_loss: 2 chats of 2 rows are learned from as a whole.*; set it to true, /m,
  );
  const strict = await preview(rows, '--strict');
  expect([strict.code, strict.stderr]).toEqual([
    2,
    expect.stringMatching(/^nibble: assistant_only_loss: .*\(strict\)$/m),
  ]);
  for (const flags of [
    ['--assistant_only_loss'],
    ['--assistant_only_loss', 'false'],
    ['--completion_only_loss', 'false'],
  ])
    expect((await preview(rows, '--strict', ...flags)).code, String(flags)).toBe(0);
  const unmarked = fileURLToPath(new URL('../golden/chat/templates/llama3.jinja', import.meta.url));
  expect((await preview(rows, '--chat_template_path', unmarked)).stderr).toContain(
    'give a chat template with {% generation %}',
  );
});

describe('a message without a text is refused, with its place', () => {
  const answer = { role: 'assistant', content: 'b' };
  const said = (content: unknown) => ({ messages: [{ role: 'user', content }, answer] });
  const template = (name: string) => fileURLToPath(new URL(`../golden/chat/templates/${name}.jinja`, import.meta.url));
  const call = { type: 'function', function: { name: 'f', arguments: {} } };

  test.each([
    [
      { messages: [{ role: 'user' }, answer] },
      'messages[0] has the keys ["role"], needs a "content" (or "tool_calls")',
    ],
    [
      { messages: [answer, { role: 'user', text: 'a' }] },
      'messages[1] has the keys ["role","text"], needs a "content"',
    ],
    [said(null), 'messages[0] has the keys ["role"], needs a "content"'],
    [said(5), 'messages[0].content is 5, needs a text'],
    [said([{ type: 'image', image: 'a.png' }]), 'messages[0].content[0] is {"type":"image","image":"a.png"}, needs'],
    [said(['a']), 'messages[0].content[0] is "a", needs {"type": "text", "text": "..."}'],
    [{ ...said('a'), images: ['a.png'] }, 'has "images", and nibble trains on text alone'],
  ])('%j', async (row, wanted) => {
    const { code, stderr } = await preview([chat('a', 'b'), row]);
    expect([code, stderr]).toEqual([2, expect.stringContaining(`rows.jsonl:2: ${wanted}`)]);
  });

  test('a list of texts, by a template that prints it or leaves it out', async () => {
    const row = said([{ type: 'text', text: 'ahoy' }]);
    for (const name of ['llama3', 'qwen3']) {
      const { code, stderr } = await preview([row], '--chat_template_path', template(name));
      expect([code, stderr], name).toEqual([2, expect.stringContaining('has a content that is a list')]);
    }
  });

  test('calls of tools and an empty text are fine', async () => {
    const calls = {
      messages: [
        { role: 'user', content: '' },
        { role: 'assistant', tool_calls: [call] },
      ],
    };
    const { code, stderr } = await preview([calls, { ...said('a'), images: [] }]);
    expect(code, stderr).toBe(0);
  });
});

describe('a chat template from the directory of another tokenizer', () => {
  /** A copy of the model's tokenizer with a token more, another EOS and a template. */
  function tokenizerWith(added: string, eos_token: string, chat_template: string): string {
    const folder = mkdtempSync(path.join(tmpdir(), 'nibble-tokenizer-'));
    const read = (name: string) => JSON.parse(readFileSync(path.join(TINY, name), 'utf8'));
    const { added_tokens, ...tokenizer } = read('tokenizer.json');
    const more = { ...added_tokens[0], id: 1024, content: added };
    const files = {
      'tokenizer.json': { ...tokenizer, added_tokens: [...added_tokens, more] },
      'tokenizer_config.json': { ...read('tokenizer_config.json'), eos_token, chat_template },
    };
    for (const [name, content] of Object.entries(files))
      writeFileSync(path.join(folder, name), JSON.stringify(content));
    return folder;
  }
  const OWN = '<|eos|>';
  const told = async (eos: string, template: string) => {
    const loop = `{% for m in messages %}${template}{% endfor %}`;
    return preview([chat('a', 'b')], '--chat_template_path', tokenizerWith('<|im_end|>', eos, loop));
  };

  test('is refused where it writes what the vocabulary lacks, or another EOS', async () => {
    for (const [eos, template] of [
      [OWN, '{{ m.content }}<|im_end|>'],
      ['<|im_end|>', '{{ m.content + eos_token }}'],
    ]) {
      const { code, stderr } = await told(eos!, template!);
      expect([code, stderr]).toEqual([
        2,
        expect.stringContaining('writes "<|im_end|>", which the model\'s vocabulary lacks'),
      ]);
    }
    const other = await told('<|bos|>', '{{ m.content + eos_token }}');
    expect([other.code, other.stderr]).toEqual([2, expect.stringContaining('has the EOS "<|bos|>", which TRL makes')]);
  });

  test('is taken where it does not, with a note on an EOS that is not', async () => {
    const { code, stderr } = await told('<|im_end|>', '{{ m.content }}<|eos|>');
    expect([code, stderr]).toEqual([
      0,
      expect.stringMatching(/^note: chat_template_path: TRL makes "<\|im_end\|>" the EOS/m),
    ]);
    const same = await told(OWN, '{{ m.content + eos_token }}');
    expect([same.code, same.stderr.includes('TRL makes')]).toEqual([0, false]);
  });
});

test('max_length: null cuts nothing; rows beyond the positions, and packing, are refused', async () => {
  const words = (count: number) => ({ text: 'sea '.repeat(count) });
  const whole = await preview([words(300), words(2)], '--max_length', 'null');
  expect([whole.code, whole.stderr.includes('cut')]).toEqual([0, false]);
  expect((await preview([words(300)], '--max_length', '100')).stderr).toContain('100 cuts 1 of 1 train row (100 %)');
  const long = await preview([words(900)], '--max_length', 'null');
  expect([long.code, long.stderr]).toEqual([2, expect.stringMatching(/has \d+ tokens, the model 512 positions/)]);
  const packed = await preview([words(2)], '--max_length', 'null', '--packing');
  expect(packed.stderr).toContain('max_length: got null, and packing: true fills rows of that many tokens');
});

test("roles of rows are the template's where an entry says which", async () => {
  const conversations = [
    { from: 'human', value: 'a' },
    { from: 'gpt', value: 'b' },
  ];
  const file = path.join(mkdtempSync(path.join(tmpdir(), 'nibble-roles-')), 'rows.jsonl');
  writeFileSync(file, JSON.stringify({ conversations }));
  const named = JSON.stringify([{ path: file, roles: { user: ['human'], assistant: ['gpt'] } }]);
  const { code, stdout, stderr } = await preview([], '--datasets', named, '--assistant_only_loss');
  expect([code, stdout.includes('USER: a\nA:⟦ b<|eos|>⟧'), stderr.includes('roles human or gpt')], stderr).toEqual([
    0,
    true,
    false,
  ]);
  expect((await preview([{ conversations }])).stderr).toContain('1 row with the roles human or gpt');
});
