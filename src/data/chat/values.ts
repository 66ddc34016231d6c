/** Values inside a chat template, and what Python makes of them as text: str, repr and json.dumps. */
import { Environment } from '@huggingface/jinja';
import { spelledNumber } from '../../formats/json.ts';

/** A value of the template engine. Its classes are not exported; `value` is a Map for mappings, an array for lists. */
export type Value = { readonly type: string; readonly value: unknown; toString(): string };
export type TemplateFunction = (args: readonly Value[], scope: Environment) => Value;

type Constructor = new (value: unknown) => Value;

const classOf = (value: unknown): Constructor => new Environment().set('x', value).constructor as Constructor;
const Text = classOf('');
const Integer = classOf(1);
const Float = classOf(0.5);
const List = classOf([]);
const Mapping = classOf({});
const Callable = classOf(() => null);

export const text = (value: string): Value => new Text(value);
export const integer = (value: number): Value => new Integer(value);
export const float = (value: number): Value => new Float(value);
export const list = (values: readonly Value[]): Value => new List([...values]);
export const mapping = (entries: ReadonlyMap<string, Value>): Value => new Mapping(entries);
export const callable = (call: TemplateFunction): Value => new Callable(call);
export const UNDEFINED: Value = new Environment().set('x', undefined) as Value;

/** Makes a value of parsed JSON; numbers that parseSpelled marked keep their kind, as Python's json.loads reads them. */
export function fromJson(json: unknown): Value {
  if (typeof json === 'string') {
    const spelled = spelledNumber(json);
    if (spelled === null) return text(json);
    if (/[.eE]/.test(spelled)) return new Float(Number(spelled));
    const whole = Number(spelled);
    return new Integer(Number.isSafeInteger(whole) ? whole : BigInt(spelled));
  }
  if (Array.isArray(json)) return list(json.map(fromJson));
  if (typeof json === 'object' && json !== null)
    return mapping(new Map(Object.entries(json).map(([key, value]) => [key, fromJson(value)])));
  return new Environment().set('x', json) as Value;
}

export const isText = (value: Value | undefined): value is Value & { value: string } => value?.type === 'StringValue';
export const isList = (value: Value | undefined): value is Value & { value: Value[] } =>
  value?.type === 'ArrayValue' || value?.type === 'TupleValue';
export const isMapping = (value: Value | undefined): value is Value & { value: Map<string, Value> } =>
  value?.type === 'ObjectValue' || value?.type === 'NamespaceValue' || value?.type === 'KeywordArgumentsValue';

/** Python's str. */
export function str(value: Value): string {
  if (isText(value)) return value.value;
  if (value.type === 'UndefinedValue') return '';
  return repr(value);
}

/** Python's repr, as far as templates print lists and dictionaries. */
export function repr(value: Value): string {
  if (isText(value)) return quoted(value.value);
  if (isList(value)) {
    const inside = value.value.map(repr).join(', ');
    if (value.type !== 'TupleValue') return `[${inside}]`;
    return value.value.length === 1 ? `(${inside},)` : `(${inside})`;
  }
  if (isMapping(value))
    return `{${Array.from(value.value, ([key, entry]) => `${quoted(key)}: ${repr(entry)}`).join(', ')}}`;
  if (value.type === 'BooleanValue') return value.value === true ? 'True' : 'False';
  if (value.type === 'NullValue') return 'None';
  if (value.type === 'UndefinedValue') return 'Undefined';
  return numeral(value);
}

const ESCAPES: Readonly<Record<string, string>> = { '\\': '\\\\', '\n': '\\n', '\r': '\\r', '\t': '\\t' };

function quoted(string: string): string {
  const mark = string.includes("'") && !string.includes('"') ? '"' : "'";
  const inside = string
    .replace(NOT_PRINTED, (char) => ESCAPES[char] ?? pythonEscape(char))
    .replaceAll(mark, `\\${mark}`);
  return `${mark}${inside}${mark}`;
}

/** A backslash, and what str.isprintable of Python says no to: controls, separators but the space, and unassigned ones. */
const NOT_PRINTED = /\\|(?! )[\p{C}\p{Z}]/gu;

function pythonEscape(char: string): string {
  const code = char.codePointAt(0)!.toString(16);
  return code.length <= 2
    ? `\\x${code.padStart(2, '0')}`
    : code.length <= 4
      ? `\\u${code.padStart(4, '0')}`
      : `\\U${code.padStart(8, '0')}`;
}

function numeral(value: Value): string {
  return value.type === 'FloatValue' ? floatOf(value.value as number) : String(value.value);
}

/** From this exponent on, and below the least one, Python writes a float with an exponent. */
const MOST_DIGITS = 16;
const LEAST_EXPONENT = -4;

/** Python's repr of a float: the shortest digits, as in JavaScript, with exponents elsewhere. */
function floatOf(number: number): string {
  if (!Number.isFinite(number)) return Number.isNaN(number) ? 'NaN' : number > 0 ? 'Infinity' : '-Infinity';
  if (Object.is(number, -0)) return '-0.0';
  const [digits, exponent] = number.toExponential().split('e') as [string, string];
  const power = Number(exponent);
  if (power >= MOST_DIGITS || (power < LEAST_EXPONENT && number !== 0))
    return `${digits}e${power < 0 ? '-' : '+'}${String(Math.abs(power)).padStart(2, '0')}`;
  const plain = power < 0 ? number.toFixed(digits.replace(/[-.]/g, '').length - 1 - power) : String(number);
  return plain.includes('.') ? plain : `${plain}.0`;
}

export type JsonOptions = {
  readonly ensureAscii: boolean;
  readonly indent: string | null;
  readonly separators: readonly [item: string, key: string] | null;
  readonly sortKeys: boolean;
};

/** Python's json.dumps. @throws Error for what is no JSON, such as an undefined value */
export function dumps(value: Value, options: JsonOptions, depth = 0): string {
  const { ensureAscii, indent, separators, sortKeys } = options;
  const [item, key] = separators ?? [indent === null ? ', ' : ',', ': '];
  const string = (content: string): string => {
    const json = JSON.stringify(content);
    return ensureAscii ? json.replace(/[\u0080-\uffff]/g, escaped) : json;
  };
  const around = (open: string, entries: readonly string[], close: string): string => {
    if (entries.length === 0) return open + close;
    if (indent === null) return open + entries.join(item) + close;
    const line = `\n${indent.repeat(depth + 1)}`;
    return `${open}${line}${entries.join(item + line)}\n${indent.repeat(depth)}${close}`;
  };
  if (isText(value)) return string(value.value);
  if (isList(value))
    return around(
      '[',
      value.value.map((entry) => dumps(entry, options, depth + 1)),
      ']',
    );
  if (isMapping(value)) {
    const entries = sortKeys
      ? [...value.value].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
      : Array.from(value.value);
    return around(
      '{',
      entries.map(([name, entry]) => `${string(name)}${key}${dumps(entry, options, depth + 1)}`),
      '}',
    );
  }
  if (value.type === 'NullValue') return 'null';
  if (value.type === 'BooleanValue') return String(value.value);
  if (value.type === 'IntegerValue' || value.type === 'FloatValue') return numeral(value);
  throw new Error(`${value.type === 'UndefinedValue' ? 'an undefined value' : value.type} is not JSON serializable`);
}

function escaped(char: string): string {
  return `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`;
}
