/** An estimate as a document, for Markdown. */
import type { Guide } from '../../estimate/guide-types.ts';
import type { EstimateResult, MethodEstimate } from '../../estimate/types.ts';
import { CATEGORIES } from '../../gpu/category.ts';
import { type Block, paragraph, type ReportDocument, type Table } from '../../report/document.ts';
import { formatBytes, formatCount } from '../../report/format.ts';
import { assumedLine, cardsLegend, formatGB, rowsCell, tokensCell } from './words.ts';

export function estimateDocument(result: EstimateResult): ReportDocument {
  const { model, compute_dtype, profile, guide, per_device_train_batch_size: batch, max_length: length } = result;
  const assumed = assumedLine(result);
  const size = `${batch} x ${length.toLocaleString('en-US')} tokens`;
  return {
    title: `GPU memory of ${model}`,
    subtitle: `Full batches of ${size}, ${compute_dtype}, limits of ${profile}.`,
    lead: assumed === null ? [] : [paragraph(assumed)],
    sections: [
      { id: 'methods', heading: 'By method', blocks: [methodsTable(result), ...reasons(result)] },
      ...(guide === undefined ? [] : [{ id: 'cards', heading: 'What fits', blocks: cardBlocks(result, guide) }]),
    ],
  };
}

function methodsTable({ estimates }: EstimateResult): Table {
  const row = (label: string, of: (done: Extract<MethodEstimate, { by_category: unknown }>) => string): string[] => [
    label,
    ...estimates.map((estimate) => (estimate.peak_bytes === null ? '–' : of(estimate))),
  ];
  return {
    kind: 'table',
    id: 'methods',
    caption: 'Bytes at the peak, by category',
    columns: ['', ...estimates.map(({ method }) => method)],
    rows: [
      ...[...CATEGORIES, 'alignment' as const].map((category) =>
        row(category, (e) => formatBytes(e.by_category[category])),
      ),
      row('trained parameters', (e) => formatCount(e.num_trainable_params)),
      row('peak', (e) => `${formatBytes(e.peak_bytes)} (${formatGB(e.peak_bytes)})`),
    ],
    total: true,
  };
}

const reasons = ({ estimates }: EstimateResult): Block[] =>
  estimates.flatMap((e) => (e.peak_bytes === null ? [paragraph(`${e.method}: ${e.reason}`)] : []));

function cardBlocks(result: EstimateResult, { cards, remedies }: Guide): Block[] {
  const methods = cards[0]?.methods.map(({ method }) => method) ?? [];
  return [
    {
      kind: 'table',
      id: 'cards',
      caption: 'Longest row and largest batch of each card',
      columns: ['card', 'free', ...methods.flatMap((method) => [`${method}: tokens`, `${method}: rows`])],
      rows: cards.map(({ title, usable_bytes, methods: figures }) => [
        title,
        formatBytes(usable_bytes),
        ...figures.flatMap((m) => [tokensCell(m), rowsCell(m)]),
      ]),
    },
    { kind: 'list', items: cardsLegend(result).map((text) => [text]) },
    ...remedies.map(
      ({ method, changes }): Table => ({
        kind: 'table',
        id: `help-${method}`,
        caption: `What would help ${method}`,
        columns: ['change', 'peak then', 'smallest card that holds it'],
        rows: changes.map(({ what, peak_bytes, card }) => [what, formatBytes(peak_bytes), card ?? 'none of these']),
      }),
    ),
  ];
}
