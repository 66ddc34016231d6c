/** Text of others inside Markdown: shown as it is, whatever it holds. */

/** Escapes text that Markdown must show as it is: no markup, no HTML, no line break inside a table row. */
export function markdownText(text: string): string {
  return elementText(text.replace(/\s+/g, ' ').replace(/[\\`*_[\]|~]/g, '\\$&'));
}

/** Escapes text inside an HTML element of a Markdown file, where Markdown's own marks mean nothing. */
export function elementText(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}

/** A table of cells that are Markdown already. */
export function markdownTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}
