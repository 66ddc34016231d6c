/** docs/performance.md from the records of results/performance: no figure on it is typed in. */
import { block, standing, table } from '../shared/page.mjs';
import { PROMISES } from './promises.mjs';

/** @typedef {import('../shared/records.mjs').StoredRecord} StoredRecord */
/** @typedef {import('./promises.mjs').Promised & { number: number, records: readonly StoredRecord[] }} Row */

/**
 * @param {readonly StoredRecord[]} records
 * @param {readonly import('./charts.mjs').Picture[]} pictures
 * @returns {string} the page
 */
export function renderPage(records, pictures) {
  const rows = PROMISES.map((promise, i) => ({
    ...promise,
    number: i + 1,
    records: records.filter(({ row }) => row === i + 1),
  }));
  return `${[HEAD, standingOfGpus(rows), summary(rows), ...rows.map((row) => section(row, pictures))].join('\n\n')}\n`;
}

const HEAD = `# Performance

What was measured, what was promised, and where. Every figure was measured by the command that stands with it; this page is
made from [results/performance](../results/performance) by \`npm run performance\`, which measures what needs neither
Python nor a second checkout and writes the page again. Do not edit it.`;

/** The first ones, which bench/gpu-host/gpu-host.sh measures on a GPU. */
const GPU_ROWS = 5;

/** @param {readonly Row[]} rows */
function standingOfGpus(rows) {
  const measured = rows.filter(({ number, records }) => number <= GPU_ROWS && records.length > 0);
  const where =
    measured.length === 0
      ? `**No GPU has run nibble yet**, so rows 1 to ${GPU_ROWS} are not measured.`
      : `Rows ${measured.map(({ number }) => number).join(', ')} were measured on a GPU; what they came from is in [results/gpu-host](../results/gpu-host).`;
  return `${where} The other rows were measured on a machine of two cores; what
else it was doing is in the load of each record. Ratios have both sides in one run, times are medians.
Software drivers say how nibble's versions compare with each other, not how fast a GPU is.`;
}

/** @param {readonly Row[]} rows */
function summary(rows) {
  const body = rows.map((row) => [`${row.number}`, row.what, row.promised, stands(row), row.by]);
  return table(['', 'what', 'promised', 'where it stands', 'measured by'], body);
}

/** @param {Row} row */
const stands = ({ records, tests }) => (tests === undefined || records.length > 0 ? standing(records) : 'tested');

/**
 * @param {Row} row
 * @param {readonly import('./charts.mjs').Picture[]} pictures
 */
function section({ number, what, records, promised, by, tests }, pictures) {
  const head = `## ${number}. ${what}\n\nPromised: ${promised}.`;
  if (records.length > 0) return [head, ...records.map((record) => withPictures(record, pictures))].join('\n\n');
  if (tests === undefined) return `${head}\n\nNot measured; ${by} would.`;
  return `${head}\n\nTests hold each tier against the same f64 loops:\n\n${tests.map((file) => `- [${file}](../${file})`).join('\n')}`;
}

/**
 * @param {StoredRecord} record
 * @param {readonly import('./charts.mjs').Picture[]} pictures
 */
function withPictures(record, pictures) {
  const own = pictures.filter((picture) => picture.record === record);
  const images = own.map(({ file, title, description }) => `![${title}: ${description}](performance/${file})`);
  const remark = record.remark === undefined ? [] : [record.remark];
  return [block(record), ...remark, ...images].join('\n\n');
}
