/** How prompts of tasks are put together: as plain text or, with apply_chat_template, as chats in the model's template. */
import type { EvalConfig } from '../config/eval.ts';
import { DEFAULT, openChatSource } from '../data/chat-source.ts';
import { ConfigError, DataError } from '../errors.ts';
import type { PromptForm } from '../eval/prompt.ts';
import type { TextTokenizer } from '../formats/tokenizer.ts';
import { nodeReader } from './files.ts';

type Asked = Pick<
  EvalConfig,
  'apply_chat_template' | 'chat_template_path' | 'system_instruction' | 'fewshot_as_multiturn'
>;
type Opened = { readonly folder: string; readonly tokenizer: TextTokenizer };
export type FoundForm = {
  readonly form: PromptForm /** Text of the template; null without. */;
  readonly template: string | null;
};

/** @param note is told once where a template takes no system message @throws ConfigError, DataError */
export async function promptForm(
  { apply_chat_template: isChat, chat_template_path, system_instruction, fewshot_as_multiturn }: Asked,
  { folder, tokenizer }: Opened,
  note: (text: string) => void,
): Promise<FoundForm> {
  const common = { systemInstruction: system_instruction, asMultiturn: fewshot_as_multiturn };
  if (!isChat) return { form: { ...common, render: null }, template: null };
  const chat = await openChatSource(nodeReader(folder), chat_template_path, nodeReader);
  if (chat === null)
    throw new ConfigError([
      {
        path: 'apply_chat_template',
        message: `${folder} has no chat template; set chat_template_path to a .jinja file or to the directory of a tokenizer that has one, or leave the setting out`,
      },
    ]);
  const { chatPromptText } = await import('../data/chat/chat-row.ts');
  let isTold = false;
  const render: PromptForm['render'] = (messages, where, goesOn) => {
    const text = (given: typeof messages): string =>
      chatPromptText({ messages: given.map((message) => ({ ...message })) }, where, { tokenizer, chat }, goesOn);
    try {
      return text(messages);
    } catch (error) {
      // as lm-eval does where a template raises
      if (!(error instanceof DataError) || messages[0]?.role !== 'system') throw error;
      const without = text(messages.slice(1));
      if (!isTold) note(`${chat.place} takes no system message: tasks are asked without it, as lm-eval asks them`);
      isTold = true;
      return without;
    }
  };
  return { form: { ...common, render }, template: chat.templates.get(DEFAULT) ?? null };
}
