/** What the same comparison would need at larger sizes: predicted, not measured. */
import { type CategoryBytes, totalBytes } from '../../results/run-schema.ts';
import type { ScaleUp, SuiteSummary } from '../../results/summary-schema.ts';
import { armLabel, categoryLabel, usedCategories } from '../arms.ts';
import { scaleChart } from '../charts/scale.ts';
import {
  type Block,
  bytesCells,
  bytesFigure,
  countFigure,
  paragraph,
  percentFigure,
  type Section,
  type Table,
} from '../document.ts';

const METHODS = ['lora', 'qlora', 'full'] as const;

/** Shows predicted peaks; null without estimates. */
export async function scaleSection({ estimates }: SuiteSummary): Promise<Section | null> {
  if (estimates === null || estimates.models.length === 0) return null;
  const categoryTables: Block[] = estimates.models.map((model) => categoryTable(model));
  return {
    id: 'scale',
    heading: 'At larger sizes',
    blocks: [
      paragraph(
        `Predicted from the plan of a training step on the device profile ${estimates.device_profile}, not measured: `,
        `${estimates.assumptions.join('; ')}. Dashed lines are memory sizes of common cards.`,
      ),
      await scaleChart(estimates),
      peakTable(estimates),
      { kind: 'details', summary: 'By category', blocks: categoryTables },
    ],
  };
}

type Predictions = ScaleUp['models'][number]['predictions'];

function peakOf(predictions: Predictions, method: (typeof METHODS)[number]): number | null {
  return predictions.find((entry) => entry.method === method)?.peak ?? null;
}

/** Computes the part of LoRA's predicted peak that QLoRA saves; null where one of the two was not predicted. */
export function savedByQlora(predictions: Predictions): number | null {
  const [lora, qlora] = [peakOf(predictions, 'lora'), peakOf(predictions, 'qlora')];
  return lora === null || qlora === null ? null : (lora - qlora) / lora;
}

function peakTable({ models }: ScaleUp): Table {
  return {
    kind: 'table',
    id: 'scale-peaks',
    caption: 'Predicted peak memory',
    columns: ['model', 'parameters', ...METHODS.map(armLabel), 'QLoRA saves'],
    rows: models.map(({ name, num_total_params, predictions }) => {
      const peaks = METHODS.map((method) => bytesFigure(peakOf(predictions, method)));
      return [name, countFigure(num_total_params), ...peaks, percentFigure(savedByQlora(predictions))];
    }),
  };
}

function categoryTable({ name, predictions }: ScaleUp['models'][number]): Table {
  const categories = usedCategories(predictions.map(({ by_category }) => by_category));
  const rowOf = (read: (bytes: CategoryBytes) => number) =>
    predictions.flatMap(({ by_category }) => bytesCells(read(by_category)));
  return {
    kind: 'table',
    id: `scale-${name.toLowerCase()}`,
    caption: `${name}: predicted peak by category`,
    columns: [
      'category',
      ...predictions.flatMap(({ method }) => [`${armLabel(method)}, exact bytes`, armLabel(method)]),
    ],
    rows: [
      ...categories.map((category) => [categoryLabel(category), ...rowOf((bytes) => bytes[category])]),
      ['peak', ...rowOf(totalBytes)],
    ],
    total: true,
  };
}
