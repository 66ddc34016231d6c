/** What a training row is made with, and what is said of it. */
import type { TextTokenizer } from '../formats/tokenizer.ts';
import type { ChatSource } from './chat-source.ts';
import type { Row } from './row.ts';

/** Roles of a chat template, and what rows call each. */
export type Roles = Readonly<Record<string, readonly string[]>>;

export type ExampleOptions = {
  /** Needed for all rows but tokenized ones. */
  readonly tokenizer: TextTokenizer | null;
  /** Ends text and text completions with the tokenizer's EOS, unless they end with it as text; no EOS, none added. As TRL does. */
  readonly appendEos?: boolean;
  /** Chat templates; absent, or null, where the model has none. */
  readonly chat?: ChatSource | null;
  /** The column of plain text. "text" by default. */
  readonly textField?: string;
  /** Whether only completions are learned from; null, the default, is yes for rows that have a prompt and a completion. */
  readonly completionOnlyLoss?: boolean | null;
  /** Whether only what {% generation %} blocks of the template write is learned from. */
  readonly assistantOnlyLoss?: boolean;
  readonly roles?: Roles | undefined;
};

/** What is worth a word of a row. */
export type RowNote =
  /** It was text that lacks the EOS which appendEos asks for: the tokenizer names none. */
  | 'lacksEos'
  /** It was text that itself has the BOS or EOS which the tokenizer adds, so that there are two. */
  | 'doubled'
  /** Its prompt alone is not how prompt and completion together begin: the completion starts where they part. */
  | 'promptParts'
  /** It is a chat, and completion_only_loss: true asks for what only a prompt and a completion tell apart. */
  | 'noCompletion'
  /** It is a chat of which all is learned, whose template marks what the assistant says, or does not. */
  | 'markedChat'
  | 'unmarkedChat'
  /** Its roles are human and gpt, which the template gets as they are. */
  | 'foreignRoles';

/** How the columns of a row are read. */
export type RowKind = 'tokenized' | 'prompt-completion' | 'messages' | 'conversations' | 'text' | 'alpaca';

/** A training row, and what there is to say of it. */
export type MadeRow = { readonly row: Row; readonly notes: readonly RowNote[] };
