/** Prompts of chats: which template they take, what they become, and what is refused. */
import { expect, test } from 'vitest';
import { checkGenerateSettings } from '../../src/config/generate.ts';
import { openTokenizer } from '../../src/formats/tokenizer.ts';
import { chatPrompts } from '../../src/node/chat-prompts.ts';
import { nodeReader } from '../../src/node/files.ts';
import type { Prompt } from '../../src/node/prompts.ts';
import { directory } from '../e2e/nibble.ts';

const TINY = new URL('../../bench/models/tiny', import.meta.url).pathname;
const tokenizer = await openTokenizer(nodeReader(TINY), 1024);
const template = (name: string) =>
  `{{ bos_token }}${name}{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}{{ mood }}{% if tools %}T{{ tools | length }}{% endif %}` +
  '{% if add_generation_prompt %}[assistant]{% endif %}';
const model = directory({ 'chat_template.jinja': template('model') });
const withOwn = directory({ 'chat_template.jinja': template('own') });
const without = directory();
const adapters = [
  { name: 'own', directory: withOwn },
  { name: 'plain', directory: without },
];

const texts = async (prompts: readonly Omit<Prompt, 'where'>[], given: object = {}) => {
  const config = checkGenerateSettings({ ...given }, () => 'options');
  const job = { model, modelName: 'model', adapters, prompts: prompts.map((p) => ({ ...p, where: 'here' })), config };
  const made = await chatPrompts(job, tokenizer, nodeReader);
  return [...made].map(([number, ids]) => [number, tokenizer.decode(ids)]);
};
const messages = [
  { role: 'system', content: 'Be kind.' },
  { role: 'user', content: 'Hi' },
];

test('messages go through the template of their adapter, else the model, and an answer is begun', async () => {
  const prompts = [
    { prompt: 'Hi' },
    { prompt: messages },
    { prompt: messages, adapter: 'plain' },
    { prompt: messages, adapter: null, tools: [{ name: 'f' }], chat_template_kwargs: { mood: '!' } },
    { prompt: [3, 4] },
  ];
  const said = '[system]Be kind.[user]Hi';
  const chats = [
    [1, `<|bos|>own${said}[assistant]`],
    [2, `<|bos|>model${said}[assistant]`],
    [3, `<|bos|>model${said}!T1[assistant]`],
  ];
  expect(await texts(prompts)).toEqual(chats);
  expect(await texts(prompts, { chat: true })).toEqual([[0, '<|bos|>own[user]Hi[assistant]'], ...chats]);
  const path = directory({ 'my.jinja': 'mine' });
  expect(await texts([{ prompt: messages }], { chat_template_path: `${path}/my.jinja` })).toEqual([[0, 'mine']]);
});

test('what no chat has, or no answer follows, is refused', async () => {
  const refused = (prompt: Omit<Prompt, 'where'>, given?: object) =>
    texts([prompt], given).then(
      () => 'taken',
      (error: Error) => error.message,
    );
  const answered = [...messages, { role: 'assistant', content: 'Yes?' }];
  expect(await refused({ prompt: answered })).toMatch(/^here: .*message of the assistant.*Leave that one out/);
  expect(await refused({ prompt: [{ content: 'Hi' }] })).toMatch(/^here: messages\[0\].*"role"/);
  expect(await refused({ prompt: 'Hi', tools: [] })).toMatch(/^here: has tools.*only chats/);
  expect(await refused({ prompt: 'Hi' }, { chat_template_path: 'a.jinja' })).toMatch(/no prompt is a chat; set chat/);
  const nowhere = { name: 'own', directory: without };
  const job = {
    model: without,
    modelName: 'model',
    adapters: [nowhere],
    prompts: [{ prompt: messages, where: 'row 1' }],
  };
  const config = checkGenerateSettings({}, () => 'options');
  await expect(chatPrompts({ ...job, config }, tokenizer, nodeReader)).rejects.toThrow(/row 1: .*no chat template/);
});
