/** Methods of Python's str inside chat templates, against what Jinja makes of them in transformers. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { compileTemplate } from '../../src/data/chat/render.ts';

const file = new URL('../golden/chat/strings.json', import.meta.url);
const rows = JSON.parse(readFileSync(file, 'utf8')) as readonly (readonly [string, string | null])[];
const rendered = (expression: string): string =>
  compileTemplate(`{{ (${expression}) | tojson }}`, new Date(0)).render({}, false).text;

test('573 expressions have the values of Python', () => {
  expect(rows).toHaveLength(573);
  for (const [expression, want] of rows) {
    if (want === null) expect(() => rendered(expression), expression).toThrow();
    else expect(rendered(expression), expression).toBe(want);
  }
});

test('60,000 blanks or letters inside a text are passed over in one go', () => {
  const x = `a${' '.repeat(60_000)}b ${'c'.repeat(60_000)} d`;
  const template = compileTemplate('{{ x.strip() | length }} {{ x.rsplit(none, 1) | last }}', new Date(0));
  const started = performance.now();
  expect(template.render({ x }, false).text).toBe(`${x.length} d`);
  expect(performance.now() - started).toBeLessThan(2000); // a search from every place took 90 s
});
