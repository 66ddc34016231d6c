/** The pictures of generation, from the curves in its record: a line for each form of the base. */
import { renderChart } from '#dist/report/charts/render.js';
import { armColor } from '#dist/report/charts/theme.js';

/** @typedef {import('../shared/records.mjs').Curve} Curve */
/** @typedef {{ title: string, x: string, y: string, unit: number, log?: boolean, what: string }} Axes */

/** @type {Readonly<Record<string, Axes>>} */
const AXES = {
  'decode-context': {
    title: 'Time of a token by its context, over that at the first (software driver)',
    x: 'tokens before it',
    y: 'times',
    unit: 1,
    log: true,
    what: 'times',
  },
  'decode-batch': {
    title: 'Time of a token by the sequences of a batch, over that of one (software driver)',
    x: 'sequences of the batch',
    y: "times, of a sequence's token",
    unit: 1,
    log: true,
    what: 'times',
  },
  'decode-memory': {
    title: 'Peak memory of generation by context, Llama-2-7B, one sequence',
    x: 'tokens of the context',
    y: 'peak memory, GiB',
    unit: 2 ** 30,
    what: 'GiB',
  },
};

/** @param {string} name */
export const isDecode = (name) => Object.hasOwn(AXES, name);

/** @param {string} name @param {readonly Curve[]} curves */
export function decodeChart(name, curves) {
  const axes = /** @type {Axes} */ (AXES[name]);
  const values = curves.flatMap(({ method = '', values: points }) =>
    points.map(({ x, y }) => ({ x, y: y / axes.unit, base: method })),
  );
  const bases = curves.map(({ method = '' }) => method);
  const ticks = [...new Set(values.map(({ x }) => x))];
  const x = {
    field: 'x',
    type: 'quantitative',
    title: axes.x,
    axis: { grid: false, format: ',d', values: ticks, labelOverlap: false },
    scale: axes.log ? { type: 'log', base: 2, nice: false } : { zero: true, nice: false },
  };
  const y = { field: 'y', type: 'quantitative', title: axes.y, scale: { zero: true, nice: true } };
  const color = {
    field: 'base',
    type: 'nominal',
    title: 'base',
    scale: { domain: bases, range: bases.map((_, i) => armColor(i)) },
  };
  const description = curves
    .map(({ method, values: points }) => {
      const [first, last] = [points[0], points.at(-1)];
      return `${method} from ${((first?.y ?? Number.NaN) / axes.unit).toFixed(2)} to ${((last?.y ?? Number.NaN) / axes.unit).toFixed(2)} ${axes.what}`;
    })
    .join('; ');
  const mark = { type: 'line', strokeWidth: 2.25, point: { size: 40 } };
  const layer = [{ data: { values }, mark, encoding: { x, y, color } }];
  return renderChart({ name, title: axes.title, description }, { height: 320, layer });
}
