/** Where the chat templates of a run come from: the model's directory, or what chat_template_path names. */
import { show } from '../config/show.ts';
import { ConfigError, DataError } from '../errors.ts';
import { isObject, type JsonObject, readObject } from '../formats/json.ts';
import { type FileReader, place } from '../formats/reader.ts';

export const CHAT_TEMPLATE_FILE = 'chat_template.jinja';
export const CHAT_TEMPLATE_FOLDER = 'additional_chat_templates';
const TOKENIZER_CONFIG_FILE = 'tokenizer_config.json';
/** Names of files that TRL reads as a template. */
export const JINJA_FILE = /\.(jinja|j2)$/;

/** Names of templates that transformers knows: the one that is taken, and the one for rows that have tools. */
export const DEFAULT = 'default';
export const TOOL_USE = 'tool_use';

export type ChatSource = {
  /** Templates by name; one alone is `default`. */
  readonly templates: ReadonlyMap<string, string>;
  /** The file that the first of them stands in, for messages. */
  readonly place: string;
  /** What strftime_now tells in every row. */
  readonly now: Date;
};

/**
 * Reads the templates of a tokenizer's directory as transformers 5.24 does: chat_template.jinja and additional_chat_templates/*.jinja
 * before the `chat_template` of tokenizer_config.json, a text or a list of names and texts. @returns null where there is none
 */
export async function readChatTemplates(reader: FileReader, now = new Date()): Promise<ChatSource | null> {
  const templates = new Map<string, string>();
  if (await reader.exists(CHAT_TEMPLATE_FILE)) templates.set(DEFAULT, await reader.readText(CHAT_TEMPLATE_FILE));
  for (const file of await reader.list(CHAT_TEMPLATE_FOLDER))
    if (file.endsWith('.jinja'))
      templates.set(file.slice(0, -'.jinja'.length), await reader.readText(`${CHAT_TEMPLATE_FOLDER}/${file}`));
  if (templates.size > 0) {
    const first = templates.has(DEFAULT) ? CHAT_TEMPLATE_FILE : CHAT_TEMPLATE_FOLDER;
    return { templates, place: place(reader, first), now };
  }
  if (!(await reader.exists(TOKENIZER_CONFIG_FILE))) return null;
  const file = place(reader, TOKENIZER_CONFIG_FILE);
  const named = namedTemplates((await readObject(reader, TOKENIZER_CONFIG_FILE)).chat_template, file);
  return named === null ? null : { templates: named, place: file, now };
}

function namedTemplates(value: unknown, file: string): Map<string, string> | null {
  if (value === undefined || value === null) return null;
  if (typeof value === 'string') return new Map([[DEFAULT, value]]);
  const isNamed = (entry: unknown): entry is JsonObject & { name: string; template: string } =>
    isObject(entry) && typeof entry.name === 'string' && typeof entry.template === 'string';
  if (Array.isArray(value) && value.length > 0 && value.every(isNamed))
    return new Map(value.map(({ name, template }) => [name, template]));
  throw new DataError(file, `chat_template is ${show(value)}, needs a template, or a list of {"name", "template"}.`);
}

/** A run's own templates as files of a tokenizer's directory, by name: what `readChatTemplates` reads again. */
export function templateFiles({ templates }: ChatSource): Map<string, string> {
  const file = (name: string): string =>
    name === DEFAULT ? CHAT_TEMPLATE_FILE : `${CHAT_TEMPLATE_FOLDER}/${name}.jinja`;
  return new Map([...templates].map(([name, text]) => [file(name), text]));
}

/**
 * The templates that a run takes. `chat_template_path` is a Jinja file (.jinja, .j2) or a tokenizer's directory, as in TRL.
 * @throws ConfigError where it is neither, or the directory has no template; DataError
 */
export async function openChatSource(
  model: FileReader,
  chatTemplatePath: string | null,
  readerOf: (directory: string) => FileReader,
): Promise<ChatSource | null> {
  if (chatTemplatePath === null) return readChatTemplates(model);
  if (JINJA_FILE.test(chatTemplatePath)) {
    const text = await readerOf('.').readText(chatTemplatePath);
    return { templates: new Map([[DEFAULT, text]]), place: chatTemplatePath, now: new Date() };
  }
  const found = await readChatTemplates(readerOf(chatTemplatePath));
  if (found !== null) return found;
  throw new ConfigError([
    {
      path: 'chat_template_path',
      message: `${chatTemplatePath} has no chat template; wanted a .jinja file, or the directory of a tokenizer that has ${CHAT_TEMPLATE_FILE} or a chat_template in ${TOKENIZER_CONFIG_FILE}`,
    },
  ]);
}
