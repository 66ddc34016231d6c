/** Functions that transformers gives a chat template, and those that stand for Python's behaviour. */
import { Environment } from '@huggingface/jinja';
import { OURS } from './rewrite.ts';
import { strftime } from './strftime.ts';
import { capitalized, STRING_METHODS, strip, titleOfFilter } from './strings.ts';
import {
  callable,
  dumps,
  float,
  integer,
  isList,
  isMapping,
  isText,
  list,
  mapping,
  str,
  type TemplateFunction,
  text,
  type Value,
} from './values.ts';

/** A template said `raise_exception(message)`. */
export class TemplateRaised extends Error {}

/** Marks around what the assistant says; whoever renders chooses marks that its input does not hold. */
export type Marks = { readonly start: string; readonly end: string };

/** What changes from one rendering to the next. */
export type Rendering = { marks: Marks | null };

/** Makes what every rendering of a template sees. `now` is what strftime_now tells. */
export function templateScope(rendering: Rendering, now: Date): Environment {
  const scope = new Environment();
  const constants: [string, unknown][] = [
    ['true', true],
    ['True', true],
    ['false', false],
    ['False', false],
    ['none', null],
    ['None', null],
  ];
  for (const [name, value] of constants) scope.set(name, value);
  scope.set('range', range);
  const functions: Readonly<Record<string, TemplateFunction>> = {
    raise_exception: ([message]) => {
      throw new TemplateRaised(message === undefined ? '' : str(message));
    },
    strftime_now: ([format]) => text(strftime(now, format === undefined ? '' : str(format))),
    dict: (args) => mapping(new Map(args.flatMap((arg) => (isMapping(arg) ? [...arg.value] : [])))),
    [OURS.generation]: (_, inner) => {
      const body = str(call(inner.lookupVariable('caller') as Value, [], inner));
      const { marks } = rendering;
      return text(marks === null ? body : marks.start + body + marks.end);
    },
    [OURS.print]: ([value]) => text(str(value!)),
    [OURS.string]: ([value]) => text(str(value!)),
    [OURS.trim]: ([value, chars]) =>
      text(strip(str(value!), chars === undefined ? null : str(chars), { left: true, right: true })),
    [OURS.length]: ([value]) => integer(lengthOf(value!)),
    [OURS.items]: ([value]) => (isText(value) ? list(Array.from(value.value, text)) : value!),
    [OURS.concat]: ([left, right]) => text(str(left!) + str(right!)),
    [OURS.join]: joined,
    [OURS.title]: ([value]) => text(titleOfFilter(str(value!))),
    [OURS.capitalize]: ([value]) => text(capitalized(str(value!))),
    [OURS.add]: ([left, right]) => sum(left!, right!),
    [OURS.defined]: ([value]) => {
      if (value!.type === 'UndefinedValue') throw new Error('an undefined value has no attributes');
      return value!;
    },
    [OURS.tojson]: tojson,
    [OURS.method]: method,
  };
  for (const [name, value] of Object.entries(functions)) scope.setVariable(name, callable(value) as never);
  return scope;
}

/** Longest range of Jinja's sandbox, in which transformers renders. Source: MAX_RANGE of jinja2.sandbox 3.1. */
const MAX_RANGE = 100_000;

function range(start: number, stop?: number, step = 1): number[] {
  const [from, to] = stop === undefined || stop === null ? [0, start] : [start, stop];
  if (step === 0) throw new Error('range() arg 3 must not be zero');
  if ((to - from) / step > MAX_RANGE)
    throw new Error(`range() has more than the ${MAX_RANGE} numbers that the sandbox of Jinja allows`);
  const found: number[] = [];
  for (let i = from; step > 0 ? i < to : i > to; i += step) found.push(i);
  return found;
}

function call(fn: Value, args: readonly Value[], scope: Environment): Value {
  if (fn.type !== 'FunctionValue') throw new Error(`${fn.type} is not callable`);
  return (fn.value as TemplateFunction)(args, scope);
}

/** Python's +: numbers, texts or lists, and none of them with another. */
function sum(left: Value, right: Value): Value {
  if (isText(left) && isText(right)) return text(left.value + right.value);
  if (isList(left) && isList(right)) return list([...left.value, ...right.value]);
  if (isNumber(left) && isNumber(right)) {
    const total = Number(left.value) + Number(right.value);
    return [left, right].some(({ type }) => type === 'FloatValue') ? float(total) : integer(total);
  }
  throw new Error(`${left.type} and ${right.type} cannot be added`);
}

/** Jinja's filter: what is joined becomes text as str makes it. */
function joined([value, ...args]: readonly Value[]): Value {
  const named = args.find(({ type }) => type === 'KeywordArgumentsValue');
  const names = isMapping(named) ? named.value : new Map<string, Value>();
  if ([...names.keys()].some((name) => name !== 'd'))
    throw new Error('join() takes a separator here, and nothing else');
  const given = args.find((arg) => arg !== named) ?? names.get('d');
  const between = given === undefined ? '' : str(given);
  if (isText(value)) return text(Array.from(value.value).join(between));
  if (isMapping(value)) return text([...value.value.keys()].join(between));
  if (!isList(value)) throw new Error(`${value?.type ?? 'nothing'} cannot be joined`);
  return text(value.value.map(str).join(between));
}

const isNumber = ({ type }: Value): boolean => ['IntegerValue', 'FloatValue', 'BooleanValue'].includes(type);

function lengthOf(value: Value): number {
  if (isText(value)) return Array.from(value.value).length;
  if (isList(value)) return value.value.length;
  if (isMapping(value)) return value.value.size;
  if (value.type === 'UndefinedValue') return 0;
  throw new Error(`object of type ${value.type} has no length`);
}

function tojson([value, ...args]: readonly Value[]): Value {
  const named = args.find((arg) => arg.type === 'KeywordArgumentsValue') as
    | (Value & { value: Map<string, Value> })
    | undefined;
  const positional = args.filter((arg) => arg !== named);
  const option = (name: string, index: number): Value | undefined => {
    const given = named?.value.get(name) ?? positional[index];
    return given?.type === 'NullValue' ? undefined : given;
  };
  const indent = option('indent', 1);
  const separators = option('separators', 2);
  return text(
    dumps(value!, {
      ensureAscii: option('ensure_ascii', 0)?.value === true,
      indent: indent === undefined ? null : isText(indent) ? indent.value : ' '.repeat(indent.value as number),
      separators: isList(separators) ? [str(separators.value[0]!), str(separators.value[1]!)] : null,
      sortKeys: option('sort_keys', 3)?.value === true,
    }),
  );
}

/** A method that text has; of anything else, what the engine has under the name. */
function method([self, name, ...args]: readonly Value[], scope: Environment): Value {
  const key = str(name!);
  if (isText(self)) return STRING_METHODS[key]!(self.value, args);
  const builtins = (self as { builtins?: ReadonlyMap<string, Value> }).builtins;
  const found = (isMapping(self) ? self.value.get(key) : undefined) ?? builtins?.get(key);
  if (found === undefined) throw new Error(`${self!.type} has no method ${key}`);
  return call(found, args, scope);
}
