/** The peak of one run by category as a bar, drawn without Vega (see lines.ts). */
import { type CategoryBytes, totalBytes } from '../../results/run-schema.ts';
import { categoryLabel, usedCategories } from '../arms.ts';
import type { Chart } from '../document.ts';
import { formatBytes } from '../format.ts';
import { accessible, type ChartText, escapeXml } from './svg.ts';
import { CHART_WIDTH, categoryColor, FONT, INK, SURFACE } from './theme.ts';

const BAR = { top: 8, height: 36 } as const;
const LEGEND = { columns: 4, top: 66, row: 22, width: 200 } as const;

/** Segments in the ledger's order, and below them what each is. */
export function peakBar(bytes: CategoryBytes): Chart {
  const categories = usedCategories([bytes]);
  const total = totalBytes(bytes);
  let x = 0;
  const segments = categories.map((category) => {
    const width = (bytes[category] / total) * CHART_WIDTH;
    const segment = `<rect x="${x.toFixed(1)}" y="${BAR.top}" width="${width.toFixed(1)}" height="${BAR.height}" fill="${categoryColor(category)}" stroke="${SURFACE}"/>`;
    x += width;
    return segment;
  });
  const entries = categories.map((category, i) => {
    const left = (i % LEGEND.columns) * LEGEND.width;
    const top = LEGEND.top + Math.floor(i / LEGEND.columns) * LEGEND.row;
    const label = `${categoryLabel(category)} ${formatBytes(bytes[category])}`;
    return `<rect x="${left}" y="${top - 10}" width="11" height="11" fill="${categoryColor(category)}"/><text x="${left + 17}" y="${top}" fill="${INK}">${escapeXml(label)}</text>`;
  });
  const height = LEGEND.top + Math.ceil(categories.length / LEGEND.columns) * LEGEND.row;
  const text: ChartText = {
    name: 'memory',
    title: `Peak GPU memory by category: ${formatBytes(total)}`,
    description: categories.map((category) => `${categoryLabel(category)} ${formatBytes(bytes[category])}`).join('; '),
  };
  const inner = `<g font-family='${FONT.replaceAll('"', '')}' font-size="12">${[...segments, ...entries].join('')}</g>`;
  return { kind: 'chart', ...text, svg: accessible(inner, { ...text, width: CHART_WIDTH, height }) };
}
