/** Peak memory by category, one stacked bar an arm. */
import { max as largest } from 'simple-statistics';
import type { CategoryBytes } from '../../results/run-schema.ts';
import { totalBytes } from '../../results/run-schema.ts';
import { categoryLabel, usedCategories } from '../arms.ts';
import type { Chart } from '../document.ts';
import { formatBytes } from '../format.ts';
import { byteAxis, legendColumns } from './axis.ts';
import { renderChart } from './render.ts';
import { categoryColor, INK, SURFACE } from './theme.ts';

export type ArmMemory = { readonly label: string; readonly bytes: CategoryBytes };

/** Draws bars in the order given, segments in the ledger's order, and the total at the end of each bar. */
export function memoryChart(arms: readonly ArmMemory[]): Promise<Chart> {
  const categories = usedCategories(arms.map(({ bytes }) => bytes));
  const axis = byteAxis(largest(arms.map(({ bytes }) => totalBytes(bytes))));
  const segments = arms.flatMap(({ label, bytes }) =>
    categories.map((category, order) => ({
      arm: label,
      category: categoryLabel(category),
      order,
      size: bytes[category] / axis.unitBytes,
    })),
  );
  const totals = arms.map(({ label, bytes }) => ({
    arm: label,
    size: totalBytes(bytes) / axis.unitBytes,
    text: formatBytes(totalBytes(bytes)),
  }));
  const y = { field: 'arm', type: 'nominal', sort: arms.map(({ label }) => label), title: null };
  const color = {
    field: 'category',
    type: 'nominal',
    scale: { domain: categories.map(categoryLabel), range: categories.map(categoryColor) },
    legend: {
      columns: legendColumns(
        categories.map(categoryLabel),
        arms.map(({ label }) => label),
      ),
    },
  };
  const x = { field: 'size', type: 'quantitative', title: `peak memory, ${axis.unit}`, scale: { domain: axis.domain } };
  return renderChart(
    {
      name: 'memory',
      title: 'Peak memory by category',
      description: totals.map(({ arm, text }) => `${arm} ${text}`).join('; '),
    },
    {
      height: 96 + 62 * arms.length,
      layer: [
        {
          data: { values: segments },
          mark: { type: 'bar', height: { band: 0.68 }, stroke: SURFACE, strokeWidth: 1 },
          encoding: { y, x: { ...x, stack: 'zero' }, color, order: { field: 'order', type: 'quantitative' } },
        },
        {
          data: { values: totals },
          mark: { type: 'text', align: 'left', dx: 8, fontSize: 13, fontWeight: 600, color: INK },
          encoding: { y, x, text: { field: 'text' } },
        },
      ],
    },
  );
}
