/** Turns the parsed template into one that calls Python's own behaviour where the engine's differs. */
import { type Interpreter, parse, tokenize } from '@huggingface/jinja';
import { STRING_METHODS } from './strings.ts';

type Program = Parameters<Interpreter['run']>[0];
type Node = { type: string } & Record<string, unknown>;

/** Names of our functions inside a template: no template's own, since those cannot begin so. */
export const OURS = {
  generation: '__generation',
  print: '__print',
  method: '__method',
  tojson: '__tojson',
  trim: '__trim',
  length: '__length',
  string: '__string',
  items: '__items',
  add: '__add',
  concat: '__concat',
  join: '__join',
  title: '__title',
  capitalize: '__capitalize',
  defined: '__defined',
} as const;

const FILTERS: Filters = {
  tojson: OURS.tojson,
  trim: OURS.trim,
  length: OURS.length,
  count: OURS.length,
  string: OURS.string,
  join: OURS.join,
  title: OURS.title,
  capitalize: OURS.capitalize,
};

/** Nodes of a block that print nothing themselves, or print text as it stands. */
const SILENT = [
  'Set',
  'If',
  'For',
  'Macro',
  'CallStatement',
  'FilterStatement',
  'Break',
  'Continue',
  'Comment',
  'StringLiteral',
];
const BLOCKS = ['body', 'alternate', 'defaultBlock'];

/** What transformers looks for before it makes masks. */
export const GENERATION = /\{%-?\s*generation\s*-?%\}/;

export type ParseOptions = {
  /** Jinja's trim_blocks and lstrip_blocks, which transformers sets for chat templates. */
  readonly trimsBlocks?: boolean;
  /** Names of functions of the scope that filters of a template stand for, beside ours. */
  readonly filters?: Readonly<Record<string, string>>;
};

/**
 * Parses a template, by default with trim_blocks and lstrip_blocks, as transformers does; line ends are Jinja's. `{% generation %}` becomes a call block, which it is for
 * Jinja itself: its variables are its own.
 * @throws Error, SyntaxError of the engine
 */
export function parseTemplate(source: string, { trimsBlocks = true, filters = {} }: ParseOptions = {}): Program {
  const marked = source
    .replace(/\r\n?/g, '\n')
    .replace(/\{%([-+]?)\s*generation\s*([-+]?)%\}/g, `{%$1 call ${OURS.generation}() $2%}`)
    .replace(/\{%([-+]?)\s*endgeneration\s*([-+]?)%\}/g, '{%$1 endcall $2%}');
  const program = parse(tokenize(marked, { lstrip_blocks: trimsBlocks, trim_blocks: trimsBlocks }));
  rewrite(program as unknown as Node, { ...FILTERS, ...filters });
  return program;
}

const [SAMPLE] = parse(tokenize("{{ f('') }}")).body as unknown as [Node];
const SAMPLE_CALLEE = SAMPLE.callee as Node;
const [SAMPLE_TEXT] = SAMPLE.args as [Node];

const like = (sample: Node, fields: object): Node =>
  Object.assign(Object.create(Object.getPrototypeOf(sample)), sample, fields);
const literal = (value: string): Node => like(SAMPLE_TEXT, { value });
const call = (name: string, args: readonly Node[]): Node =>
  like(SAMPLE, { callee: like(SAMPLE_CALLEE, { value: name }), args });

const isNode = (value: unknown): value is Node => typeof value === 'object' && value !== null && 'type' in value;

type Filters = Readonly<Record<string, string>>;

/** Rewrites what lies below a node, deepest first. */
function rewrite(node: Node, filters: Filters): void {
  for (const [key, value] of Object.entries(node)) {
    if (isNode(value)) {
      rewrite(value, filters);
      const replaced = replacement(value, filters);
      if (key === 'object' && replaced.type !== 'Identifier') {
        node[key] = call(OURS.defined, [replaced]);
        continue;
      }
      node[key] = key === 'iterable' && replaced.type !== 'SelectExpression' ? call(OURS.items, [replaced]) : replaced;
    } else if (Array.isArray(value)) {
      node[key] = value.map((entry) => {
        if (!isNode(entry)) return entry;
        rewrite(entry, filters);
        const replaced = replacement(entry, filters);
        return BLOCKS.includes(key) && !SILENT.includes(replaced.type) ? call(OURS.print, [replaced]) : replaced;
      });
    } else if (value instanceof Map) node[key] = rewrittenMap(value, filters);
  }
}

function rewrittenMap(map: ReadonlyMap<unknown, unknown>, filters: Filters): Map<unknown, unknown> {
  return new Map(
    Array.from(map, ([key, value]) => {
      for (const entry of [key, value]) if (isNode(entry)) rewrite(entry, filters);
      return [key, isNode(value) ? replacement(value, filters) : value];
    }),
  );
}

function replacement(node: Node, filters: Filters): Node {
  if (node.type === 'FilterExpression') return filtered(node, filters);
  const operator = node.type === 'BinaryExpression' ? (node.operator as Node).value : null;
  if (operator === '+' || operator === '~')
    return call(operator === '+' ? OURS.add : OURS.concat, [node.left as Node, node.right as Node]);
  const callee = node.callee;
  if (
    node.type !== 'CallExpression' ||
    !isNode(callee) ||
    callee.type !== 'MemberExpression' ||
    callee.computed === true
  )
    return node;
  const name = (callee.property as Node).value;
  if (typeof name !== 'string' || !Object.hasOwn(STRING_METHODS, name)) return node;
  return call(OURS.method, [callee.object as Node, literal(name), ...(node.args as Node[])]);
}

function filtered(node: Node, filters: Filters): Node {
  const filter = node.filter as Node;
  const named = filter.type === 'CallExpression' ? (filter.callee as Node) : filter;
  const name =
    typeof named.value === 'string' && Object.hasOwn(filters, named.value) ? filters[named.value] : undefined;
  if (name === undefined) return node;
  const args = filter.type === 'CallExpression' ? (filter.args as Node[]) : [];
  return call(name, [node.operand as Node, ...args]);
}
