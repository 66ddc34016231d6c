/** Reads Python's literals, as ast.literal_eval does: texts, numbers, lists, tuples, dictionaries, True, False and None. */

/** Levels of lists that are followed. */
const MOST_LEVELS = 100;
const ESCAPES: Readonly<Record<string, string>> = {
  n: '\n',
  t: '\t',
  r: '\r',
  '\\': '\\',
  "'": "'",
  '"': '"',
  a: '\x07',
  b: '\b',
  f: '\f',
  v: '\v',
  '\n': '',
};
const HEX_DIGITS: Readonly<Record<string, number>> = { x: 2, u: 4, U: 8 };
const NAMES: Readonly<Record<string, unknown>> = { True: true, False: false, None: null };

/** Tuples become arrays and dictionaries objects. @throws Error that says where the text is no literal */
export function pythonLiteral(text: string): unknown {
  const reader = new Reader(text);
  const value = reader.value(0);
  reader.end();
  return value;
}

class Reader {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  value(depth: number): unknown {
    if (depth > MOST_LEVELS) throw new Error(`nests more than ${MOST_LEVELS} deep`);
    this.#space();
    const char = this.#text[this.#at] ?? '';
    if (char === '[') return this.#list(']', depth);
    if (char === '(') return this.#list(')', depth);
    if (char === '{') return this.#dictionary(depth);
    if (char === "'" || char === '"') return this.#string();
    const word = /[\w.+-]+/y;
    word.lastIndex = this.#at;
    const found = word.exec(this.#text)?.[0];
    if (found === undefined) return this.#fail();
    const isNumber = /^[+-]?(\d+(_\d+)*|\d*\.\d+|\d+\.\d*)([eE][+-]?\d+)?$/.test(found);
    if (!isNumber && !Object.hasOwn(NAMES, found)) return this.#fail();
    this.#at += found.length;
    return isNumber ? Number(found.replaceAll('_', '')) : NAMES[found];
  }

  end(): void {
    this.#space();
    if (this.#at < this.#text.length) this.#fail();
  }

  #list(close: string, depth: number): unknown[] {
    const values: unknown[] = [];
    this.#at++;
    while (!this.#takes(close)) {
      values.push(this.value(depth + 1));
      if (!this.#takes(',') && !this.#sees(close)) this.#fail();
    }
    return values;
  }

  #dictionary(depth: number): Record<string, unknown> {
    const entries: [string, unknown][] = [];
    this.#at++;
    while (!this.#takes('}')) {
      const key = String(this.value(depth + 1));
      if (!this.#takes(':')) this.#fail();
      entries.push([key, this.value(depth + 1)]);
      if (!this.#takes(',') && !this.#sees('}')) this.#fail();
    }
    return Object.fromEntries(entries);
  }

  #string(): string {
    const mark = this.#text[this.#at++]!;
    let out = '';
    for (;;) {
      const char = this.#text[this.#at++];
      if (char === undefined || char === '\n') return this.#fail() as never;
      if (char === mark) return out;
      out += char === '\\' ? this.#escape() : char;
    }
  }

  #escape(): string {
    const letter = this.#text[this.#at++] ?? '';
    const digits = HEX_DIGITS[letter];
    if (digits !== undefined) {
      const hex = this.#text.slice(this.#at, this.#at + digits);
      this.#at += digits;
      return String.fromCodePoint(Number.parseInt(hex, 16));
    }
    return ESCAPES[letter] ?? `\\${letter}`;
  }

  #space(): void {
    while (/\s/.test(this.#text[this.#at] ?? '')) this.#at++;
  }

  #sees(char: string): boolean {
    this.#space();
    return this.#text[this.#at] === char;
  }

  #takes(char: string): boolean {
    const found = this.#sees(char);
    if (found) this.#at++;
    return found;
  }

  #fail(): unknown {
    const rest = this.#text.slice(this.#at, this.#at + 20);
    throw new Error(
      rest === '' ? 'it ends too early' : `${JSON.stringify(rest)} cannot stand at character ${this.#at}`,
    );
  }
}
