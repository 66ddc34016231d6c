/** The pictures of docs/performance.md, from the curves in the records. */
import { max as largest } from 'simple-statistics';
import { renderChart, standaloneSvg } from '#dist/report/charts/render.js';
import { armColor, INK, SURFACE } from '#dist/report/charts/theme.js';
import { decodeChart, isDecode } from './decode-charts.mjs';

/** @typedef {import('../shared/records.mjs').StoredRecord} StoredRecord */
/** @typedef {import('../shared/records.mjs').Curve} Curve */
/** @typedef {import('../shared/records.mjs').Point} Point */
/** @typedef {{ file: string, title: string, description: string, svg: string, record: StoredRecord }} Picture */
/** @typedef {Point & { line: string, method?: string | undefined, checkpointing?: string | undefined }} Mark a point of a line of a chart */

const MIB = 2 ** 20;
const GIB = 2 ** 30;
const F32_BYTES = 4;
const DASHES = { off: [1, 0], selective: [7, 4], full: [2, 3] };
const LABEL = { type: 'text', align: 'left', dx: 8, fontSize: 12 };
/** Pixels at the right for the names of the lines. */
const NAME_ROOM = 175;

/** @param {readonly StoredRecord[]} records @returns {Promise<Picture[]>} */
export async function drawPictures(records) {
  const pictures = [];
  for (const record of records) {
    /** @type {Map<string, Curve[]>} */
    const groups = new Map();
    for (const curve of record.curves ?? []) groups.set(curve.picture, [...(groups.get(curve.picture) ?? []), curve]);
    for (const [name, curves] of groups) {
      const chart = await (isDecode(name)
        ? decodeChart(name, curves)
        : name === 'vocabulary'
          ? vocabulary(curves[0])
          : sequence(name, curves));
      const { title, description } = chart;
      const file = isDecode(name) ? `${name}.svg` : `memory-${name}.svg`;
      pictures.push({ file, title, description, svg: standaloneSvg(chart), record });
    }
  }
  return pictures;
}

/** @param {Curve} curve */
const subject = ({ method, checkpointing }) => `${method}, checkpointing ${checkpointing}`;

/**
 * @param {string} name
 * @param {readonly Curve[]} curves
 */
function sequence(name, curves) {
  const model = name.slice('sequence-'.length);
  const most = largest(curves.flatMap(({ values }) => values.map(({ y }) => y)));
  const [unit, unitBytes] = most >= GIB ? /** @type {const} */ (['GiB', GIB]) : /** @type {const} */ (['MiB', MIB]);
  /** @type {(curve: Curve, point: Point) => Mark} */
  const mark = (curve, { x, y }) => ({
    method: curve.method,
    checkpointing: curve.checkpointing,
    x,
    y: y / unitBytes,
    line: subject(curve),
  });
  const values = curves.flatMap((curve) => curve.values.map((point) => mark(curve, point)));
  const runs = curves.flatMap((curve) => (curve.run === null ? [] : [mark(curve, curve.run)]));
  const ends = curves.map((curve) => endOf(values, subject(curve)));
  const methods = [...new Set(curves.map(({ method }) => method))];
  const x = {
    field: 'x',
    type: 'quantitative',
    title: 'tokens of the sequence',
    axis: { grid: false, format: ',d', labelOverlap: false, values: [512, 2048, 4096, 6144, 8192] },
    scale: { domain: [0, ends[0].x * (1 + NAME_ROOM / 600)], nice: false },
  };
  const y = { field: 'y', type: 'quantitative', title: `peak memory, ${unit}`, scale: { zero: true, nice: true } };
  const colors = { domain: methods, range: methods.map((_, i) => armColor(i)) };
  const color = { field: 'method', type: 'nominal', scale: colors, legend: null };
  const dashes = { domain: Object.keys(DASHES), range: Object.values(DASHES) };
  const strokeDash = { field: 'checkpointing', type: 'nominal', scale: dashes, legend: null };
  const lines = {
    data: { values },
    mark: { type: 'line', strokeWidth: 2.25 },
    encoding: { x, y, color, strokeDash, detail: { field: 'line' } },
  };
  const names = {
    data: { values: spaced(ends) },
    mark: { ...LABEL, color: INK },
    encoding: { x, y: { ...y, field: 'labelY' }, text: { field: 'line' }, color },
  };
  const dots = { data: { values: runs }, mark: dotMark(90), encoding: { x, y, color } };
  const title = `Peak memory over sequence length, ${model === 'small' ? 'a small model; dots were run' : model}`;
  const description = ends
    .map((end) => `${end.line} from ${startOf(values, end.line).y.toFixed(1)} to ${end.y.toFixed(1)} ${unit}`)
    .join('; ');
  const layer = runs.length > 0 ? [lines, names, dots] : [lines, names];
  return renderChart({ name, title, description }, { height: 400, layer });
}

/**
 * @param {readonly Mark[]} marks
 * @param {string} line
 */
function endOf(marks, line) {
  const end = marks.findLast((mark) => mark.line === line);
  if (end === undefined) throw new Error(`the curve ${line} has no points`);
  return end;
}

/**
 * @param {readonly Mark[]} marks
 * @param {string} line
 */
const startOf = (marks, line) => marks.find((mark) => mark.line === line) ?? endOf(marks, line);

/** @param {number} size */
const dotMark = (size) => ({ type: 'circle', size, opacity: 1, stroke: SURFACE, strokeWidth: 1.5 });

/**
 * Names of lines that end close to each other move apart.
 * @param {readonly Mark[]} ends
 */
function spaced(ends) {
  const least = largest(ends.map(({ y }) => y)) * 0.045;
  let above = Number.POSITIVE_INFINITY;
  return ends
    .toSorted((a, b) => b.y - a.y)
    .map((end) => {
      above = Math.min(end.y, above - least);
      return { ...end, labelY: above };
    });
}

/** @param {Curve} curve */
function vocabulary({ tokens = 0, values, run }) {
  const [chunked, whole] = ['in chunks, as nibble does', 'all rows at once'];
  const data = values.flatMap(({ x, y }) => [
    { x, y: y / MIB, line: chunked },
    { x, y: (tokens * x * F32_BYTES) / MIB, line: whole },
  ]);
  const ends = [chunked, whole].map((line) => endOf(data, line));
  const x = {
    field: 'x',
    type: 'quantitative',
    title: 'entries of the vocabulary',
    axis: {
      grid: false,
      format: ',d',
      labelOverlap: false,
      values: [8192, 16384, 32768, 65536, 131072, 262144],
    },
    scale: { type: 'log', domain: [values[0].x, ends[0].x * 2.1], nice: false },
  };
  const y = {
    field: 'y',
    type: 'quantitative',
    title: 'logits, MiB (log scale)',
    scale: { type: 'log', domain: [16, 4096], nice: false },
    axis: { values: [16, 64, 256, 1024, 4096] },
  };
  const color = {
    field: 'line',
    type: 'nominal',
    scale: { domain: [chunked, whole], range: [armColor(0), armColor(2)] },
    legend: null,
  };
  const dots = run === null ? [] : [{ x: run.x, y: run.y / MIB, line: chunked }];
  const title = `Logits of a loss over ${tokens.toLocaleString('en-US')} tokens, by vocabulary; the dot was run`;
  const description = ends
    .map(({ line, y: end }) => `${line} ${startOf(data, line).y.toFixed(0)} to ${end.toFixed(0)} MiB`)
    .join('; ');
  const layer = [
    {
      data: { values: data },
      mark: { type: 'line', strokeWidth: 2.25, point: { size: 30 } },
      encoding: { x, y, color },
    },
    { data: { values: ends }, mark: { ...LABEL, color: INK }, encoding: { x, y, text: { field: 'line' }, color } },
    { data: { values: dots }, mark: dotMark(110), encoding: { x, y, color } },
  ];
  return renderChart({ name: 'vocabulary', title, description }, { height: 340, layer });
}
