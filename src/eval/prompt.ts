/** A prompt as lm-eval has it before it is text: who says what. As plain text, or through a chat template. */

type ChatMessage = { readonly role: 'system' | 'user' | 'assistant'; readonly content: string };

/** A message, and what stands behind it in plain text. */
export type PromptMessage = ChatMessage & { readonly delimiter: string };

/** How prompts are put together, besides what a task says. */
export type PromptForm = {
  /** Stands before a task's description. */
  readonly systemInstruction: string | null;
  /** Whether worked examples are turns of their own in a chat, instead of a part of what the user says. */
  readonly asMultiturn: boolean;
  /**
   * Renders a chat, with the head of an answer behind it or, where it goes on in its last message, up to the end of that one. Null
   * leaves prompts plain.
   */
  readonly render: ((messages: readonly ChatMessage[], where: string, goesOn: boolean) => string) | null;
};

export const PLAIN: PromptForm = { systemInstruction: null, asMultiturn: true, render: null };

const ENDS_IN_SPACE = /\s$/u;
const BEGINS_WITH_SPACE = /^\s/u;

/** Joins two texts by a delimiter where neither has a space there. */
export function delimited(prefix: string, suffix: string, delimiter = ' '): string {
  if (prefix === '' || suffix === '') return prefix + suffix;
  const isApart = ENDS_IN_SPACE.test(prefix) || BEGINS_WITH_SPACE.test(suffix);
  return isApart ? prefix + suffix : prefix + delimiter + suffix;
}

export const endsInSpace = (text: string): boolean => ENDS_IN_SPACE.test(text);

/** A question, and its answer where it has one. */
type Turn = { readonly question: string; readonly prefix: string; readonly answer: string | null };

export function turnMessages(
  { question, prefix, answer }: Turn,
  targetDelimiter: string,
  end: string,
): PromptMessage[] {
  const hasAnswer = answer !== null && answer !== '';
  const isApart = prefix === '' ? hasAnswer : needsDelimiter(question, prefix);
  const user = { role: 'user', content: question, delimiter: isApart ? targetDelimiter : '' } as const;
  if (hasAnswer) return [user, { role: 'assistant', content: delimited(prefix, answer), delimiter: end }];
  return prefix === '' ? [user] : [user, { role: 'assistant', content: prefix, delimiter: '' }];
}

const needsDelimiter = (text: string, prefix: string): boolean =>
  text !== '' && !ENDS_IN_SPACE.test(text) && !BEGINS_WITH_SPACE.test(prefix);

const textOf = (messages: readonly PromptMessage[]): string =>
  messages.map(({ content, delimiter }) => content + delimiter).join('');

/** @param system empty where nothing is said */
export function promptOf(
  system: string,
  messages: readonly PromptMessage[],
  { asMultiturn, render }: PromptForm,
  where: string,
): string {
  if (render === null) return system + textOf(messages);
  const turns = asMultiturn ? messages : asOneTurn(messages);
  const chat = turns.map(({ role, content }) => ({ role, content }));
  const whole = system === '' ? chat : [{ role: 'system' as const, content: system }, ...chat];
  return render(whole, where, whole.at(-1)?.role === 'assistant');
}

/** Everything before what the assistant has begun to say becomes one message of the user. */
function asOneTurn(messages: readonly PromptMessage[]): PromptMessage[] {
  const last = messages.at(-1) as PromptMessage;
  const [said, begun] = last.role === 'assistant' ? [messages.slice(0, -1), [last]] : [messages, []];
  const asked = said.at(-1) as PromptMessage;
  const content = textOf(said.slice(0, -1)) + asked.content;
  return [{ role: 'user', content, delimiter: '' }, ...begun];
}
