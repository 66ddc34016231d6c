/** The report as Markdown that GitHub shows: tables in place, charts as files beside it. */
import { elementText, markdownText } from '../results/markdown.ts';
import { type Block, type Inline, numericColumns, type ReportDocument, type Section, type Table } from './document.ts';

/** Folder of the chart files, relative to report.md. */
export const CHART_FOLDER = 'charts';

/** Renders the document in the order and with the figures of the HTML. */
export function renderMarkdown(report: ReportDocument): string {
  const head = [`# ${markdownText(report.title)}`, markdownText(report.subtitle)];
  const blocks = [...head, ...report.lead.map(blockText), ...report.sections.flatMap(sectionText)];
  return `${blocks.join('\n\n')}\n`;
}

function sectionText({ heading, blocks }: Section): string[] {
  return [`## ${markdownText(heading)}`, ...blocks.map(blockText)];
}

function blockText(block: Block): string {
  switch (block.kind) {
    case 'paragraph':
      return inlineText(block.content);
    case 'verdict':
      return `**${inlineText(block.content).trim()}**`;
    case 'banner':
      return `> [!WARNING]\n> ${inlineText(block.content)}`;
    case 'list':
      return block.items.map((item) => `- ${inlineText(item)}`).join('\n');
    case 'commands':
      return fenced(block.lines.join('\n'));
    case 'details':
      return [
        `<details><summary>${elementText(block.summary)}</summary>`,
        ...block.blocks.map(blockText),
        '</details>',
      ].join('\n\n');
    case 'table':
      return tableText(block);
    case 'chart':
      return `![${markdownText(`${block.title}: ${block.description}`)}](${CHART_FOLDER}/${block.name}.svg)`;
  }
}

/** A fence longer than any row of backticks inside, which would end the block. */
function fenced(text: string): string {
  const inside = text.match(/`+/g) ?? [];
  const fence = '`'.repeat(inside.reduce((most, { length }) => Math.max(most, length + 1), 3));
  return [`${fence}sh`, text, fence].join('\n');
}

function tableText({ caption, columns, rows, total = false }: Table): string {
  const numeric = numericColumns({ columns, rows });
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  const cellsOf = (row: readonly Inline[], r: number) => {
    const bold = total && r === rows.length - 1;
    return row.map((cell) => (bold ? `**${inlineText([cell])}**` : inlineText([cell])));
  };
  return [
    `**${markdownText(caption)}**`,
    '',
    line(columns.map(markdownText)),
    line(numeric.map((isNumeric) => (isNumeric ? '---:' : ':---'))),
    ...rows.map((row, r) => line(cellsOf(row, r))),
  ].join('\n');
}

function inlineText(content: readonly Inline[]): string {
  return content
    .map((inline) => {
      if (typeof inline === 'string') return markdownText(inline);
      return inline.kind === 'figure' ? inline.text : codeText(inline.text);
    })
    .join('');
}

/** Formats a code span: a backtick inside would end it, and GitHub splits table cells at a bar inside code. */
function codeText(text: string): string {
  return `\`${text.replaceAll('`', "'").replaceAll('|', '\\|').replace(/\s+/g, ' ')}\``;
}
