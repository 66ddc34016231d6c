/**
 * `@unroll for (var i = A; i < B; i++) {` (or `i += C`) in a shader: the loop's body once a value, each in a block of its own where
 * `i` is a const. Only so do compilers keep an array that is indexed by `i` in registers; what a loop variable indexes lies in memory.
 */

/** The text without its loops, and where each of its characters stood before. */
export type Unrolled = { readonly text: string; sourceOf(offset: number): number };

/** Value of a named constant; undefined where there is none of that name. */
export type Values = (name: string) => number | undefined;

/** Says what cannot be unrolled, and where it stands. */
export class UnrollError extends Error {
  readonly offset: number;
  constructor(offset: number, message: string) {
    super(message);
    this.offset = offset;
  }
}

const HEAD = /@unroll\s+for\s*\(var (\w+) = ([^;]+); \1 < ([^;]+); (?:\1\+\+|\1 \+= ([^)]+))\)\s*\{/g;
const COMMENT = /\/\/.*$/gm;

/** @throws UnrollError for a bound that is no constant, a loop of another form, and a break or continue of it */
export function unroll(text: string, values: Values): Unrolled {
  // brackets and words in comments do not count
  const bare = text.replace(COMMENT, (comment) => ' '.repeat(comment.length));
  const pieces: { at: number; source: number; length: number }[] = [];
  let out = '';
  const emit = (piece: string, source: number, isCopy: boolean): void => {
    pieces.push({ at: out.length, source, length: isCopy ? piece.length : 0 });
    out += piece;
  };
  const expand = (from: number, to: number, known: Values): void => {
    let at = from;
    for (let loop = nextLoop(bare, at, to); loop !== null; loop = nextLoop(bare, at, to)) {
      emit(text.slice(at, loop.start), at, true);
      emit('{', loop.start, false);
      const [first, end, step] = loop.bounds.map((bound) => wholeNumber(bound, loop.start, known)) as [
        number,
        number,
        number,
      ];
      if (!(step > 0)) throw new UnrollError(loop.start, `@unroll: a step of ${step}`);
      const { name, body, close } = loop;
      for (let i = first; i < end; i += step) {
        emit(` { const ${name} = ${i}u;`, loop.start, false);
        expand(body, close, (other) => (other === name ? i : known(other)));
        emit('}', close, false);
      }
      emit(' }', close, false);
      at = close + 1;
    }
    emit(text.slice(at, to), at, true);
  };
  expand(0, text.length, values);
  const sourceOf = (offset: number): number => {
    const piece = pieces.findLast(({ at }) => at <= offset) ?? { at: 0, source: 0, length: 0 };
    return piece.source + Math.min(offset - piece.at, piece.length);
  };
  return { text: out, sourceOf };
}

type Loop = { start: number; name: string; bounds: string[]; body: number; close: number };

function nextLoop(bare: string, from: number, to: number): Loop | null {
  const start = bare.indexOf('@unroll', from);
  if (start < 0 || start >= to) return null;
  HEAD.lastIndex = start;
  const head = HEAD.exec(bare);
  if (head === null || head.index !== start)
    throw new UnrollError(start, '@unroll stands before a loop `for (var i = A; i < B; i++) {`, or with `i += C`');
  const [all, name = '', first = '', end = '', step = '1'] = head;
  const body = start + all.length;
  const close = endOf(bare, body, start);
  if (/\b(break|continue|continuing)\b/.test(withoutLoops(bare.slice(body, close))))
    throw new UnrollError(start, '@unroll: the loop has a break or continue of its own');
  return { start, name, bounds: [first, end, step], body, close };
}

/** Finds the bracket that closes the one opened before `from`. */
function endOf(bare: string, from: number, loop: number): number {
  for (let at = from, depth = 1; at < bare.length; at++) {
    if (bare[at] === '{') depth++;
    else if (bare[at] === '}' && --depth === 0) return at;
  }
  throw new UnrollError(loop, '@unroll: the loop has no end');
}

/** A body without its nested loops and switches, whose break and continue are their own. */
function withoutLoops(body: string): string {
  const inner = /\b(for|while|loop|switch)\b[^{]*\{/g.exec(body);
  if (inner === null) return body;
  const open = inner.index + inner[0].length;
  return body.slice(0, inner.index) + withoutLoops(body.slice(endOf(body, open, 0) + 1));
}

/** A whole number: literals and constants, + - * / % and brackets, by the rules of WGSL's integers. */
export function wholeNumber(expression: string, offset: number, values: Values): number {
  const tokens = expression.match(/\w+|\S/g) ?? [];
  let at = 0;
  const fail = (): never => {
    throw new UnrollError(
      offset,
      `@unroll: ${expression.trim()} is no whole number that is known before the shader compiles`,
    );
  };
  const atom = (): number => {
    const token = tokens[at++] ?? fail();
    if (token === '(') {
      const inner = sum();
      return tokens[at++] === ')' ? inner : fail();
    }
    if (/^\d+[ui]?$/.test(token)) return Number.parseInt(token, 10);
    return values(token) ?? fail();
  };
  const product = (): number => {
    let left = atom();
    while (/^[*/%]$/.test(tokens[at] ?? '')) {
      const operator = tokens[at++];
      const right = atom();
      left = operator === '*' ? left * right : operator === '/' ? Math.trunc(left / right) : left % right;
    }
    return Number.isInteger(left) ? left : fail();
  };
  const sum = (): number => {
    let left = product();
    while (/^[+-]$/.test(tokens[at] ?? '')) left = tokens[at++] === '+' ? left + product() : left - product();
    return left;
  };
  const value = sum();
  return at === tokens.length ? value : fail();
}
