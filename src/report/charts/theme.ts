/** Colours and type of the charts. Colours are CSS variables, so that one SVG serves light, dark and print. */
import { MEMORY_CATEGORIES, type MemoryCategory } from '../../results/run-schema.ts';

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
  'arm-4': '#14705c',
  'arm-5': '#7a4fa3',
  'arm-6': '#a8324a',
  'arm-7': '#7a6a00',
  'arm-8': '#0f7f96',
  'arm-9': '#b03a7a',
  'arm-10': '#4a7a1d',
} as const;

const DARK: Record<keyof typeof LIGHT, string> = {
  ink: '#e8ebf0',
  muted: '#a7b0bd',
  line: '#3a424d',
  surface: '#171b21',
  'arm-1': '#6ab4f2',
  'arm-2': '#f79a54',
  'arm-3': '#aeb8c4',
  'arm-4': '#5fcfab',
  'arm-5': '#b79be0',
  'arm-6': '#ef8296',
  'arm-7': '#d6c24a',
  'arm-8': '#55c6dd',
  'arm-9': '#e98bc3',
  'arm-10': '#97cf63',
};

/** Light and dark. A category without colours of its own takes a spare pair. */
const CATEGORY_COLORS: Readonly<Record<string, readonly [light: string, dark: string]>> = {
  base_weights: ['#23609f', '#4b93dc'],
  quant_state: ['#86b6e3', '#a9d2f5'],
  adapter: ['#14705c', '#2b9c83'],
  gradients: ['#3fae8d', '#5fcfab'],
  optimizer: ['#a4d6a8', '#b6e6ba'],
  activations: ['#7a4fa3', '#a67bd1'],
  logits: ['#bfa0d8', '#d3bbe8'],
  workspace: ['#d9731a', '#f08e3c'],
  kv_cache: ['#b03a7a', '#e06bb0'],
  staging: ['#efc25a', '#f5d27f'],
  alignment: ['#8a929c', '#9aa3ae'],
};
const SPARE_COLORS = [
  ['#a8324a', '#e0647e'],
  ['#e3a0ae', '#f2c0cb'],
] as const;

/** Colours of the categories by name, side 0 for light and 1 for dark. */
export function categoryColors(categories: readonly string[], side: 0 | 1): Record<string, string> {
  const without = categories.filter((category) => CATEGORY_COLORS[category] === undefined);
  const pair = (category: string) =>
    CATEGORY_COLORS[category] ?? SPARE_COLORS[without.indexOf(category) % SPARE_COLORS.length];
  return Object.fromEntries(categories.map((category) => [category, pair(category)?.[side] ?? LIGHT.muted]));
}

const declare = (colors: Record<string, string>) =>
  Object.entries(colors)
    .map(([name, color]) => `--${name}:${color}`)
    .join(';');

const light = declare({ ...LIGHT, ...categoryColors(MEMORY_CATEGORIES, 0) });
const dark = declare({ ...DARK, ...categoryColors(MEMORY_CATEGORIES, 1) });

/** The variables, for a page or for an SVG that stands alone. */
export const THEME_CSS = `:root{color-scheme:light dark;${light}}
@media (prefers-color-scheme:dark){:root{${dark}}}
@media print{:root{color-scheme:light;${light}}}`;

export const INK = 'var(--ink)';
export const MUTED = 'var(--muted)';
export const LINE = 'var(--line)';
export const SURFACE = 'var(--surface)';

/** Arms that have a colour of their own; with more, colours come round again. */
export const ARM_COLORS = 10;

/** Pixels of a label beyond which its end is cut. */
export const LABEL_LIMIT = 260;

/** Baseline, treatment, then the others. */
export function armColor(index: number): string {
  return `var(--arm-${(index % ARM_COLORS) + 1})`;
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
    labelLimit: LABEL_LIMIT,
  },
  axisX: { labelOverlap: 'greedy', labelSeparation: 6, labelFlush: false, labelPadding: 12 },
  axisY: { labelColor: INK, labelFontSize: 13 },
  legend: {
    orient: 'top',
    title: null,
    labelColor: INK,
    labelFontSize: 12,
    labelLimit: LABEL_LIMIT,
    symbolStrokeWidth: 0,
    symbolSize: 110,
    columnPadding: 14,
    rowPadding: 6,
    offset: 12,
  },
  text: { color: INK, fontSize: 12 },
} as const;
