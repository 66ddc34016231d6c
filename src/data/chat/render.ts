/** A chat template, rendered as transformers' apply_chat_template renders it: text, and where the assistant speaks in it. */
import { Environment, Interpreter } from '@huggingface/jinja';
import { type Marks, type Rendering, TemplateRaised, templateScope } from './globals.ts';
import { GENERATION, parseTemplate } from './rewrite.ts';
import { fromJson } from './values.ts';

export type Rendered = {
  readonly text: string;
  /** Stretches of {% generation %} blocks, in UTF-16 units, in order. */
  readonly spans: readonly (readonly [start: number, end: number])[];
};

export type ChatTemplate = {
  /** Whether it says what the assistant says. */
  readonly marksGeneration: boolean;
  /** Whether what it writes depends on the day. */
  readonly tellsTime: boolean;
  /** @throws Error of the template or of the engine */
  render(variables: Readonly<Record<string, unknown>>, marked: boolean): Rendered;
};

/** Characters of the private use areas, of which two that do not occur serve as marks. */
const FIRST_MARK = 0xf0000;

/** Compiles a template. `now` is what strftime_now tells, in every row the same. @throws Error for what does not parse */
export function compileTemplate(source: string, now: Date): ChatTemplate {
  const program = parseTemplate(source);
  const rendering: Rendering = { marks: null };
  const shared = templateScope(rendering, now);
  const run = (variables: Readonly<Record<string, unknown>>, marks: Marks | null): string => {
    rendering.marks = marks;
    const scope = new Environment(shared);
    for (const [name, value] of Object.entries(variables)) scope.setVariable(name, fromJson(value) as never);
    return (new Interpreter(scope).run(program) as { value: unknown }).value as string;
  };
  return {
    marksGeneration: GENERATION.test(source),
    tellsTime: source.includes('strftime_now'),
    render: (variables, marked) => {
      if (!marked) return { text: run(variables, null), spans: [] };
      const marks = unusedMarks(source + JSON.stringify(variables));
      return withoutMarks(run(variables, marks), marks);
    },
  };
}

function unusedMarks(taken: string): Marks {
  let code = FIRST_MARK;
  const next = (): string => {
    while (taken.includes(String.fromCodePoint(code))) code++;
    return String.fromCodePoint(code++);
  };
  return { start: next(), end: next() };
}

function withoutMarks(marked: string, { start, end }: Marks): Rendered {
  const spans: [number, number][] = [];
  const open: number[] = [];
  let text = '';
  for (const piece of marked.split(new RegExp(`(${start}|${end})`, 'u'))) {
    if (piece === start) open.push(text.length);
    else if (piece === end) spans.push([open.pop() ?? 0, text.length]);
    else text += piece;
  }
  return { text, spans: spans.sort(([a], [b]) => a - b) };
}

/** Puts into words what a template or the engine threw. */
export function templateFault(error: unknown): string {
  if (error instanceof TemplateRaised) return `the chat template raised ${JSON.stringify(error.message)}`;
  return `the chat template cannot be rendered (${error instanceof Error ? error.message : String(error)})`;
}
