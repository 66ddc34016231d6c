/** Parts of evaluation that the golden tasks do not reach. */
import { describe, expect, test } from 'vitest';
import { rollingWindows, strideWindows } from '../../src/eval/encode.ts';
import { applyFilters } from '../../src/eval/filters.ts';
import { batchesOf } from '../../src/eval/score.ts';
import { metricRows } from '../../src/eval/table.ts';
import { compileTaskTemplate } from '../../src/eval/template.ts';

describe('templates', () => {
  test('keep line ends and know regex_replace', () => {
    expect(compileTaskTemplate('{{ a }}\n')({ a: 1 })).toBe('1\n');
    expect(compileTaskTemplate('{% if a %}\n  x\n{% endif %}')({ a: 1 })).toBe('\n  x\n');
    expect(compileTaskTemplate("{{ a | regex_replace('(b+)', '<\\\\1>') }}")({ a: 'abba' })).toBe('a<bb>a');
  });

  test('refuse what a row does not have, but for a question whether it has', () => {
    expect(() => compileTaskTemplate('{{ b }}')({ a: 1 })).toThrow('not there');
    expect(() => compileTaskTemplate("{{ 'x' ~ b }}")({ a: 1 })).toThrow('not there');
    expect(compileTaskTemplate('{% if b is defined %}x{% endif %}')({ a: 1 })).toBe('');
  });
});

describe('filters', () => {
  test.each([
    [[{ function: 'regex', regex_pattern: '(\\d+)' }], ['so 12, 13'], '12'],
    [[{ function: 'regex', regex_pattern: '(\\d+)', group_select: -1 }], ['so 12, 13'], '13'],
    [[{ function: 'regex', regex_pattern: '(a)|(b)' }], ['xb'], 'b'],
    [[{ function: 'regex', regex_pattern: '\\d' }], ['none'], '[invalid]'],
    [[{ function: 'lowercase' }, { function: 'map', mapping_dict: { yes: 'Y' } }], ['YES'], 'Y'],
    [[{ function: 'map', mapping_dict: {} }], ['no'], null],
    [[{ function: 'majority_vote' }], ['a', 'b', 'b'], 'b'],
    [[{ function: 'take_first_k', k: 2 }, { function: 'majority_vote' }], ['a', 'b', 'b'], 'a'],
  ])('%j of %j', (filters, answers, want) => {
    expect(applyFilters([...filters, { function: 'take_first' }], answers)).toBe(want);
  });
});

describe('windows', () => {
  const ids = [1, 2, 3, 4, 5, 6, 7];

  test('of rolling texts ask for each token once, the last with all the context there is', () => {
    expect(rollingWindows(ids, { prefixId: 0, maxLength: 3 })).toEqual([
      { ids: [0, 1, 2, 3], own: 3 },
      { ids: [3, 4, 5, 6], own: 3 },
      { ids: [4, 5, 6, 7], own: 1 },
    ]);
    expect(rollingWindows([], { prefixId: 0, maxLength: 3 })).toEqual([]);
  });

  test('by strides end where the text does', () => {
    expect(strideWindows(ids, 4, 2).map(({ begin, end, own, weight }) => [begin, end, own, weight])).toEqual([
      [0, 4, 3, 3],
      [2, 6, 2, 1],
    ]);
  });
});

test('batches hold rows of like lengths, each once', () => {
  const batches = batchesOf([5, 400, 17, 6, 3], 2, 512);
  expect(batches.flatMap(({ rows }) => rows).sort()).toEqual([0, 1, 2, 3, 4]);
  expect(batches).toEqual([
    { B: 1, S: 512, rows: [1] },
    { B: 1, S: 24, rows: [2] },
    { B: 2, S: 16, rows: [3, 0] },
    { B: 1, S: 16, rows: [4] },
  ]);
});

test('a table of nothing has no row', () => {
  expect(metricRows([])).toEqual([]);
});
