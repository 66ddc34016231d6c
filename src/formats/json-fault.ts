/** Where a text stops being JSON: engines do not all say it. */

const SPACE = /[ \t\n\r]*/y;
const SCALAR = /true|false|null|-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?/y;
// biome-ignore lint/suspicious/noControlCharactersInRegex: JSON forbids them in strings
const STRING = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*/y;

/** Finds the first character, in UTF-16 units, at which `text` cannot be JSON; null for JSON. The length: it ends too early. */
export function jsonFault(text: string): number | null {
  const open: ('{' | '[')[] = [];
  let at = 0;
  let wants: 'value' | 'key' | 'first key' | 'first value' | 'next' = 'value';
  const take = (pattern: RegExp): boolean => {
    pattern.lastIndex = at;
    const found = pattern.exec(text);
    if (found === null) return false;
    at += found[0].length;
    return true;
  };
  for (;;) {
    take(SPACE);
    const char = text[at];
    if (wants === 'next') {
      const inside = open.at(-1);
      if (inside === undefined) return at === text.length ? null : at;
      if (char === ',') wants = inside === '{' ? 'key' : 'value';
      else if (char === (inside === '{' ? '}' : ']')) open.pop();
      else return at;
      at++;
      continue;
    }
    if ((wants === 'first key' && char === '}') || (wants === 'first value' && char === ']')) {
      open.pop();
      at++;
      wants = 'next';
      continue;
    }
    if (char === '"') {
      take(STRING);
      if (text[at] !== '"') return at;
      at++;
      if (wants === 'value' || wants === 'first value') wants = 'next';
      else {
        take(SPACE);
        if (text[at] !== ':') return at;
        at++;
        wants = 'value';
      }
    } else if (wants === 'key' || wants === 'first key') return at;
    else if (char === '{' || char === '[') {
      open.push(char);
      at++;
      wants = char === '{' ? 'first key' : 'first value';
    } else if (!take(SCALAR)) return at;
    else wants = 'next';
  }
}
