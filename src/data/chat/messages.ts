/** Messages of a chat, as a template gets them. */
import { show } from '../../config/show.ts';
import { DataError } from '../../errors.ts';
import { isObject, type JsonObject, parseSpelled } from '../../formats/json.ts';
import type { Roles } from '../example.ts';

/** Names of what an assistant thought; templates read the first of them, or `thinking`. */
const REASONING = ['reasoning_content', 'thinking', 'reasoning'];
/** Roles of ShareGPT, which TRL gives to the template as they are. */
const FOREIGN_ROLES = ['human', 'gpt'];

/**
 * Reads a list of messages: `from` and `value` become role and content as in TRL, keys without a value are left out, and reasoning
 * stands under every name that templates read, as in transformers 5.24. @throws DataError naming the message
 */
export function messagesOf(value: unknown, key: string, where: string, roles: Roles = {}): JsonObject[] {
  if (!Array.isArray(value)) throw new DataError(where, `${key} is ${show(value)}, needs a list of messages.`);
  if (value.length === 0)
    throw new DataError(where, `${key} is empty, needs at least one message. Leave the row out, or fill it.`);
  return value.map((entry: unknown, i) => {
    const at = `${key}[${i}]`;
    if (!isObject(entry))
      throw new DataError(where, `${at} is ${show(entry)}, needs a message: {"role": "user", "content": "..."}.`);
    const { from, value: said, ...others } = entry;
    const message: Record<string, unknown> = {
      ...(from === undefined ? {} : { role: from }),
      ...(said === undefined ? {} : { content: said }),
      ...others,
    };
    if (typeof message.role !== 'string')
      throw new DataError(where, `${at} has ${roleFault(message)}, needs a "role", such as "user" or "assistant".`);
    const full: JsonObject = Object.fromEntries(Object.entries(message).filter(([, part]) => part !== null));
    requireContent(full, at, where);
    return withReasoning({ ...full, role: roleIn(roles, message.role) });
  });
}

/** What a message may have in the place of a content. */
const INSTEAD = ['tool_calls', 'tool_responses', 'function_call', ...REASONING];

/** A message without a content, or whose content is no text, would be learned as something else than it says. */
function requireContent(message: JsonObject, at: string, where: string): void {
  const { content } = message;
  if (typeof content === 'string') return;
  if (content === undefined) {
    if (INSTEAD.some((key) => message[key] !== undefined)) return;
    throw new DataError(
      where,
      `${at} has the keys ${show(Object.keys(message))}, needs a "content" (or "tool_calls"). Fill it, or leave the message out.`,
    );
  }
  if (!Array.isArray(content))
    throw new DataError(
      where,
      `${at}.content is ${show(content)}, needs a text, or a list of {"type": "text", "text": "..."}.`,
    );
  const other = content.findIndex(
    (part: unknown) => !isObject(part) || part.type !== 'text' || typeof part.text !== 'string',
  );
  if (other >= 0)
    throw new DataError(
      where,
      `${at}.content[${other}] is ${show(content[other])}, needs {"type": "text", "text": "..."}: nibble trains on text alone. Leave such rows out.`,
    );
}

/** Whether a template that knows texts alone printed a list of parts as Python does, or left it out. */
export function isListMisread(text: string, messages: readonly JsonObject[]): boolean {
  const parts = messages.flatMap(({ content }) => (Array.isArray(content) ? (content as { text: string }[]) : []));
  return (
    parts.length > 0 && (text.includes("'type': 'text'") || parts.some((part) => !text.includes(part.text.trim())))
  );
}

function roleIn(roles: Roles, role: string): string {
  return Object.keys(roles).find((target) => roles[target]!.includes(role)) ?? role;
}

function roleFault({ role, ...others }: JsonObject): string {
  return role === undefined ? `the keys ${show(Object.keys(others))}` : `the role ${show(role)}`;
}

function withReasoning(message: JsonObject): JsonObject {
  const reasoning = REASONING.map((key) => message[key]).find((thought) => thought !== undefined);
  return reasoning === undefined ? message : { thinking: reasoning, ...message, reasoning_content: reasoning };
}

export function hasForeignRoles(messages: readonly JsonObject[]): boolean {
  return messages.some(({ role }) => FOREIGN_ROLES.includes(role as string));
}

/** Reads the tools of a row: a list, or JSON text of one as TRL has it. @returns null where there are none */
export function toolsOf(value: unknown, where: string): readonly unknown[] | null {
  if (value === undefined || value === null) return null;
  let tools: unknown = value;
  if (typeof value === 'string') {
    try {
      tools = parseSpelled(value);
    } catch (cause) {
      throw new DataError(where, `tools is ${show(value)}, which is not JSON.`, { cause });
    }
  }
  if (tools === null) return null;
  if (Array.isArray(tools) && tools.every(isObject)) return tools;
  throw new DataError(where, `tools is ${show(tools)}, needs a list of JSON schemas.`);
}
