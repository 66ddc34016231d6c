/** Turns a zod type into words, and a value that does not fit into a problem: what was got, what is wanted, where. */
import { z } from 'zod';
import type { ConfigProblem } from '../errors.ts';
import { FILE_NAME_IN_WORDS, FILE_NAME_PATTERN } from './file-name.ts';
import { nearest } from './nearest.ts';
import { show } from './show.ts';

/** The part of JSON Schema that our settings use. */
export type SchemaNode = {
  /** Several in a list: a value that may be null. */
  type?: string | string[];
  description?: string;
  default?: unknown;
  const?: unknown;
  enum?: unknown[];
  anyOf?: SchemaNode[];
  items?: SchemaNode;
  properties?: Record<string, SchemaNode>;
  required?: string[];
  additionalProperties?: SchemaNode | boolean;
  minimum?: number;
  maximum?: number;
  examples?: unknown[];
  pattern?: string;
  exclusiveMinimum?: number;
  exclusiveMaximum?: number;
  minLength?: number;
  maxLength?: number;
  minItems?: number;
  maxItems?: number;
};

/** Builds the JSON Schema of what a user may write for `type`, without zod's bounds for integers that a double can hold. */
export function schemaOf(type: z.ZodType): SchemaNode {
  const node = z.toJSONSchema(type, {
    io: 'input',
    override: ({ jsonSchema }) => {
      if (jsonSchema.minimum === Number.MIN_SAFE_INTEGER) delete jsonSchema.minimum;
      if (jsonSchema.maximum === Number.MAX_SAFE_INTEGER) delete jsonSchema.maximum;
    },
  });
  delete node.$schema;
  return node as SchemaNode;
}

/** Describes a type in words: "an integer of at least 1", "one of linear, cosine". */
export function inWords(node: SchemaNode): string {
  if ('const' in node) return showSetting(node.const);
  if (node.enum) return `one of ${node.enum.join(', ')}`;
  if (node.anyOf?.every((choice) => 'const' in choice))
    return `one of ${node.anyOf.map((choice) => choice.const).join(', ')}`;
  if (node.anyOf) return node.anyOf.map(inWords).join(', or ');
  if (node.type === 'integer' || node.type === 'number') return numberInWords(node);
  if (Array.isArray(node.type)) return node.type.map((type) => inWords({ ...node, type })).join(', or ');
  if (node.type === 'boolean') return 'true or false';
  if (node.type === 'array') return `a list of ${atMost(node.maxItems, '')}${listed(node.items ?? {})}`;
  if (node.type === 'object' && node.properties === undefined && typeof node.additionalProperties === 'object')
    return `a mapping from names to ${pluralOf(node.additionalProperties)}`;
  if (node.type === 'object') return `a mapping with ${keysOf(node)}`;
  if (node.pattern === FILE_NAME_PATTERN) return FILE_NAME_IN_WORDS;
  if (node.type === 'string')
    return node.examples ? `a text such as ${node.examples.join(' or ')}` : `a text${inCharacters(node)}`;
  return node.type ?? 'anything';
}

const atMost = (most: number | undefined, of: string): string => (most === undefined ? '' : `${of}at most ${most} `);
const inCharacters = ({ maxLength }: SchemaNode): string =>
  maxLength === undefined ? '' : `${atMost(maxLength, ' of ')}characters`;

/** Keys that must be there, or else all there are. */
const keysOf = ({ required = [], properties = {} }: SchemaNode): string =>
  (required.length > 0 ? required : Object.keys(properties)).join(', ');

const pluralOf = (node: SchemaNode): string => inWords(node).replace(/^an? (integer|number)/, '$1s');

function listed(item: SchemaNode): string {
  if (item.type === 'string') return `texts${inCharacters(item)}`;
  if (item.type === 'integer') return 'integers';
  if (item.type === 'object') return `mappings with ${keysOf(item)}`;
  return inWords(item);
}

function numberInWords(node: SchemaNode): string {
  const noun = node.type === 'integer' ? 'an integer' : 'a number';
  const bounds = [
    node.minimum === undefined ? [] : [`of at least ${node.minimum}`],
    node.exclusiveMinimum === undefined ? [] : [`above ${node.exclusiveMinimum}`],
    node.maximum === undefined ? [] : [`at most ${node.maximum}`],
    node.exclusiveMaximum === undefined ? [] : [`below ${node.exclusiveMaximum}`],
  ].flat();
  return [noun, bounds.join(' and ')].filter(Boolean).join(' ');
}

/** Formats a setting for a message, as `show` does, but null, which sets nothing, as "nothing". */
export function showSetting(value: unknown): string {
  return value === null || value === undefined ? 'nothing' : show(value);
}

/**
 * Finds what is wrong with `value`: one problem per place in it, none when it fits `type`.
 * `place(inner)` says where a part of the value stands, such as "train.yaml:7".
 */
export function typeProblems(
  type: z.ZodType,
  value: unknown,
  path: string,
  place: (inner: readonly PropertyKey[]) => string,
): ConfigProblem[] {
  const parsed = type.safeParse(value);
  if (parsed.success) return [];
  const schema = schemaOf(type);
  // one value may miss several bounds, and the words for it name them all
  const places = parsed.error.issues.map(({ path: inner, code }) =>
    code === 'unrecognized_keys' ? code : inner.join('.'),
  );
  const issues = parsed.error.issues.filter(
    ({ code }, i) => code === 'unrecognized_keys' || places.indexOf(places[i]!) === i,
  );
  return issues.flatMap((issue) => {
    const node = nodeAt(schema, issue.path, value);
    const at = path + issue.path.map((part) => (typeof part === 'number' ? `[${part}]` : `.${String(part)}`)).join('');
    const where = place(issue.path);
    if (issue.code === 'unrecognized_keys')
      return issue.keys.map((key) =>
        unknownKey(
          `${at}.${key}`,
          key,
          alternatives(node).flatMap(({ properties = {} }) => Object.keys(properties)),
          where,
        ),
      );
    return [typeProblem(at, valueAt(value, issue.path), node, where)];
  });
}

/** JSON and JavaScript round integers that large, so that another than the one meant would be taken. */
const inexact = (got: unknown): string =>
  Number.isInteger(got) && !Number.isSafeInteger(got) ? `, none beyond ${Number.MAX_SAFE_INTEGER}` : '';

const alternatives = (node: SchemaNode): SchemaNode[] => [node, ...(node.anyOf ?? []).flatMap(alternatives)];

function isTooEmpty(got: unknown, { minLength = 0, minItems = 0 }: SchemaNode): boolean {
  return (got === '' && minLength > 0) || (Array.isArray(got) && got.length === 0 && minItems > 0);
}

function typeProblem(path: string, got: unknown, node: SchemaNode, where: string): ConfigProblem {
  const choices = alternatives(node).flatMap((choice) => choice.enum ?? ('const' in choice ? [choice.const] : []));
  const texts = choices.filter((choice): choice is string => typeof choice === 'string');
  const meant = typeof got === 'string' ? nearest(got, texts) : undefined;
  const hint = meant === undefined ? mappingHint(got, node) : `; did you mean ${meant}?`;
  const found = got === undefined ? 'is missing; wanted' : `got ${showSetting(got)}, wanted`;
  const filled = alternatives(node).some((choice) => isTooEmpty(got, choice)) ? ', and not an empty one' : '';
  return { path, message: `${found} ${inWords(node)}${filled}${inexact(got)}${hint} (${where})` };
}

/** Suggests the mapping for a text that stands where one is wanted (a path instead of {path: ...}). */
function mappingHint(got: unknown, node: SchemaNode): string {
  const item = node.type === 'array' ? node.items : node;
  const [key] = Object.keys(item?.properties ?? {});
  if (typeof got !== 'string' || item?.type !== 'object' || key === undefined) return '';
  const mapping = `{${key}: ${got}}`;
  return `; write ${node.type === 'array' ? `[${mapping}]` : mapping}`;
}

/** Reports an unknown key, with the nearest one of `known`. */
export function unknownKey(path: string, key: string, known: Iterable<string>, where: string): ConfigProblem {
  const names = [...known];
  const meant = nearest(key, names);
  const few = names.length <= 8 ? `; the keys here are ${names.join(', ')}` : '';
  return { path, message: `unknown key${meant === undefined ? few : `, did you mean ${meant}?`} (${where})` };
}

function nodeAt(root: SchemaNode, path: readonly PropertyKey[], value: unknown): SchemaNode {
  return path.reduce<SchemaNode>((node, part, depth) => {
    // in "a list or nothing" the path leads into the choice that has parts
    const choices = alternatives(node);
    const inside = (choice: SchemaNode) => {
      if (typeof part === 'number') return choice.items;
      const { properties, additionalProperties: others } = choice;
      return properties?.[String(part)] ?? (typeof others === 'object' ? others : undefined);
    };
    const found = choices.map(inside).filter((part) => part !== undefined);
    // where "texts, or integers" are wanted, into those that the value would be one of
    const kind = kindOf(valueAt(value, path.slice(0, depth + 1)));
    return found.find(({ type }) => type === kind || (type === 'integer' && kind === 'number')) ?? found[0] ?? {};
  }, root);
}

const kindOf = (value: unknown): string => (Array.isArray(value) ? 'array' : typeof value);

function valueAt(root: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>((value, part) => (value as Record<PropertyKey, unknown> | undefined)?.[part], root);
}
