/** Renders a Vega-Lite specification to an SVG that needs no script, no font file and no network. */
import type { TopLevelSpec } from 'vega-lite';
import { optionalPackages } from '../../errors.ts';
import type { Chart } from '../document.ts';
import { accessible, type ChartText } from './svg.ts';
import { CHART_CONFIG, CHART_WIDTH, THEME_CSS } from './theme.ts';

/** The part of a specification that charts do not share. The width of every chart includes its axes. */
export type ChartSpec = { readonly height: number; readonly layer: readonly unknown[]; readonly encoding?: unknown };

type ChartLibraries = {
  readonly vega: typeof import('vega');
  readonly compile: typeof import('vega-lite').compile;
};

/** Loads the chart libraries, which are optional: a machine that only trains does without. @throws ConfigError */
export async function chartLibraries(): Promise<ChartLibraries> {
  const loading = Promise.all([import('vega'), import('vega-lite')]);
  const [vega, { compile }] = await optionalPackages(loading, 'vega and vega-lite', 'charts');
  return { vega, compile };
}

/** Renders a chart; equal specifications give equal bytes. */
export async function renderChart(text: ChartText, spec: ChartSpec): Promise<Chart> {
  const { vega, compile } = await chartLibraries();
  const full = {
    width: CHART_WIDTH,
    autosize: { type: 'fit', contains: 'padding' },
    config: CHART_CONFIG,
    ...(marked(spec) as ChartSpec),
  } as unknown as TopLevelSpec;
  const view = new vega.View(vega.parse(compile(full).spec), { renderer: 'none' });
  const svg = await view.toSVG();
  view.finalize();
  return { kind: 'chart', ...text, svg: accessibleSvg(svg.replaceAll(MARK, ''), text) };
}

/** An invisible letter (a word joiner) that no name of ours holds. */
const MARK = '\u2060';

/**
 * Marks values such as "constructor" in a specification: vega 6.4.0 looks for what was seen in plain objects, and finds the
 * members that every object has.
 */
function marked(part: unknown): unknown {
  if (typeof part === 'string') return part in {} ? `${MARK}${part}` : part;
  if (typeof part !== 'object' || part === null) return part;
  if (Array.isArray(part)) return part.map(marked);
  return Object.fromEntries(Object.entries(part).map(([key, value]) => [key, marked(value)]));
}

/** Drops what an SVG inside a page does without: its namespace. */
function accessibleSvg(svg: string, text: ChartText): string {
  const [, width] = /<svg[^>]* width="([\d.]+)"/.exec(svg) ?? [];
  const [, height] = /<svg[^>]* height="([\d.]+)"/.exec(svg) ?? [];
  return accessible(svg.slice(svg.indexOf('>', svg.indexOf('<svg')) + 1, svg.lastIndexOf('</svg>')), {
    ...text,
    width: Number(width),
    height: Number(height),
  });
}

/** Makes a chart a file of its own for Markdown, opaque and with its colours inside. */
export function standaloneSvg({ svg }: Chart): string {
  const background = '<rect width="100%" height="100%" fill="var(--surface)"/>';
  return svg
    .replace('<svg ', '<svg xmlns="http://www.w3.org/2000/svg" ')
    .replace('</desc>', `</desc><style>${THEME_CSS}</style>${background}`);
}
