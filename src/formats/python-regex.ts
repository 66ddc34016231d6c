/** Translates Python's regular expressions: adapter configs hold patterns that PEFT gives to Python's `re`. */

/** `fullmatch` has to match the whole text, `match` its beginning, `findall` every place, as the functions of `re` do. */
export type Anchor = 'fullmatch' | 'match' | 'findall';

/** Escapes that mean the same in both languages; other letters are errors in Python or mean something else here. */
const SHARED_ESCAPES = /[dDsSwWbBnrtfvxu0-9]/;
const START = '(?<![\\s\\S])';
const END = '(?![\\s\\S])';

/**
 * Translates a pattern.
 * @returns a RegExp that matches what `re.fullmatch`, `re.match` or, with the flag g, `re.findall` and `re.sub` do
 * @throws Error with the reason, where JavaScript has no way to say the same
 */
export function pythonRegex(pattern: string, anchor: Anchor): RegExp {
  const { flags, rest } = leadingFlags(pattern);
  const source = translate(rest);
  if (anchor === 'findall') return new RegExp(source, `${flags}g`);
  return new RegExp(anchor === 'fullmatch' ? `${START}(?:${source})${END}` : `${START}(?:${source})`, flags);
}

/** Reads flags such as (?i), which stand at the very start only, as in Python since 3.11. */
function leadingFlags(pattern: string): { flags: string; rest: string } {
  const found = /^\(\?([aiLmsux]+)\)/.exec(pattern);
  if (found === null) return { flags: '', rest: pattern };
  const letters = found[1] as string;
  const foreign = /[Lx]/.exec(letters);
  if (foreign !== null) throw new Error(`the flag (?${foreign[0]}) has no counterpart in JavaScript`);
  return { flags: [...new Set(letters.replaceAll(/[au]/g, ''))].join(''), rest: pattern.slice(found[0].length) };
}

function translate(pattern: string): string {
  let out = '';
  for (let i = 0; i < pattern.length; ) {
    const [text, length] = piece(pattern, i);
    out += text;
    i += length;
  }
  return out;
}

/** Translates the piece at `i`. @returns JavaScript's spelling, and the length of Python's */
function piece(pattern: string, i: number): readonly [text: string, length: number] {
  const rest = pattern.slice(i);
  const first = rest[0] as string;
  if (first === '\\') return escapeSequence(rest, false);
  if (first === '[') return characterClass(rest);
  if (rest.startsWith('(?')) return group(rest);
  if (first === '{') return repetition(rest);
  if (first === '+' && /[*+?}]/.test(pattern[i - 1] ?? '') && !isEscaped(pattern, i - 1))
    throw new Error('possessive repetition has no counterpart in JavaScript');
  return [first, 1];
}

function isEscaped(pattern: string, at: number): boolean {
  let backslashes = 0;
  while (pattern[at - 1 - backslashes] === '\\') backslashes++;
  return backslashes % 2 === 1;
}

function escapeSequence(rest: string, inClass: boolean): readonly [string, number] {
  const letter = rest[1];
  if (letter === undefined) throw new Error('it ends in a backslash');
  if (letter === 'a') return ['\\x07', 2];
  if (!inClass && letter === 'A') return [START, 2];
  if (!inClass && letter === 'Z') return [END, 2];
  if (/[A-Za-z]/.test(letter) && !SHARED_ESCAPES.test(letter))
    throw new Error(`\\${letter} has no counterpart in JavaScript`);
  return [`\\${letter}`, 2];
}

/** Translates a class. A `]` that comes first is a member in Python, and would end the class in JavaScript. */
function characterClass(rest: string): readonly [string, number] {
  let out = rest.startsWith('[^') ? '[^' : '[';
  let i = out.length;
  for (let first = true; i < rest.length; first = false) {
    const char = rest[i] as string;
    if (char === ']' && !first) return [`${out}]`, i + 1];
    const [text, length] = char === '\\' ? escapeSequence(rest.slice(i), true) : [char === ']' ? '\\]' : char, 1];
    out += text;
    i += length;
  }
  throw new Error('a character class has no end');
}

function group(rest: string): readonly [string, number] {
  const named = /^\(\?P<(\w+)>/.exec(rest);
  if (named !== null) return [`(?<${named[1]}>`, named[0].length];
  const backreference = /^\(\?P=(\w+)\)/.exec(rest);
  if (backreference !== null) return [`\\k<${backreference[1]}>`, backreference[0].length];
  const plain = /^\(\?(?:[:=!]|<[=!])/.exec(rest);
  if (plain !== null) return [plain[0], plain[0].length];
  const comment = /^\(\?#[^)]*\)/.exec(rest);
  if (comment !== null) return ['', comment[0].length];
  throw new Error(`the group ${rest.slice(0, 5)}... has no counterpart in JavaScript`);
}

/** Translates braces. {,n} counts from 0 in Python; braces that hold no count stand for themselves. */
function repetition(rest: string): readonly [string, number] {
  const counted = /^\{(\d*)(,?)(\d*)\}/.exec(rest);
  if (counted === null || counted[0] === '{}') return ['\\{', 1];
  const [all, from, comma, to] = counted as unknown as readonly [string, string, string, string];
  return [`{${from || '0'}${comma}${to}}`, all.length];
}
