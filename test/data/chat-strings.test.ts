/** Methods of Python's str inside chat templates, against what Jinja makes of them in transformers. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { compileTemplate } from '../../src/data/chat/render.ts';

const file = new URL('../golden/chat/strings.json', import.meta.url);
const rows = JSON.parse(readFileSync(file, 'utf8')) as readonly (readonly [string, string | null])[];
const rendered = (expression: string): string =>
  compileTemplate(`{{ (${expression}) | tojson }}`, new Date(0)).render({}, false).text;

test('557 expressions have the values of Python', () => {
  expect(rows).toHaveLength(557);
  for (const [expression, want] of rows) {
    if (want === null) expect(() => rendered(expression), expression).toThrow();
    else expect(rendered(expression), expression).toBe(want);
  }
});
