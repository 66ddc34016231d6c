/** What a task makes of a row: text, target, choices and prefix, each a column, a template or a value, as lm-eval takes them. */
import { fromJson, str } from '../data/chat/values.ts';
import { DataError } from '../errors.ts';
import { pythonLiteral } from '../formats/python-literal.ts';
import { compileTaskTemplate, type Doc, type TaskTemplate } from './template.ts';

export type Target = string | number | readonly (string | number)[];
type Choices = string | readonly string[] | Readonly<Record<string, string>>;

/** A row and where it stands. */
export type PlacedDoc = { readonly doc: Doc; readonly where: string };

export class DocFields {
  readonly #columns: ReadonlySet<string>;
  readonly #hasChoices: boolean;
  readonly #templates = new Map<string, TaskTemplate>();

  /** @param columns of the rows that are evaluated: what has the name of one is that column. */
  constructor(columns: ReadonlySet<string>, hasChoices: boolean) {
    this.#columns = columns;
    this.#hasChoices = hasChoices;
  }

  text(source: string, placed: PlacedDoc, key = 'doc_to_text'): string {
    const value = this.#columns.has(source) ? placed.doc[source] : this.render(source, placed, key);
    const isNumber = typeof value === 'number' || (this.#hasChoices && /^\d+$/.test(String(value)));
    if (key === 'doc_to_text' && isNumber)
      throw new DataError(
        placed.where,
        'doc_to_text gives a number, which asks for several prompts with one answer; nibble takes one prompt with several choices.',
      );
    if (typeof value !== 'string')
      throw new DataError(placed.where, `${key} gives ${str(fromJson(value))}, needs a text.`);
    return value;
  }

  target(source: string | number | readonly string[], placed: PlacedDoc): Target {
    if (typeof source !== 'string') return source;
    if (this.#columns.has(source)) return checkedTarget(placed.doc[source], placed.where);
    const rendered = this.render(source, placed, 'doc_to_target');
    if (/^\d+$/.test(rendered) && this.#hasChoices) return Number(rendered);
    if (rendered.length < 2 || !rendered.startsWith('[') || !rendered.endsWith(']')) return rendered;
    try {
      return checkedTarget(pythonLiteral(rendered), placed.where);
    } catch {
      // a text in brackets is a text
      return rendered;
    }
  }

  choices(source: Choices, placed: PlacedDoc): readonly string[] {
    if (typeof source !== 'string') return Array.isArray(source) ? source : Object.values(source);
    const value = this.#columns.has(source) ? placed.doc[source] : this.#literal(source, placed);
    const isList = Array.isArray(value) && value.length > 0 && value.every((choice) => typeof choice === 'string');
    if (!isList)
      throw new DataError(placed.where, `doc_to_choice gives ${str(fromJson(value))}, needs a list of texts.`);
    return value as string[];
  }

  #literal(source: string, placed: PlacedDoc): unknown {
    const rendered = this.render(source, placed, 'doc_to_choice');
    try {
      return pythonLiteral(rendered);
    } catch (error) {
      throw new DataError(
        placed.where,
        `doc_to_choice gives ${JSON.stringify(rendered)}, needs a list as Python writes it (${(error as Error).message}).`,
      );
    }
  }

  /** Renders a template. @throws DataError naming the row and the key */
  render(source: string, { doc, where }: PlacedDoc, key: string): string {
    try {
      const template = this.#templates.get(source) ?? compileTaskTemplate(source);
      this.#templates.set(source, template);
      return template(doc);
    } catch (error) {
      const columns = Object.keys(doc).join(', ');
      throw new DataError(
        where,
        `${key} cannot be rendered (${(error as Error).message}). The columns of the row are ${columns}.`,
      );
    }
  }
}

function checkedTarget(value: unknown, where: string): Target {
  const isPlain = (one: unknown): one is string | number => typeof one === 'string' || typeof one === 'number';
  if (isPlain(value) || (Array.isArray(value) && value.length > 0 && value.every(isPlain))) return value;
  throw new DataError(where, `doc_to_target gives ${str(fromJson(value))}, needs a text, a number, or a list of them.`);
}
