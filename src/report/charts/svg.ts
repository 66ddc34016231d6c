/** What every chart has around it. */
import type { Chart } from '../document.ts';

export type ChartText = Pick<Chart, 'name' | 'title' | 'description'>;

type Framed = ChartText & { readonly width: number; readonly height: number };

/** Puts the marks of a chart into an SVG with the title and description that a screen reader needs. */
export function accessible(inner: string, { name, title, description, width, height }: Framed): string {
  const head = `<svg role="img" aria-labelledby="${name}-title ${name}-desc" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}">`;
  return `${head}<title id="${name}-title">${escapeXml(title)}</title><desc id="${name}-desc">${escapeXml(description)}</desc>${inner}</svg>`;
}

export function escapeXml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
