/** Values that readers stumble over, and JSON that is a little wrong: what a person, a tool or an attacker changes in a file. */
import fc from 'fast-check';

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/** Numbers at the borders of what ids, sizes and float32 can be. */
const NUMBERS = [
  0,
  1,
  -1,
  2,
  7.5,
  -0,
  31,
  32,
  64,
  255,
  320,
  2 ** 31 - 1,
  2 ** 31,
  2 ** 32 + 5,
  2 ** 53,
  2 ** 53 + 2,
  1e20,
];
const FRACTIONS = [0.1, 0.999999999, 1e-8, 1e-46, 1e39, 1e308, 5e-324, 1.0000000001];
const TEXTS = [
  '',
  ' ',
  'a',
  'seven',
  'null',
  'true',
  '1',
  '__proto__',
  'constructor',
  'toString',
  'lora',
  'all-linear',
];
const ODD_TEXTS = [
  '\u0000',
  '\ud800',
  '🦙',
  '../../x',
  '/etc/passwd',
  '(a+)+$',
  '(?<=x)[',
  'x'.repeat(5000),
  'a\nb',
  '\u2028',
];

const deep = (levels: number): Json => {
  let value: Json = [];
  for (let i = 0; i < levels; i++) value = i % 2 === 0 ? [value] : { a: value };
  return value;
};

const constants: readonly Json[] = [null, true, false, [], {}, [[]], [null], { a: {} }, deep(60), deep(70), deep(500)];

/** A value of any kind, wrong in most places. */
export const anyValue: fc.Arbitrary<Json> = fc.oneof(
  fc.constantFrom(...constants),
  fc.constantFrom<Json>(...NUMBERS, ...FRACTIONS),
  fc.constantFrom<Json>(...TEXTS, ...ODD_TEXTS),
  fc.integer(),
  fc.string({ maxLength: 12 }),
  fc.jsonValue({ maxDepth: 3 }) as fc.Arbitrary<Json>,
);

type Change = { readonly where: readonly number[]; readonly what: number; readonly value: Json; readonly key: string };

const change: fc.Arbitrary<Change> = fc.record({
  where: fc.array(fc.nat(1e6), { minLength: 1, maxLength: 7 }),
  what: fc.nat(7),
  value: anyValue,
  key: fc.constantFrom('__proto__', 'type', 'id', 'x', '', 'content', 'length', 'bias'),
});

const isContainer = (value: Json | undefined): value is Json[] | { [key: string]: Json } =>
  typeof value === 'object' && value !== null;

/** Changes one place of a value: puts another value in, takes it out, doubles, renames, swaps, wraps or cuts it. */
function changed(root: Json, { where, what, value, key }: Change): Json {
  const copy = structuredClone(root);
  let parent: Json[] | { [key: string]: Json } | null = null;
  let at = '';
  let node: Json = copy;
  for (const pick of where) {
    if (!isContainer(node)) break;
    const keys: string[] = Object.keys(node);
    if (keys.length === 0) break;
    parent = node;
    at = keys[pick % keys.length] as string;
    node = (node as { [key: string]: Json })[at] as Json;
  }
  if (parent === null) return value;
  const set = (name: string, next: Json) =>
    Object.defineProperty(parent, name, { value: next, enumerable: true, configurable: true, writable: true });
  const others = Object.keys(parent);
  const other = others[(where[0] ?? 0) % others.length] as string;
  if (what <= 2) set(at, value);
  else if (what === 3 && Array.isArray(parent)) parent.splice(Number(at), 1);
  else if (what === 3) delete (parent as { [key: string]: Json })[at];
  else if (what === 4) set(Array.isArray(parent) ? String(parent.length) : key, structuredClone(node));
  else if (what === 5) set(at, structuredClone((parent as { [key: string]: Json })[other] as Json));
  else if (what === 6) set(at, typeof node === 'string' ? node.slice(0, -1) : [node]);
  else set(at, typeof node === 'number' ? -node : typeof node === 'boolean' ? !node : null);
  return copy;
}

/** A valid value with one to four places changed; now and then as it is. */
export function mutated(valid: Json): fc.Arbitrary<Json> {
  return fc.array(change, { maxLength: 4 }).map((changes) => changes.reduce(changed, valid));
}

/** Formats JSON, deep values too, for which JSON.stringify has no stack. */
export function asText(value: Json): string {
  try {
    return JSON.stringify(value);
  } catch {
    return '[';
  }
}
