/** Formats what cards hold as tables for a terminal. */
import { max as largest } from 'simple-statistics';
import type { CardFigures, MethodRemedies } from '../../estimate/guide-types.ts';
import { remedyLines } from '../../estimate/remedies.ts';
import type { EstimateResult } from '../../estimate/types.ts';
import { formatBytes } from '../../report/format.ts';
import { assumedLine, cardsLegend, rowsCell, tokensCell } from './words.ts';

const LABEL = 12;
const CELL = 10;

/** A line for each card with the longest row and the largest batch of each method, and what would help. */
export function guideTable(result: EstimateResult): string {
  const { guide } = result;
  if (guide === undefined) return '';
  const width = Math.max(LABEL, largest(guide.cards.map(({ title }) => title.length + 2)));
  const line = (label: string, cells: readonly string[]): string =>
    `${label.padEnd(width)}${cells.map((cell) => cell.padStart(CELL)).join('')}`;
  const methods = guide.cards[0]?.methods.map(({ method }) => method) ?? [];
  const cells = (card: CardFigures): string[] => card.methods.flatMap((m) => [tokensCell(m), rowsCell(m)]);
  const assumed = assumedLine(result);
  return [
    '',
    line('what fits', ['', ...methods.flatMap((method) => [method, ''])]),
    line('', ['free', ...methods.flatMap(() => ['tokens', 'rows'])]),
    ...guide.cards.map((card) => line(card.title, [formatBytes(card.usable_bytes), ...cells(card)])),
    ...cardsLegend(result),
    ...guide.remedies.flatMap((remedies) => ['', ...remediesText(remedies, guide.cards)]),
    ...(assumed === null ? [] : ['', assumed]),
    '',
  ].join('\n');
}

/** What would help a method, in the words of a run that is refused. */
function remediesText({ method, changes }: MethodRemedies, cards: readonly CardFigures[]): string[] {
  const cardOf = new Map(changes.map(({ peak_bytes, card }) => [peak_bytes, card]));
  const verdict = (bytes: number): string => {
    const card = cardOf.get(bytes) ?? null;
    if (card === null) return 'is still too much';
    return cards.length === 1 ? 'fits' : `fits ${card}`;
  };
  const where = cards.length === 1 ? `does not fit ${cards[0]?.title}` : 'does not fit every card';
  return [
    `${method} ${where}${changes.length === 0 ? ', and nothing here would help' : ''}.`,
    ...remedyLines(
      changes.map(({ what, peak_bytes: bytes }) => ({ what, bytes })),
      verdict,
    ),
  ];
}
