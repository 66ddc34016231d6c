/** Jinja templates of tasks, rendered as lm-eval renders them: no block is trimmed, and what a row does not have is an error. */
import { Environment, Interpreter } from '@huggingface/jinja';
import { templateScope } from '../data/chat/globals.ts';
import { OURS, parseTemplate } from '../data/chat/rewrite.ts';
import { callable, fromJson, str, type TemplateFunction, text, type Value } from '../data/chat/values.ts';
import { pythonRegex } from '../formats/python-regex.ts';
import { withinTime } from '../formats/time-limit.ts';

/** A row of a task's data. */
export type Doc = Readonly<Record<string, unknown>>;

export type TaskTemplate = (doc: Doc) => string;

const REGEX_REPLACE = '__regex_replace';
/** Those of our functions that take an undefined value for what it is. */
const TAKE_UNDEFINED: readonly string[] = [OURS.defined, OURS.generation];

/** Compiles a template. @throws Error for what does not parse; rendering throws an Error where a row lacks a value or the template raises */
export function compileTaskTemplate(source: string): TaskTemplate {
  // the engine drops one line end at the end of a template, and lm-eval's Jinja keeps it
  const whole = source.endsWith('\n') ? `${source}\n` : source;
  const program = parseTemplate(whole, { trimsBlocks: false, filters: { regex_replace: REGEX_REPLACE } });
  const shared = strictScope();
  return (doc) => {
    const scope = new Environment(shared);
    for (const [name, value] of Object.entries(doc)) scope.setVariable(name, fromJson(value ?? null) as never);
    return inTime(() => (new Interpreter(scope).run(program) as { value: unknown }).value as string);
  };
}

/** Time for one text of one row; templates in use take milliseconds. */
const LIMIT_MS = 10_000;

/** Does a task's work on one row. @throws Error where it takes too long, and what the work throws */
export function inTime<T>(work: () => T): T {
  const late = () => new Error(`it takes more than ${LIMIT_MS / 1000} s: a loop or a pattern in it may never end`);
  return withinTime(LIMIT_MS, work, late);
}

/** Our functions, which refuse undefined values as Jinja's StrictUndefined does. */
function strictScope(): Environment {
  // the epoch: no task may depend on the day
  const shared = templateScope({ marks: null }, new Date(0));
  for (const name of Object.values(OURS)) {
    if (TAKE_UNDEFINED.includes(name)) continue;
    const own = (shared.lookupVariable(name) as unknown as Value).value as TemplateFunction;
    const strict: TemplateFunction = (args, scope) => {
      if (args.some(({ type }) => type === 'UndefinedValue')) throw new Error('a value that it uses is not there');
      return own(args, scope);
    };
    shared.setVariable(name, callable(strict) as never);
  }
  shared.setVariable(REGEX_REPLACE, callable(regexReplace) as never);
  return shared;
}

/** lm-eval's filter of that name: Python's re.sub. */
const regexReplace: TemplateFunction = ([value, pattern, replacement, count]) => {
  if (value === undefined || pattern === undefined || replacement === undefined)
    throw new Error('regex_replace needs a pattern and a replacement');
  const most = count === undefined ? 0 : Number(count.value);
  return text(pythonSub(pythonRegex(str(pattern), 'findall'), str(replacement), str(value), most));
};

/** Python's re.sub. @param pattern with the flag g @param count replacements at most, 0 for all */
export function pythonSub(pattern: RegExp, replacement: string, subject: string, count = 0): string {
  let done = 0;
  return subject.replace(pattern, (...found) => {
    if (count > 0 && done++ >= count) return found[0] as string;
    const named = found.at(-1);
    const groups = typeof named === 'object' ? (named as Record<string, string | undefined>) : {};
    return replacement.replace(/\\(?:g<(\w+)>|(\d\d?)|([ntr\\]))/g, (_, name, number, letter) => {
      if (letter !== undefined) return { n: '\n', t: '\t', r: '\r', '\\': '\\' }[letter as string] as string;
      const key = (name ?? number) as string;
      return (/^\d+$/.test(key) ? (found[Number(key)] as string | undefined) : groups[key]) ?? '';
    });
  });
}
