/**
 * A report as data: sections build it, HTML and Markdown render it.
 * A number is formatted once, in a figure that also carries its raw value, so that no two outputs can disagree.
 */
import {
  formatBytes,
  formatCount,
  formatFixed,
  formatMs,
  formatPercent,
  formatRatio,
  formatSeconds,
} from './format.ts';

/** A number as it is shown, and as it is. */
export type Figure = { readonly kind: 'figure'; readonly text: string; readonly raw: number | null };
/** Text that is set as code. */
export type Code = { readonly kind: 'code'; readonly text: string };
export type Inline = string | Figure | Code;

export type Table = {
  readonly kind: 'table';
  readonly id: string;
  readonly caption: string;
  readonly columns: readonly string[];
  readonly rows: readonly (readonly Inline[])[];
  /** The last row is a total. */
  readonly total?: boolean;
};

export type Chart = {
  readonly kind: 'chart';
  /** File name without ending, and prefix of the ids inside the SVG. */
  readonly name: string;
  readonly title: string;
  /** What a reader who does not see the chart has to know. */
  readonly description: string;
  readonly svg: string;
};

export type Block =
  | { readonly kind: 'paragraph' | 'banner' | 'verdict'; readonly content: readonly Inline[] }
  | { readonly kind: 'list'; readonly items: readonly (readonly Inline[])[] }
  | { readonly kind: 'commands'; readonly lines: readonly string[] }
  | { readonly kind: 'details'; readonly summary: string; readonly blocks: readonly Block[] }
  | Table
  | Chart;

export type Section = { readonly id: string; readonly heading: string; readonly blocks: readonly Block[] };

export type ReportDocument = {
  readonly title: string;
  readonly subtitle: string;
  /** Verdict and banner, before any heading. */
  readonly lead: readonly Block[];
  readonly sections: readonly Section[];
};

export const code = (text: string): Code => ({ kind: 'code', text });
export const paragraph = (...content: Inline[]): Block => ({ kind: 'paragraph', content });

const figureIn =
  (format: (value: number | null) => string) =>
  (raw: number | null): Figure => ({ kind: 'figure', text: format(raw), raw });

/** Formats a figure in any format. */
export const figure = (raw: number | null, format: (value: number | null) => string): Figure => figureIn(format)(raw);
export const bytesFigure = figureIn(formatBytes);
export const countFigure = figureIn(formatCount);
export const msFigure = figureIn(formatMs);
export const secondsFigure = figureIn(formatSeconds);
export const ratioFigure = figureIn(formatRatio);
export const percentFigure = figureIn(formatPercent);
export const fixedFigure = (raw: number | null, decimals: number): Figure =>
  figureIn((v) => formatFixed(v, decimals))(raw);

/** Two cells for a size: exact bytes, and the size in its unit. */
export const bytesCells = (bytes: number | null): [exact: Figure, short: Figure] => [
  countFigure(bytes),
  bytesFigure(bytes),
];

/** Tells for each column whether it holds figures only, and is set flush right. */
export function numericColumns({ columns, rows }: Pick<Table, 'columns' | 'rows'>): boolean[] {
  return columns.map((_, i) => rows.every((row) => typeof row[i] === 'object' && row[i].kind === 'figure'));
}

/** Lists the charts of a document in reading order. */
export function chartsOf(document: ReportDocument): Chart[] {
  return [...document.lead, ...document.sections.flatMap((section) => section.blocks)].flatMap(chartsIn);
}

function chartsIn(block: Block): Chart[] {
  if (block.kind === 'chart') return [block];
  return block.kind === 'details' ? block.blocks.flatMap(chartsIn) : [];
}
