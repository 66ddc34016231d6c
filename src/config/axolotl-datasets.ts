/** Entries of `datasets` as Axolotl writes them: read as ours where that gives the same rows, refused where it does not. */
import type { ConfigProblem } from '../errors.ts';
import type { Notice } from './notice.ts';
import { show } from './show.ts';

/** Axolotl's names for roles, where an entry of type chat_template names none: its own to the template's. */
const ROLES = { user: ['human', 'user'], assistant: ['gpt', 'assistant'], system: ['system'], tool: ['tool'] };
const MESSAGE_FIELDS: readonly Readonly<Record<string, string>>[] = [
  { role: 'role', content: 'content' },
  { role: 'from', content: 'value' },
];

/** Keys of an entry that choose nothing here, by what may stand there; null may, always. */
const WITHOUT_EFFECT: Readonly<Record<string, (value: unknown) => boolean>> = {
  // the content of a file says what it is
  ds_type: () => true,
  chat_template: (value) => value === 'tokenizer_default',
  roles_to_train: (value) => show(value) === show(['assistant']) || show(value) === show(['gpt']),
  train_on_eos: (value) => value === 'turn',
  field_tools: (value) => value === 'tools',
  field_thinking: (value) => value === 'reasoning_content',
  drop_system_message: (value) => value === false,
  trust_remote_code: (value) => value === false,
};
/** Keys that say how an entry of each type is read. */
const READ = ['path', 'type', 'split', 'name', 'revision', 'data_files'];
const MESSAGE_KEYS = ['message_field_role', 'message_field_content', 'message_property_mappings'];
const READ_OF = { chat: ['roles', 'field_messages', ...MESSAGE_KEYS], completion: ['field'] };

type Entry = Readonly<Record<string, unknown>>;
type Read = { readonly value: unknown; readonly problems: ConfigProblem[]; readonly notices: Notice[] };

const isEntry = (value: unknown): value is Entry =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const isOurs = (entry: Entry): boolean => entry.type !== 'chat_template' && entry.type !== 'completion';

/** Whether any entry is a chat that goes by a template, of which Axolotl learns what the assistant says. */
export function hasChatTemplate(datasets: unknown): boolean {
  return Array.isArray(datasets) && datasets.some((entry) => isEntry(entry) && entry.type === 'chat_template');
}

/** Reads the entries of types chat_template and completion; all others stay as they are. @param place where an entry stands */
export function axolotlDatasets(given: unknown, path: string, place: (inner: PropertyKey[]) => string): Read {
  const problems: ConfigProblem[] = [];
  const notices: Notice[] = [];
  if (!Array.isArray(given)) return { value: given, problems, notices };
  const value = given.flatMap((entry: unknown, i) => {
    if (!isEntry(entry) || isOurs(entry)) return [entry];
    const at = (key: string): string => `${path}[${i}].${key}`;
    const refuse = (key: string, wanted: string): void => {
      problems.push({ path: at(key), message: `got ${show(entry[key])}, wanted ${wanted} (${place([i, key])})` });
    };
    const isChat = entry.type === 'chat_template';
    for (const [key, held] of Object.entries(entry)) {
      if (held === null || READ.includes(key) || READ_OF[isChat ? 'chat' : 'completion'].includes(key)) continue;
      const takes = WITHOUT_EFFECT[key];
      if (takes === undefined) refuse(key, 'it left out: nibble does not follow it');
      else if (!takes(held)) refuse(key, `it left out: nibble has another way (docs/data.md)`);
    }
    if (Array.isArray(entry.data_files) && entry.data_files.length === 0) refuse('data_files', 'at least one file');
    notices.push({
      path: at('type'),
      message: `${show(entry.type)}: ${isChat ? CHAT : COMPLETION} (${place([i, 'type'])})`,
      isFollowed: isChat,
    });
    const read = isChat ? chatOf(entry, refuse) : completionOf(entry, refuse);
    return placesOf(entry).map((place) => ({ ...read, ...place }));
  });
  return { value, problems, notices };
}

const CHAT =
  "read as chats of which the assistant's part is learned, by the {% generation %} marks of the chat template, where Axolotl compares what it renders";
const COMPLETION = 'read as text; rows longer than max_length are cut, where Axolotl splits them';

type Refuse = (key: string, wanted: string) => void;

function chatOf(entry: Entry, refuse: Refuse): Entry {
  const { field_messages: field = 'messages', roles = ROLES } = withoutNulls(entry);
  const isKnown = field === 'messages' || field === 'conversations';
  if (!isKnown) refuse('field_messages', '"messages" or "conversations": rename the column');
  const {
    message_field_role: role,
    message_field_content: content,
    message_property_mappings: mappings,
  } = withoutNulls(entry);
  const named = isEntry(mappings) ? mappings : { role: role ?? 'role', content: content ?? 'content' };
  if (
    !MESSAGE_FIELDS.some((fields) => fields.role === named.role && fields.content === named.content) ||
    Object.keys(named).length > 2
  )
    refuse(
      MESSAGE_KEYS.find((key) => entry[key] != null) ?? 'type',
      'role and content, or from and value: rename the keys',
    );
  return { type: isKnown ? field : 'messages', roles };
}

function completionOf(entry: Entry, refuse: Refuse): Entry {
  if (entry.field != null && entry.field !== 'text')
    refuse('field', '"text": name the column in dataset_text_field instead');
  return {};
}

/** Types of files that may stand for a path, whose files data_files then names. */
const LOADERS: readonly unknown[] = ['json', 'csv', 'parquet', 'text', 'arrow'];

/** Where the rows of an entry lie; with `path: json` each of data_files by itself. */
function placesOf(entry: Entry): Entry[] {
  const { path, data_files: files, split, name, revision } = withoutNulls(entry);
  const place = withoutUnset({ split, name, revision });
  // an empty list is refused above
  if (Array.isArray(files) && files.length === 0) return [{ ...place, path }];
  if (files === undefined || !LOADERS.includes(path))
    return [{ ...place, ...withoutUnset({ path, data_files: files }) }];
  return (Array.isArray(files) ? files : [files]).map((file) => ({ ...place, path: file }));
}

const withoutUnset = (entry: Entry): Entry =>
  Object.fromEntries(Object.entries(entry).filter(([, value]) => value !== undefined));
const withoutNulls = (entry: Entry): Entry =>
  Object.fromEntries(Object.entries(entry).filter(([, value]) => value !== null));
