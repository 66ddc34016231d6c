/** Records of a JSON array of objects, element by element: the file may be larger than memory. */
import { DataError } from '../errors.ts';
import { type DataRecord, parseRecord } from './json-record.ts';
import type { Line } from './lines.ts';

/** Reads the elements of the array that a file holds. @throws DataError with line and column */
export async function* readJsonArray(lines: AsyncIterable<Line>, file: string): AsyncGenerator<DataRecord> {
  const scanner = new Scanner(file);
  for await (const { text, number } of lines) for (const record of scanner.take(text, number)) yield record;
  scanner.end();
}

/** What comes next outside of an element. */
type Expected = '[' | 'element or ]' | 'element' | ', or ]' | 'nothing';

class Scanner {
  readonly #file: string;
  #expected: Expected = '[';
  /** The text of the element that is open, and how deep its brackets are. */
  #element: string[] | null = null;
  #start = { line: 0, column: 0 };
  #depth = 0;
  #inString = false;
  #last = { line: 1, column: 1 };

  constructor(file: string) {
    this.#file = file;
  }

  *take(text: string, line: number): Generator<DataRecord> {
    if (this.#element !== null) this.#element.push('\n');
    for (let at = 0; at < text.length; ) {
      if (this.#element === null) at = this.#between(text, at, line);
      else {
        const end = this.#inside(text, at);
        this.#element.push(text.slice(at, end));
        at = end;
        if (this.#depth > 0 || this.#inString) continue;
        yield parseRecord(this.#element.join(''), { file: this.#file, ...this.#start });
        this.#element = null;
        this.#expected = ', or ]';
      }
    }
    this.#last = { line, column: text.length + 1 };
  }

  /** Passes over what stands between elements; returns where the next one begins, or the end. */
  #between(text: string, from: number, line: number): number {
    for (let at = from; at < text.length; at++) {
      const char = text[at]!;
      if (' \t\r'.includes(char)) continue;
      if (this.#expected === '[' && char === '[') this.#expected = 'element or ]';
      else if (char === ']' && (this.#expected === 'element or ]' || this.#expected === ', or ]'))
        this.#expected = 'nothing';
      else if (char === ',' && this.#expected === ', or ]') this.#expected = 'element';
      else if (char === '{' && this.#expected.startsWith('element')) {
        this.#element = [];
        this.#start = { line, column: at + 1 };
        return at;
      } else throw this.#fault(line, at + 1, JSON.stringify(char));
    }
    return text.length;
  }

  /** Follows an element to its end, or to the end of the line. */
  #inside(text: string, from: number): number {
    for (let at = from; at < text.length; at++) {
      const char = text[at];
      if (this.#inString) {
        if (char === '\\') at++;
        else if (char === '"') this.#inString = false;
      } else if (char === '"') this.#inString = true;
      else if (char === '{' || char === '[') this.#depth++;
      else if ((char === '}' || char === ']') && --this.#depth === 0) return at + 1;
    }
    return text.length;
  }

  /** @throws DataError where the array is still open */
  end(): void {
    if (this.#expected === 'nothing' && this.#element === null) return;
    throw this.#fault(this.#last.line, this.#last.column, 'the end of the file');
  }

  #fault(line: number, column: number, got: string): DataError {
    const wanted = { '[': 'an array', nothing: 'nothing behind the array' }[this.#expected as '['];
    return new DataError(
      `${this.#file}:${line}:${column}`,
      `is not a JSON array of objects: got ${got}, wanted ${wanted ?? this.#expected.replace('element', 'an object')}. Fetch or write the file again.`,
    );
  }
}
