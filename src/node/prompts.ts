/** Prompts from the command line, a file or standard input. */
import path from 'node:path';
import { show } from '../config/show.ts';
import { readLines } from '../data/lines.ts';
import { readRecords, requireTextFile } from '../data/records.ts';
import { DataError } from '../errors.ts';
import { isObject, type JsonObject } from '../formats/json.ts';
import { type FileReader, place } from '../formats/reader.ts';

/** An adapter by the name that prompts have for it. */
export type NamedFolder = { readonly name: string; readonly directory: string };

/** Reads DIR or DIR=NAME; an adapter is called as its folder where it has no name. */
export function namedFolder(text: string): NamedFolder {
  const at = text.lastIndexOf('=');
  const directory = at < 0 ? text : text.slice(0, at);
  const name = at < 0 ? path.basename(path.resolve(text)) : text.slice(at + 1);
  return { directory, name };
}

/** What a text is generated after: a text, token ids as they are, or the messages of a chat. */
export type PromptInput = string | readonly number[] | readonly JsonObject[];

export type Prompt = {
  readonly prompt: PromptInput;
  /** What a chat template gets beside the messages: JSON schemas, and further variables. */
  readonly tools?: unknown;
  readonly chat_template_kwargs?: unknown;
  /** Name of its adapter; null for the base, undefined for the caller's choice. */
  readonly adapter?: string | null | undefined;
  /** Where it stands, for messages. */
  readonly where: string;
};

/** Keys of which a prompt has one. */
const KINDS = ['prompt', 'messages', 'input_ids'];
const KEYS = [...KINDS, 'tools', 'chat_template_kwargs', 'adapter'];

/**
 * Reads a file of prompts: a .jsonl file holds {"prompt": ...}, {"messages": [...]} or {"input_ids": [...]} and maybe "adapter" on each
 * line, any other a prompt on each line. Blank lines are passed over. @throws DataError
 */
export async function readPrompts(reader: FileReader, path: string): Promise<Prompt[]> {
  const isJson = /\.jsonl?$/i.test(path);
  const prompts: Prompt[] = [];
  if (isJson) for await (const { json, where } of readRecords(reader, path)) prompts.push(promptOf(json, where));
  else {
    await requireTextFile(reader, path);
    for await (const { text, number } of readLines(reader, path))
      if (text.trim() !== '') prompts.push({ prompt: text, where: `${place(reader, path)}:${number}` });
  }
  if (prompts.length === 0) throw new DataError(place(reader, path), 'holds no prompt. Give one on each line.');
  return prompts;
}

function promptOf(json: JsonObject, where: string): Prompt {
  const fail = (detail: string): never => {
    throw new DataError(where, detail);
  };
  const unknown = Object.keys(json).filter((key) => !KEYS.includes(key));
  if (unknown.length > 0)
    fail(`has ${unknown.map(show).join(', ')}, which no prompt has; the keys are ${KEYS.join(', ')}.`);
  const { prompt, messages, input_ids: ids, adapter, tools, chat_template_kwargs } = json;
  if (adapter !== undefined && adapter !== null && typeof adapter !== 'string')
    fail(`adapter is ${show(adapter)}, needs the name of one, or null for the base.`);
  if (KINDS.filter((key) => json[key] !== undefined).length !== 1)
    fail('needs one of "prompt", "messages" and "input_ids".');
  if (prompt !== undefined && typeof prompt !== 'string') fail(`prompt is ${show(prompt)}, needs a text.`);
  if (ids !== undefined && !isTokenIds(ids)) fail(`input_ids is ${show(ids)}, needs a list of token ids.`);
  if (messages !== undefined && (!Array.isArray(messages) || messages.length === 0 || !messages.every(isObject)))
    fail(`messages is ${show(messages)}, needs a list such as [{"role": "user", "content": "..."}].`);
  return {
    prompt: (prompt ?? messages ?? ids) as PromptInput,
    tools,
    chat_template_kwargs,
    adapter: adapter as string | null | undefined,
    where,
  };
}

/** Whether a value is a list of token ids. */
export function isTokenIds(value: unknown): value is readonly number[] {
  return Array.isArray(value) && value.every((id) => Number.isSafeInteger(id) && id >= 0);
}

/** Makes tokens of a prompt; what fails in the tokenizer or in a template is said of the prompt that it fails on. @throws DataError */
export function atPrompt<T>(where: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof DataError) || error.file === where) throw error;
    throw new DataError(where, error.message, { cause: error });
  }
}
