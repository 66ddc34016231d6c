/** Colours and type of the charts. Colours are CSS variables, so that one SVG serves light, dark and print. */
import type { MemoryCategory } from '../../results/run-schema.ts';

export const FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif';
/** Pixels of every chart, axes included. */
export const CHART_WIDTH = 820;

const LIGHT = {
  ink: '#1d232b',
  muted: '#566070',
  line: '#d5dae1',
  surface: '#ffffff',
  'arm-1': '#1f6fb5',
  'arm-2': '#c4560a',
  'arm-3': '#5d6b7a',
  base_weights: '#23609f',
  quant_state: '#86b6e3',
  adapter: '#14705c',
  gradients: '#3fae8d',
  optimizer: '#a4d6a8',
  activations: '#7a4fa3',
  logits: '#bfa0d8',
  workspace: '#d9731a',
  staging: '#efc25a',
  alignment: '#8a929c',
} as const;

const DARK: Record<keyof typeof LIGHT, string> = {
  ink: '#e8ebf0',
  muted: '#a7b0bd',
  line: '#3a424d',
  surface: '#171b21',
  'arm-1': '#6ab4f2',
  'arm-2': '#f79a54',
  'arm-3': '#aeb8c4',
  base_weights: '#4b93dc',
  quant_state: '#a9d2f5',
  adapter: '#2b9c83',
  gradients: '#5fcfab',
  optimizer: '#b6e6ba',
  activations: '#a67bd1',
  logits: '#d3bbe8',
  workspace: '#f08e3c',
  staging: '#f5d27f',
  alignment: '#9aa3ae',
};

const declare = (colors: Record<string, string>) =>
  Object.entries(colors)
    .map(([name, color]) => `--${name}:${color}`)
    .join(';');

/** The variables, for a page or for an SVG that stands alone. */
export const THEME_CSS = `:root{color-scheme:light dark;${declare(LIGHT)}}
@media (prefers-color-scheme:dark){:root{${declare(DARK)}}}
@media print{:root{color-scheme:light;${declare(LIGHT)}}}`;

export const INK = 'var(--ink)';
export const MUTED = 'var(--muted)';
const LINE = 'var(--line)';
export const SURFACE = 'var(--surface)';

/** Baseline, treatment, then everything else. */
export function armColor(index: number): string {
  return `var(--arm-${Math.min(index, 2) + 1})`;
}

export function categoryColor(category: MemoryCategory): string {
  return `var(--${category})`;
}

/** Vega-Lite's config for all charts: quiet grid, no domain lines, text no smaller than 12 px. */
export const CHART_CONFIG = {
  background: 'transparent',
  font: FONT,
  padding: 4,
  aria: false,
  view: { stroke: null },
  axis: {
    labelColor: MUTED,
    titleColor: MUTED,
    labelFontSize: 12,
    titleFontSize: 12,
    titleFontWeight: 'normal',
    gridColor: LINE,
    domain: false,
    ticks: false,
    labelPadding: 6,
    titlePadding: 8,
  },
  axisY: { labelColor: INK, labelFontSize: 13 },
  legend: {
    orient: 'top',
    title: null,
    labelColor: INK,
    labelFontSize: 12,
    labelLimit: 200,
    symbolStrokeWidth: 0,
    symbolSize: 110,
    columnPadding: 14,
    rowPadding: 6,
    offset: 12,
  },
  text: { color: INK, fontSize: 12 },
} as const;
