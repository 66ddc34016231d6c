/** What is asked of a model where tasks go through a chat template: lm-eval's own requests, by every item. */
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { checkEvalSettings } from '../../src/config/eval.ts';
import { readSplits } from '../../src/eval/documents.ts';
import { type Asked, prepareTask, type Task } from '../../src/eval/task.ts';
import { readTaskFile } from '../../src/eval/task-file.ts';
import { promptForm } from '../../src/node/eval-form.ts';
import { nodeReader } from '../../src/node/files.ts';
import { GOLDEN, TINY, tinyEncoder } from './open.ts';

type Form = {
  readonly template: string | null;
  readonly system_instruction: string | null;
  readonly fewshot_as_multiturn: boolean;
  readonly tasks: Readonly<Record<string, { items: number; first: string[][]; sha256: string }>>;
};
const ROOT = path.join(GOLDEN, '..');
const golden = JSON.parse(readFileSync(path.join(ROOT, 'eval-chat/arguments.json'), 'utf8')) as {
  readonly templates: Readonly<Record<string, string>>;
  readonly forms: readonly Form[];
};
const folder = mkdtempSync(path.join(tmpdir(), 'nibble-eval-chat-'));
const { encoder } = await tinyEncoder();

/** Makes a task ready by a form's settings; notes are told. */
async function taskOf(name: string, form: Form, notes: string[]): Promise<Task> {
  const { template, system_instruction, fewshot_as_multiturn } = form;
  const file = path.join(folder, `${template}.jinja`);
  if (template !== null) writeFileSync(file, golden.templates[template]!);
  const isChat = template !== null;
  const config = { apply_chat_template: isChat, chat_template_path: isChat ? file : null, system_instruction };
  const opened = { folder: TINY, tokenizer: encoder.tokenizer };
  const made = await promptForm({ ...config, fewshot_as_multiturn }, opened, (text) => notes.push(text));
  expect(made.template).toBe(isChat ? golden.templates[template] : null);
  const reader = nodeReader(ROOT);
  const read = await readTaskFile(reader, `${name === 'whale_begun' ? 'eval-chat' : 'eval'}/tasks/${name}.yaml`);
  const splits = await readSplits(read.fields, nodeReader(GOLDEN), async (named) => named);
  return prepareTask(read, splits, { limit: null, numFewshot: null, fewshotSeed: 1234, form: made.form });
}

const argumentsOf = (asked: Asked): string[] => {
  if (asked.kind === 'loglikelihood') return [asked.context, asked.continuation];
  return [asked.kind === 'rolling' ? asked.text : asked.context];
};

describe.each(golden.forms)('$template, system $system_instruction, turns $fewshot_as_multiturn', (form) => {
  test.each(Object.keys(form.tasks))('%s asks what lm-eval asks', async (name) => {
    const want = form.tasks[name]!;
    const notes: string[] = [];
    const { items } = await taskOf(name, form, notes);
    const asked = items.map((item) => item.asked.map(argumentsOf));
    expect(asked[0]).toEqual(want.first);
    expect(asked).toHaveLength(want.items);
    expect(createHash('sha256').update(JSON.stringify(asked)).digest('hex')).toBe(want.sha256);
    // a template that takes no system message is asked without, which is said once
    const raises = form.template === 'strict' && name !== 'sea_passages';
    expect(notes.length).toBe(raises ? 1 : 0);
    if (raises) expect(notes[0]).toMatch(/strict\.jinja takes no system message: tasks are asked without it/);
  });
});

test('forms and tasks are as many as there should be', () => {
  expect(golden.forms.map(({ tasks }) => Object.keys(tasks).length)).toEqual([6, 6, 6, 6]);
});

test('a model without a chat template is refused, and so are settings that say nothing', async () => {
  const config = { apply_chat_template: true, chat_template_path: null, system_instruction: null } as const;
  const opened = { folder: TINY, tokenizer: encoder.tokenizer };
  await expect(promptForm({ ...config, fewshot_as_multiturn: true }, opened, () => undefined)).rejects.toThrow(
    /has no chat template; set chat_template_path/,
  );
  const check = (given: object) => () => checkEvalSettings({ tasks: ['t.yaml'], ...given }, (key) => `--${key}`);
  expect(check({ fewshot_as_multiturn: false })).toThrow(/apply_chat_template is not set/);
  expect(check({ chat_template_path: 'a.jinja' })).toThrow(/chat_template_path/);
  expect(check({ chat_template_path: 'a.jinja', apply_chat_template: true })).not.toThrow();
  expect(check({ tasks: [], texts: ['a.txt'], system_instruction: 'Be brief.' })).toThrow(/there are none; give tasks/);
});
