/** The report as one HTML file: no script to run, nothing to fetch, light and dark, and the data inside. */
import { FONT, THEME_CSS } from './charts/theme.ts';
import {
  type Block,
  type Chart,
  type Inline,
  numericColumns,
  type ReportDocument,
  type Section,
  type Table,
} from './document.ts';
import { Html, html, scriptJson } from './html-template.ts';
import { PAGE_CSS } from './page-style.ts';

const CSP = "default-src 'none'; style-src 'unsafe-inline'; img-src data:";

/**
 * Renders a whole page.
 * @param data what the page was made of, which goes in as JSON, so that a program can read the page back; null leaves it out
 */
export function renderHtml(report: ReportDocument, data: object | null): string {
  const page = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${new Html(CSP)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${report.title}</title>
<style>${new Html(`${THEME_CSS}\n:root{--font:${FONT}}\n${PAGE_CSS}`)}</style>
</head>
<body>
<main>
<header><h1>${report.title}</h1><p class="subtitle">${report.subtitle}</p></header>
${report.lead.map(blockHtml)}
<nav aria-label="Contents"><ul>${report.sections.map(contentsEntry)}</ul></nav>
${report.sections.map(sectionHtml)}
</main>
${data === null ? [] : [html`<script type="application/json" id="nibble-data">${scriptJson(data)}</script>\n`]}</body>
</html>
`;
  return page.text;
}

const contentsEntry = ({ id, heading }: Section) => html`<li><a href="#${id}">${heading}</a></li>`;

function sectionHtml({ id, heading, blocks }: Section): Html {
  return html`<section id="${id}">
<h2>${heading}</h2>
${blocks.map(blockHtml)}
</section>
`;
}

function blockHtml(block: Block): Html {
  switch (block.kind) {
    case 'paragraph':
      return html`<p>${block.content.map(inlineHtml)}</p>\n`;
    case 'verdict':
      return html`<p class="verdict">${block.content.map(inlineHtml)}</p>\n`;
    case 'banner':
      return html`<p class="banner" role="note">${block.content.map(inlineHtml)}</p>\n`;
    case 'list':
      return html`<ul>${block.items.map((item) => html`<li>${item.map(inlineHtml)}</li>`)}</ul>\n`;
    case 'commands':
      return html`<pre tabindex="0"><code>${block.lines.join('\n')}</code></pre>\n`;
    case 'details':
      return html`<details><summary>${block.summary}</summary>\n${block.blocks.map(blockHtml)}</details>\n`;
    case 'table':
      return tableHtml(block);
    case 'chart':
      return chartHtml(block);
  }
}

function chartHtml({ title, svg }: Chart): Html {
  return html`<figure><figcaption>${title}</figcaption><div class="scroll" tabindex="0" role="group" aria-label="${title}">${new Html(svg)}</div></figure>\n`;
}

function tableHtml({ id, caption, columns, rows, total = false }: Table): Html {
  const numeric = numericColumns({ columns, rows });
  const align = (i: number) => new Html(numeric[i] ? ' class="n"' : '');
  const body = rows.map((row, r) => {
    const [first, ...rest] = row;
    const cells = rest.map((cell, i) => html`<td${align(i + 1)}>${inlineHtml(cell)}</td>`);
    const style = new Html(total && r === rows.length - 1 ? ' class="total"' : '');
    return html`<tr${style}><th scope="row">${inlineHtml(first ?? '')}</th>${cells}</tr>\n`;
  });
  return html`<div class="scroll" tabindex="0" role="region" aria-label="${caption}"><table id="${id}">
<caption>${caption}</caption>
<thead><tr>${columns.map((column, i) => html`<th scope="col"${align(i)}>${column}</th>`)}</tr></thead>
<tbody>
${body}</tbody>
</table></div>
`;
}

/** Renders text or a figure, which keeps its raw value in the markup so that a page can be checked against its data. */
function inlineHtml(inline: Inline): Html {
  if (typeof inline === 'string') return html`${inline}`;
  if (inline.kind === 'code') return html`<code>${inline.text}</code>`;
  return inline.raw === null ? html`${inline.text}` : html`<data value="${inline.raw}">${inline.text}</data>`;
}
