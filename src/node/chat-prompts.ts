/** Prompts that are chats: their tokens, by the chat template of their adapter or of the model. */
import type { GenerateConfig } from '../config/generate.ts';
import { type ChatSource, openChatSource, readChatTemplates } from '../data/chat-source.ts';
import { ConfigError, DataError } from '../errors.ts';
import type { JsonObject } from '../formats/json.ts';
import type { FileReader } from '../formats/reader.ts';
import type { TextTokenizer } from '../formats/tokenizer.ts';
import { atPrompt, isTokenIds, type NamedFolder, type Prompt } from './prompts.ts';

export type ChatJob = {
  readonly model: string;
  readonly adapters: readonly NamedFolder[];
  readonly prompts: readonly Prompt[];
  readonly config: Pick<GenerateConfig, 'chat' | 'chat_template_path'>;
};

/**
 * Tokenizes prompts of messages and, with `chat`, texts as what a user says. chat_template_path decides on the template, else the folder
 * of the prompt's adapter where it has one, else the model's. @returns tokens by the number of the prompt @throws ConfigError, DataError
 */
export async function chatPrompts(
  { prompts, adapters, model, config }: ChatJob,
  tokenizer: TextTokenizer | null,
  readerOf: (directory: string) => FileReader,
): Promise<ReadonlyMap<number, readonly number[]>> {
  const made = new Map<number, readonly number[]>();
  const chats = prompts.flatMap((prompt, number) => {
    const record = recordOf(prompt, config.chat);
    return record === null ? [] : [{ prompt, number, record }];
  });
  if (chats.length === 0 && config.chat_template_path !== null)
    throw new ConfigError([
      { path: 'chat_template_path', message: 'no prompt is a chat; set chat, or give "messages"' },
    ]);
  // without a tokenizer every text is refused where prompts become requests
  if (chats.length === 0 || tokenizer === null) return made;
  const { chatPromptIds } = await import('../data/chat/chat-row.ts');
  const base = await openChatSource(readerOf(model), config.chat_template_path, readerOf);
  const own = new Map<string, ChatSource | null>();
  if (config.chat_template_path === null)
    for (const { name, directory } of adapters) own.set(name, await readChatTemplates(readerOf(directory)));
  for (const { prompt, number, record } of chats) {
    const adapter = prompt.adapter === undefined ? adapters[0]?.name : prompt.adapter;
    const chat = own.get(adapter ?? '') ?? base;
    made.set(
      number,
      atPrompt(prompt.where, () => chatPromptIds(record, prompt.where, { tokenizer, chat })),
    );
  }
  return made;
}

/** What the template is given for a prompt; null for one that is no chat. @throws DataError where it then has what only a template reads */
function recordOf({ prompt, where, tools, chat_template_kwargs }: Prompt, isChat: boolean): JsonObject | null {
  const more = { tools, chat_template_kwargs };
  if (typeof prompt === 'string' && isChat) return { messages: [{ role: 'user', content: prompt }], ...more };
  if (typeof prompt !== 'string' && !isTokenIds(prompt)) return { messages: prompt, ...more };
  if ((tools ?? chat_template_kwargs ?? null) === null) return null;
  throw new DataError(where, 'has tools or chat_template_kwargs, which only chats take. Give "messages", or set chat.');
}
