/** Records as Markdown: where a row of a page stands, and each record as a table with what it was measured on. */
import { misses } from './records.mjs';

/** @typedef {import('./records.mjs').StoredRecord} StoredRecord */
/** @typedef {import('./records.mjs').Figure} Figure */

/** @param {readonly StoredRecord[]} records of one row @returns {string} */
export function standing(records) {
  const bounded = records.flatMap(({ figures }) => figures.filter(({ bound }) => bound !== null));
  const missed = bounded.filter(misses).length;
  if (records.length === 0) return 'not measured';
  if (missed > 0) return `**${missed} of ${bounded.length} figures miss their bound**`;
  return bounded.length === 0 ? 'reported, nothing was promised' : `all ${bounded.length} figures within their bounds`;
}

/** @param {StoredRecord} record @returns {string} */
export function block(record) {
  return [`### ${record.title}`, provenance(record), pivot(record.figures) ?? list(record.figures)].join('\n\n');
}

/** @param {StoredRecord} record */
function provenance({ measured, command, environment }) {
  const parts = Object.entries(environment).map(([key, value]) => `${key} ${value}`);
  return `Measured ${measured} by \`${command}\`: ${parts.join('; ')}.`;
}

/**
 * A row each.
 * @param {readonly Figure[]} figures
 */
function list(figures) {
  const noted = figures.some(({ note }) => note !== undefined);
  const head = ['what', 'reached', 'bound', 'unit', '', ...(noted ? ['note'] : [])];
  const body = figures.map((figure) => {
    const { what, reached, bound, unit, note = '' } = figure;
    return [
      what,
      shown(reached),
      bound === null ? 'none' : `${figure.least ? 'at least ' : ''}${exact(bound)}`,
      unit,
      verdict(figure),
      ...(noted ? [note] : []),
    ];
  });
  return table(head, body);
}

/**
 * Figures named "subject: figure" become a row a subject; null where they are not, or share too few columns for that.
 * @param {readonly Figure[]} figures
 */
function pivot(figures) {
  /** @type {Map<string, Map<string, Figure>>} */
  const subjects = new Map();
  /** @type {Map<string, string>} */
  const columns = new Map();
  for (const figure of figures) {
    const at = figure.what.lastIndexOf(': ');
    if (at < 0 || figure.note !== undefined) return null;
    const [subject, name] = [figure.what.slice(0, at), figure.what.slice(at + 2)];
    const head = `${name}, ${figure.unit}${figure.bound === null ? '' : ` (${exact(figure.bound)})`}`;
    if ((columns.get(name) ?? head) !== head) return null;
    columns.set(name, head);
    subjects.set(subject, (subjects.get(subject) ?? new Map()).set(name, figure));
  }
  const cells = subjects.size * columns.size;
  if (subjects.size === 1 || columns.size === 1 || figures.length < FILLED * cells) return null;
  const body = [...subjects].map(([subject, row]) => [
    subject,
    ...[...columns.keys()].map((name) => cell(row.get(name))),
  ]);
  return `${table(['', ...columns.values()], body)}\n\nBounds are in brackets.`;
}

/** A table with fewer of its cells filled reads worse than a list. */
const FILLED = 0.8;

/** @param {Figure | undefined} figure */
function cell(figure) {
  if (figure === undefined) return 'none';
  return misses(figure) ? `**${shown(figure.reached)} (misses)**` : shown(figure.reached);
}

/** @param {Figure} figure */
function verdict(figure) {
  if (figure.bound === null) return 'reported';
  return misses(figure) ? '**misses**' : 'within';
}

/**
 * @param {readonly string[]} head
 * @param {readonly (readonly string[])[]} body
 */
export function table(head, body) {
  const line = (/** @type {readonly string[]} */ cells) =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...body.map(line)].join('\n');
}

/**
 * Two digits are enough of a difference; counts and large figures are given whole or to four digits.
 * @param {number | null} value
 */
function shown(value) {
  if (value === null) return 'not a number';
  if (Number.isInteger(value)) return value.toLocaleString('en-US');
  if (Math.abs(value) < 0.1) return value.toExponential(1);
  return Number(value.toPrecision(4)).toString();
}

/** @param {number} value */
function exact(value) {
  return Number.isInteger(value) || Math.abs(value) >= 0.1 ? String(value) : value.toExponential();
}
