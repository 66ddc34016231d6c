/**
 * Lines over the steps of one run, drawn without Vega: a page is written at every checkpoint of a run, in milliseconds, and
 * where Vega is not installed. Colours, type and sizes are those of the other charts.
 */
import type { Chart } from '../document.ts';
import { accessible, type ChartText, escapeXml } from './svg.ts';
import { armColor, CHART_WIDTH, FONT, INK, LINE, MUTED } from './theme.ts';
import { thinnedCurve } from './thin.ts';

export type Line = {
  readonly name: string;
  readonly points: readonly { readonly step: number; readonly value: number }[];
  /** Whether every point is marked, as those of evaluations are. */
  readonly dots?: boolean;
};

const HEIGHT = 280;
const PLOT = { left: 76, right: 16, bottom: 44 } as const;
/** Room above the plot, with a legend and without. */
const TOP = { legend: 34, plain: 12 } as const;
const TICKS = { x: 10, y: 6 } as const;
const LEGEND_LETTER = 7;

/** Draws lines in the order given. Points that are not finite are left out, and the line goes on behind them. */
export function linesChart(text: ChartText, yTitle: string, lines: readonly Line[]): Chart {
  const curves = lines.map(({ points, ...line }) => ({
    ...line,
    points: thinnedCurve(
      points
        .filter(({ value }) => Number.isFinite(value))
        .map(({ step, value }) => ({ step, loss: value, low: value, high: value })),
    ),
  }));
  const top = lines.length > 1 ? TOP.legend : TOP.plain;
  const all = curves.flatMap(({ points }) => points);
  const x = scaleOf(
    all.map(({ step }) => step),
    TICKS.x,
    [PLOT.left, CHART_WIDTH - PLOT.right],
    1,
  );
  const y = scaleOf(
    all.flatMap(({ low, high }) => [low, high]),
    TICKS.y,
    [HEIGHT - PLOT.bottom, top],
    0,
  );
  const marks = curves.map(({ points, dots = false }, i) => {
    const at = points.map(({ step, loss }) => `${round(x.at(step))},${round(y.at(loss))}`);
    const line = `<polyline points="${at.join(' ')}" fill="none" stroke="${armColor(i)}" stroke-width="2.25" stroke-linejoin="round"/>`;
    const isMarked = dots || points.length === 1;
    return line + (isMarked ? points.map(({ step, loss }) => dot(x.at(step), y.at(loss), armColor(i))).join('') : '');
  });
  const inner = [grid(x, y), ...marks, axisTitles(yTitle, top), lines.length > 1 ? legend(lines) : ''].join('');
  const svg = `<g font-family='${FONT.replaceAll('"', '')}' font-size="12">${inner}</g>`;
  return { kind: 'chart', ...text, svg: accessible(svg, { ...text, width: CHART_WIDTH, height: HEIGHT }) };
}

type Scale = { readonly at: (value: number) => number; readonly ticks: readonly number[] };

/** A linear scale from values to pixels, with ticks at 1, 2 or 5 times a power of ten. @param least the finest tick; 0 for any */
function scaleOf(
  values: readonly number[],
  count: number,
  [from, to]: readonly [number, number],
  least: number,
): Scale {
  const low = values.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY);
  const high = values.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  const isEmpty = values.length === 0;
  const [first, span] = isEmpty ? [0, 1] : [low, high - low || Math.abs(high) || 1];
  // values lie a little inside the plot, whose ends are no ticks
  const margin = least > 0 ? 0 : span / 12;
  const start = first - margin;
  const width = span + 2 * margin;
  const step = Math.max(niceStep(width / count), least);
  const firstTick = Math.ceil(start / step - 1e-9);
  const lastTick = Math.floor((start + width) / step + 1e-9);
  const ticks = Array.from({ length: Math.max(0, lastTick - firstTick + 1) }, (_, i) => (firstTick + i) * step);
  return { ticks, at: (value) => from + ((value - start) / width) * (to - from) };
}

function niceStep(least: number): number {
  const power = 10 ** Math.floor(Math.log10(least));
  return power * ([1, 2, 5, 10].find((factor) => factor * power >= least * (1 - 1e-9)) ?? 10);
}

const round = (pixels: number): number => Math.round(pixels * 10) / 10;

function grid(x: Scale, y: Scale): string {
  const right = CHART_WIDTH - PLOT.right;
  const bottom = HEIGHT - PLOT.bottom;
  const rows = y.ticks.map((tick) => {
    const at = round(y.at(tick));
    const line = `<line x1="${PLOT.left}" x2="${right}" y1="${at}" y2="${at}" stroke="${LINE}"/>`;
    return `${line}<text x="${PLOT.left - 8}" y="${at + 4}" text-anchor="end" fill="${INK}">${labelOf(tick)}</text>`;
  });
  const columns = x.ticks.map(
    (tick) =>
      `<text x="${round(x.at(tick))}" y="${bottom + 18}" text-anchor="middle" fill="${MUTED}">${labelOf(tick)}</text>`,
  );
  return [...rows, ...columns].join('');
}

/** A tick without the digits that adding up powers of ten leaves behind: 0.3, not 0.30000000000000004. */
function labelOf(tick: number): string {
  const size = Math.abs(tick);
  if (size !== 0 && (size < 1e-3 || size >= 1e6)) return Number(tick.toPrecision(6)).toExponential().replace('e+', 'e');
  return Number(tick.toPrecision(6)).toLocaleString('en-US', { maximumFractionDigits: 6 });
}

function axisTitles(yTitle: string, top: number): string {
  const middle = (top + HEIGHT - PLOT.bottom) / 2;
  const x = `<text x="${CHART_WIDTH / 2}" y="${HEIGHT - 6}" text-anchor="middle" fill="${MUTED}">step</text>`;
  const y = `<text transform="translate(16 ${middle}) rotate(-90)" text-anchor="middle" fill="${MUTED}">${escapeXml(yTitle)}</text>`;
  return x + y;
}

const dot = (x: number, y: number, color: string): string =>
  `<circle cx="${round(x)}" cy="${round(y)}" r="3.5" fill="${color}"/>`;

function legend(lines: readonly Line[]): string {
  let x: number = PLOT.left;
  return lines
    .map(({ name }, i) => {
      const entry = `<rect x="${x}" y="8" width="11" height="11" fill="${armColor(i)}"/><text x="${x + 17}" y="18" fill="${INK}">${escapeXml(name)}</text>`;
      x += 17 + name.length * LEGEND_LETTER + 18;
      return entry;
    })
    .join('');
}
