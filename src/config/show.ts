/** Formats any value for a message, walking no more of it than is printed. */

/** Longer values are cut: a corrupt file must not flood the screen. */
const SHOWN_CHARACTERS = 80;

/**
 * Formats a value as JSON of at most 80 characters and, where there is more, an ellipsis. Never throws: circular and deep
 * values are cut like long ones, and what JSON lacks (NaN, 10n, a function) is spelled as JavaScript does.
 */
export function show(value: unknown): string {
  // as files mean it: "shape is absent, needs a list of sizes"
  if (value === undefined) return 'absent';
  const out = new ShortText(SHOWN_CHARACTERS);
  write(out, value);
  return out.text;
}

/** A text that takes no more once it is full. */
class ShortText {
  readonly #most: number;
  #text = '';

  constructor(most: number) {
    this.#most = most;
  }

  add(part: string): void {
    this.#text += part;
  }

  /** Characters that would still be seen, and one more, which shows that something is left out. */
  get room(): number {
    return this.#most - this.#text.length + 1;
  }

  get text(): string {
    if (this.#text.length <= this.#most) return this.#text;
    const cut = this.#text.slice(0, this.#most);
    // no half of a surrogate pair: it cannot be printed
    return `${/[\ud800-\udbff]$/.test(cut) ? cut.slice(0, -1) : cut}…`;
  }
}

/** Each level writes at least its bracket, so the recursion ends with the room. */
function write(out: ShortText, value: unknown): void {
  if (out.room <= 0) return;
  if (typeof value === 'string') out.add(quoted(value.slice(0, out.room)));
  else if (typeof value === 'bigint') out.add(`${value}n`);
  else if (typeof value === 'function') out.add('a function');
  else if (typeof value !== 'object' || value === null) out.add(String(value));
  else writeObject(out, value);
}

/** As JSON, with what a terminal would follow escaped as well. */
function quoted(text: string): string {
  return JSON.stringify(text).replace(
    /[\u007f-\u009f\u2028\u2029\ufeff]/g,
    (letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

function writeObject(out: ShortText, value: object): void {
  try {
    if (Array.isArray(value) || (ArrayBuffer.isView(value) && 'length' in value)) writeList(out, value as unknown[]);
    else if (value instanceof Date) out.add(JSON.stringify(value));
    else writeMapping(out, value);
  } catch {
    // a getter or a proxy that throws is no reason to lose the message
    out.add('an object that cannot be read');
  }
}

function writeList(out: ShortText, list: ArrayLike<unknown>): void {
  out.add('[');
  for (let i = 0; i < list.length && out.room > 0; i++) {
    if (i > 0) out.add(',');
    write(out, list[i]);
  }
  out.add(']');
}

function writeMapping(out: ShortText, mapping: object): void {
  out.add('{');
  let isFirst = true;
  for (const key in mapping) {
    if (out.room <= 0) break;
    if (!Object.hasOwn(mapping, key)) continue;
    if (!isFirst) out.add(',');
    isFirst = false;
    out.add(`${quoted(key.slice(0, out.room))}:`);
    write(out, (mapping as Record<string, unknown>)[key]);
  }
  out.add('}');
}
