/** Chats as training rows: messages alone, or a prompt of messages and its completion. As SFTTrainer of trl 1.16 has them. */
import { show } from '../../config/show.ts';
import { DataError } from '../../errors.ts';
import { isObject, type JsonObject } from '../../formats/json.ts';
import { withinTime } from '../../formats/time-limit.ts';
import type { TextTokenizer } from '../../formats/tokenizer.ts';
import { type ChatSource, DEFAULT, TOOL_USE } from '../chat-source.ts';
import type { MadeRow, RowKind, RowNote } from '../example.ts';
import { afterPrompt, labelled, type TokenizedOptions } from '../text-rows.ts';
import { maskedLabels } from '../tokenized-row.ts';
import { hasForeignRoles, isListMisread, messagesOf, toolsOf } from './messages.ts';
import { type ChatTemplate, compileTemplate, templateFault } from './render.ts';

/** @throws DataError for messages that are none, a template that raises, or no template at all */
export function chatRow(kind: RowKind, record: JsonObject, where: string, options: TokenizedOptions): MadeRow {
  const chat = new Chat(record, where, options);
  if (kind === 'prompt-completion') return promptCompletion(chat, record, where, options);
  const key = kind === 'conversations' ? 'conversations' : 'messages';
  const messages = messagesOf(record[key], key, where, options.roles);
  const { ids, assistantMask } = chat.tokens(messages, false, options.assistantOnlyLoss === true);
  const inputIds = Uint32Array.from(ids);
  return {
    row: { inputIds, labels: assistantMask === null ? null : maskedLabels(inputIds, [assistantMask]) },
    notes: [...roleNote(messages), ...(assistantMask === null ? [wholeNote(chat, options)] : [])],
  };
}

function wholeNote({ marksGeneration }: Chat, { completionOnlyLoss = null }: TokenizedOptions): RowNote {
  if (completionOnlyLoss === true) return 'noCompletion';
  return marksGeneration ? 'markedChat' : 'unmarkedChat';
}

/** The prompt is rendered with the head of an answer behind it, and the whole without: the completion is what is left. */
function promptCompletion(chat: Chat, record: JsonObject, where: string, options: TokenizedOptions): MadeRow {
  const { assistantOnlyLoss = false, completionOnlyLoss = null } = options;
  const prompt = messagesOf(record.prompt, 'prompt', where, options.roles);
  const whole = [...prompt, ...messagesOf(record.completion, 'completion', where, options.roles)];
  const { ids: promptIds } = chat.tokens(prompt, true, false);
  const { ids, assistantMask } = chat.tokens(whole, false, assistantOnlyLoss);
  const made = afterPrompt(promptIds, ids);
  const masks = [
    ...(completionOnlyLoss === false ? [] : [made.completionMask]),
    ...(assistantMask === null ? [] : [assistantMask]),
  ];
  return labelled(made, masks, roleNote(whole));
}

/**
 * Tokens of the messages of a record with the head of an answer behind them, as generation takes them.
 * @throws DataError where the last message is the assistant's, and as chatRow does
 */
export function chatPromptIds(record: JsonObject, where: string, options: TokenizedOptions): readonly number[] {
  const messages = messagesOf(record.messages, 'messages', where);
  if (messages.at(-1)?.role === 'assistant')
    throw new DataError(where, 'ends with a message of the assistant, and an answer is to follow. Leave that one out.');
  return new Chat(record, where, options).tokens(messages, true, false).ids;
}

/** Behind a message that goes on, so that its end is found in the rendered text; as transformers 5.24 does it. */
const GOES_ON = 'CONTINUE_FINAL_MESSAGE_TAG ';

/**
 * Text of the messages of a record with the head of an answer behind them or, where the last message goes on, up to its end.
 * @throws DataError as chatRow does, and where the template leaves the last message out
 */
export function chatPromptText(record: JsonObject, where: string, options: TokenizedOptions, goesOn: boolean): string {
  const messages = messagesOf(record.messages, 'messages', where);
  const chat = new Chat(record, where, options);
  if (!goesOn) return chat.text(messages, true);
  const last = messages.at(-1) as JsonObject;
  const text = chat.text([...messages.slice(0, -1), { ...last, content: `${last.content}${GOES_ON}` }], false);
  const end = text.lastIndexOf(GOES_ON.trim());
  if (end < 0) throw new DataError(where, 'begins an answer that the chat template leaves out. Leave gen_prefix out.');
  return text.startsWith(GOES_ON, end) ? text.slice(0, end) : text.slice(0, end).trimEnd();
}

const roleNote = (messages: readonly JsonObject[]): RowNote[] => (hasForeignRoles(messages) ? ['foreignRoles'] : []);

/** One row's template, with what it is rendered with beside the messages. */
class Chat {
  readonly #where: string;
  readonly #source: ChatSource;
  readonly #template: ChatTemplate;
  readonly #tokenizer: TextTokenizer;
  readonly #variables: Readonly<Record<string, unknown>>;

  constructor(record: JsonObject, where: string, { chat = null, tokenizer }: TokenizedOptions) {
    if (chat === null)
      throw new DataError(
        where,
        'is a conversation, and the model directory has no chat template. Set chat_template_path to a .jinja file, or to the directory of a tokenizer that has one.',
      );
    const tools = toolsOf(record.tools, where);
    const more = record.chat_template_kwargs ?? {};
    if (!isObject(more))
      throw new DataError(where, `chat_template_kwargs is ${show(more)}, needs an object of variables.`);
    this.#where = where;
    this.#source = chat;
    this.#tokenizer = tokenizer;
    this.#template = templateOf(chat, tools !== null);
    this.#variables = { ...tokensOf(tokenizer), tools, documents: null, ...more };
  }

  /** Whether the template tells what the assistant says. */
  get marksGeneration(): boolean {
    return this.#template.marksGeneration;
  }

  text(messages: readonly JsonObject[], add_generation_prompt: boolean): string {
    return this.#rendered({ ...this.#variables, messages, add_generation_prompt }, false).text;
  }

  /** Tokens of the rendered messages, and which of them the assistant says. */
  tokens(
    messages: readonly JsonObject[],
    add_generation_prompt: boolean,
    masked: boolean,
  ): { readonly ids: readonly number[]; readonly assistantMask: Uint8Array | null } {
    if (masked && !this.#template.marksGeneration) throw this.#withoutMarks();
    const { text, spans } = this.#rendered({ ...this.#variables, messages, add_generation_prompt }, masked);
    if (isListMisread(text, messages))
      throw new DataError(
        this.#where,
        `has a content that is a list, which the chat template takes for a text: ${this.#source.place}. Give each content as one text, or another template.`,
      );
    if (!masked) return { ids: this.#tokenizer.encode(text, { addSpecialTokens: false }), assistantMask: null };
    const { ids, starts, ends } = this.#tokenizer.encodeWithOffsets(text);
    const assistantMask = maskOf(starts, ends, spans);
    if (assistantMask.includes(1)) return { ids, assistantMask };
    throw new DataError(
      this.#where,
      'has no token that an assistant says, and assistant_only_loss: true learns from those alone. Leave the row out, or mend its template.',
    );
  }

  #rendered(variables: Readonly<Record<string, unknown>>, masked: boolean) {
    try {
      return withinTime(
        LIMIT_MS,
        () => this.#template.render(variables, masked),
        () => new Error(`it takes more than ${LIMIT_MS / 1000} s: a loop in it may never end`),
      );
    } catch (cause) {
      throw new DataError(
        this.#where,
        `${templateFault(cause)}: ${this.#source.place}. Mend the row, or the template.`,
        {
          cause,
        },
      );
    }
  }

  #withoutMarks(): DataError {
    return new DataError(
      this.#source.place,
      'has no {% generation %} marks, and assistant_only_loss: true goes by them. Set chat_template_path to a template that has them ' +
        '(TRL comes with one for many models, NAME_training.jinja in trl/chat_templates), or leave the setting out.',
    );
  }
}

/** Special tokens under their names. Where there is no pad_token, TRL takes the EOS for it. */
function tokensOf({ specialTokens }: TextTokenizer): Record<string, string> {
  const eos = specialTokens.get('eos_token');
  return { ...(eos === undefined ? {} : { pad_token: eos }), ...Object.fromEntries(specialTokens) };
}

/** Marks every token that overlaps a span. Source: apply_chat_template of transformers 5.24. */
function maskOf(
  starts: readonly number[],
  ends: readonly number[],
  spans: readonly (readonly [number, number])[],
): Uint8Array {
  const mask = new Uint8Array(starts.length);
  let span = 0;
  for (let i = 0; i < starts.length; i++) {
    while (span < spans.length && starts[i]! >= spans[span]![1]) span++;
    if (span === spans.length) break;
    if (ends[i]! > spans[span]![0]) mask[i] = 1;
  }
  return mask;
}

/** Time for one row; templates in use take milliseconds. */
const LIMIT_MS = 10_000;

const compiled = new WeakMap<ChatSource, Map<string, ChatTemplate>>();

/** The template for a row; compiled once. @throws DataError where it does not parse, or no name fits */
function templateOf(source: ChatSource, hasTools: boolean): ChatTemplate {
  const name = hasTools && source.templates.has(TOOL_USE) ? TOOL_USE : DEFAULT;
  const known = compiled.get(source) ?? new Map<string, ChatTemplate>();
  compiled.set(source, known);
  const found = known.get(name);
  if (found !== undefined) return found;
  const text = source.templates.get(name);
  if (text === undefined)
    throw new DataError(
      source.place,
      `has the templates ${[...source.templates.keys()].map(show).join(', ')} and none called "default". Set chat_template_path to the file of one.`,
    );
  const template = compile(text, source);
  known.set(name, template);
  return template;
}

function compile(text: string, { place, now }: ChatSource): ChatTemplate {
  try {
    return compileTemplate(text, now);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new DataError(
      place,
      `is a chat template that cannot be read (${reason}). Mend it, or set chat_template_path.`,
      {
        cause,
      },
    );
  }
}
