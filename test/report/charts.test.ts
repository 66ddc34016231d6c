/** What a reader takes from a chart: its size, what its axes say, and that marks stand where the axes put their values. */
import { describe, expect, test } from 'vitest';
import { byteAxis, closeDomain } from '../../src/report/charts/axis.ts';
import { lossChart } from '../../src/report/charts/loss.ts';
import { memoryChart } from '../../src/report/charts/memory.ts';
import { perplexityChart } from '../../src/report/charts/perplexity.ts';
import { scaleChart } from '../../src/report/charts/scale.ts';
import { stepTimeChart } from '../../src/report/charts/step-times.ts';
import type { Chart } from '../../src/report/document.ts';
import type { CategoryBytes } from '../../src/results/run-schema.ts';
import { CATEGORIES, makeRuns, makeSummary } from './fixture.ts';

const MIB = 2 ** 20;
const GIB = 2 ** 30;

const sizeOf = ({ svg }: Chart): string => /viewBox="0 0 ([\d.]+ [\d.]+)"/.exec(svg)?.[1] ?? '';
const textsOf = ({ svg }: Chart): string[] => [...svg.matchAll(/<text[^>]*>([^<]*)</g)].map(([, text = '']) => text);
const isNumber = (text: string): boolean => /^[\d.]+$/.test(text);

/** Places along x of the labels that are numbers, and of round marks: both within the plot. */
function read({ svg }: Chart) {
  const labels = [
    ...svg.matchAll(/<text text-anchor="middle" transform="translate\(([\d.]+),[\d.]+\)"[^>]*>([\d.]+)</g),
  ];
  const ticks = labels.map(([, x, value]) => ({ x: Number(x), value: Number(value) }));
  const marks = [...svg.matchAll(/<path aria-label|<path transform="translate\(([\d.]+),([\d.]+)\)" d="M[^"]*A/g)];
  return { ticks, marks: marks.map(([, x, y]) => ({ x: Number(x), y: Number(y) })) };
}

type Scale = (value: number) => number;
const linear: Scale = (value) => value;

/** A label stands on a whole pixel or beside one. */
const PIXELS = 0.6;

/** Holds every tick and mark against the line through the first tick and the last. */
function expectOnScale(chart: Chart, scale: Scale, values: readonly number[]): void {
  const { ticks, marks } = read(chart);
  const [first, last] = [ticks[0]!, ticks.at(-1)!];
  const perUnit = (last.x - first.x) / (scale(last.value) - scale(first.value));
  const at = (value: number) => first.x + perUnit * (scale(value) - scale(first.value));
  for (const { x, value } of ticks) expect(Math.abs(x - at(value)), `tick ${value}`).toBeLessThan(PIXELS);
  expect(marks).toHaveLength(values.length);
  for (const [i, value] of values.entries())
    expect(Math.abs(marks[i]!.x - at(value)), `mark ${value}`).toBeLessThan(PIXELS);
}

const bytes = (more: Partial<CategoryBytes>): CategoryBytes => ({
  ...(Object.fromEntries(Object.keys(CATEGORIES.lora).map((key) => [key, 0])) as CategoryBytes),
  ...more,
});
const memory = (count: number) =>
  memoryChart(
    Array.from({ length: count }, (_, i) => ({
      label: `arm${i}`,
      bytes: bytes({ base_weights: (i + 1) * MIB, adapter: MIB }),
    })),
  );
const perplexity = (count: number) =>
  perplexityChart(
    Array.from({ length: count }, (_, i) => ({ row: `row ${i}`, arm: 'lora', before: 50, after: 10 + i })),
  );
const steps = (count: number) =>
  stepTimeChart(
    Array.from({ length: count }, (_, i) => ({ row: `row ${i}`, arm: 'lora', medianMs: 12, stepsMs: [10, 12, 20] })),
  );

describe('a chart is as high as its rows', () => {
  test.each([
    ['memory', memory, '820 158', '820 282'],
    ['perplexity', perplexity, '820 98', '820 166'],
    ['step times', steps, '820 98', '820 166'],
  ] as const)('%s', async (_, draw, one, three) => {
    expect([sizeOf(await draw(1)), sizeOf(await draw(3))]).toEqual([one, three]);
  });

  test('larger models: a row each; the loss has one height', async () => {
    const scale = makeSummary(makeRuns()).estimates!;
    expect(scale.models).toHaveLength(4);
    expect(sizeOf(await scaleChart(scale))).toBe('820 342');
    expect(sizeOf(await scaleChart({ ...scale, models: scale.models.slice(0, 1) }))).toBe('820 168');
    expect(sizeOf(await lossChart([{ arm: 'a', points: [{ step: 1, losses: [3] }] }]))).toBe('820 340');
  });
});

describe('memory', () => {
  test('its axis begins at nothing, ends behind the longest bar and names its unit', async () => {
    const texts = textsOf(await memory(3));
    expect(texts).toContain('peak memory, MiB');
    const ticks = texts.filter(isNumber).map(Number);
    expect([ticks[0], ticks.at(-1)]).toEqual([0, 4.6]); // 4 MiB and room for a label: 4.64
    expect(texts.filter((text) => /^[\d.]+ MiB$/.test(text))).toEqual(['2.00 MiB', '3.00 MiB', '4.00 MiB']);
  });

  test('segments of a bar touch, in the order of the ledger', async () => {
    const { svg } = await memory(1);
    const bars = [...svg.matchAll(/<path d="M([\d.]+),[\d.]+h([\d.]+)v[^"]*" fill="var\(--(\w+)\)"/g)];
    expect(bars.map(([, , , name]) => name)).toEqual(['base_weights', 'adapter']);
    const [base, adapter] = bars.map(([, x, length]) => [Number(x), Number(length)] as const);
    expect(base![0]).toBe(0);
    expect(adapter![0]).toBeCloseTo(base![1], 2);
    expect(adapter![1]).toBeCloseTo(base![1], 2);
  });

  test.each([
    [0, 'B', 0],
    [1, 'B', 1],
    [1023, 'B', 1023],
    [1024, 'KiB', 1],
    [MIB - 1, 'KiB', 1024 - 1 / 1024],
    [MIB, 'MiB', 1],
    [3 * GIB, 'GiB', 3],
    [2 ** 40, 'TiB', 1],
    [2 ** 52, 'TiB', 4096],
  ] as const)('%d bytes in %s', (largest, unit, value) => {
    const axis = byteAxis(largest);
    expect(axis.unit).toBe(unit);
    expect(largest / axis.unitBytes).toBe(value);
    expect(axis.domain[0]).toBe(0);
    // a total of seven characters has to fit behind the longest bar
    expect(axis.domain[1]! / Math.max(value, 1e-9)).toBeGreaterThanOrEqual(value === 0 ? 0 : 1.15);
    expect(axis.domain[1]).toBeLessThanOrEqual(value * 1.17);
  });
});

test('a range far from zero has a tenth of itself on both sides, and one value a tenth of its own', () => {
  const expectDomain = (values: number[], low: number, high: number) => {
    const [from, to] = closeDomain(values);
    expect(from).toBeCloseTo(low, 12);
    expect(to).toBeCloseTo(high, 12);
  };
  expectDomain([30, 10, 20], 8, 32);
  expectDomain([5, 5], 4.5, 5.5);
  expectDomain([-5], -5.5, -4.5);
  // no value is below zero, and no axis goes there
  expectDomain([0], 0, 0.1);
  expectDomain([1, 21], 0, 23);
});

test('step times: a dot for each step, on a linear axis in ms that holds all of them', async () => {
  const chart = await steps(1);
  expect(textsOf(chart)).toEqual(expect.arrayContaining(['step time, ms', 'row 0', '9.0', '21.0']));
  expectOnScale(chart, linear, [10, 12, 20]);
});

test('perplexity: before, then after, on a logarithmic axis with room for their numbers', async () => {
  const chart = await perplexity(2);
  const texts = textsOf(chart);
  expect(texts).toContain('perplexity on the evaluation set (log scale)');
  expect(texts.slice(-4)).toEqual(['10.00', '11.00', '50.00', '50.00']);
  expect(texts.filter(isNumber).map(Number).slice(0, -4)).toEqual([9, 10, 20, 30, 40, 50]); // 8.8 to 55
  expectOnScale(chart, Math.log, [50, 50, 10, 11]);
  const { marks } = read(chart);
  expect(marks[0]!.y).not.toBe(marks[1]!.y);
  expect([marks[2]!.y, marks[3]!.y]).toEqual([marks[0]!.y, marks[1]!.y]);
});

describe('loss', () => {
  const points = [
    { step: 1, losses: [3, 4, 8] },
    { step: 5, losses: [2, 1] },
  ];

  test('its axes are steps from the first to the last and losses near the least and the largest', async () => {
    const chart = await lossChart([{ arm: 'a', points }]);
    const texts = textsOf(chart);
    const [step, loss] = [texts.indexOf('step'), texts.indexOf('training loss, nats/token')];
    expect(texts.slice(0, step).map(Number)).toEqual([1, 2, 3, 4, 5]);
    const losses = texts.slice(step + 1, loss).map(Number);
    // 1 to 8, with a tenth of that on both sides: 0.3 to 8.7, and round ends
    expect([losses[0]! <= 0.3 && losses[0]! >= 0, losses.at(-1)! >= 8.5 && losses.at(-1)! <= 9]).toEqual([true, true]);
    expect(chart.description).toBe('a ends at 1.500 in step 5');
  });

  test('the line is the median, the band least to largest', async () => {
    const { svg } = await lossChart([{ arm: 'a', points }]);
    const numbers = (text = '') => (text.match(/-?[\d.]+/g) ?? []).map(Number);
    const area = numbers(
      /aria-roledescription="area mark"[^>]* d="([^"]+)"|<path d="([^"]+)" fill="var\(--[\w-]+\)" opacity="0.2"/
        .exec(svg)
        ?.slice(1)
        .find(Boolean),
    );
    const line = numbers(/<path d="([^"]+)" stroke="var\(--[\w-]+\)" stroke-width="2.25"/.exec(svg)?.[1]);
    expect([area.length, line.length]).toEqual([8, 4]);
    const [low1, low5] = [area[1]!, area[3]!];
    const [high5, high1] = [area[5]!, area[7]!];
    const ys = [low1, low5, high5, high1];
    // y runs downwards; a loss of 3 to 8, 1 to 2
    const perUnit = (Math.max(low1, high1) - Math.min(low1, high1)) / 5;
    expect(Math.abs(low5 - high5)).toBeCloseTo(perUnit, 1);
    expect(Math.max(...ys) - Math.min(...ys)).toBeCloseTo(7 * perUnit, 1);
    const bottom = Math.max(low5, high5); // a loss of 1
    expect((bottom - line[1]!) / perUnit).toBeCloseTo(3, 2); // 4
    expect((bottom - line[3]!) / perUnit).toBeCloseTo(0.5, 2); // 1.5
  });
});

/** Whether every element of an SVG is closed, and nothing stands between a tag and the next by mistake. */
function isWellFormed(svg: string): boolean {
  const open: string[] = [];
  for (const [, end, name = '', , self] of svg.matchAll(/<(\/?)([a-zA-Z]+)((?:\s[^<>]*?)?)(\/?)>/g)) {
    if (end === '/' && open.pop() !== name) return false;
    if (end !== '/' && self !== '/') open.push(name);
  }
  return open.length === 0 && (svg.match(/</g) ?? []).length === (svg.match(/>/g) ?? []).length;
}

test('every chart is well-formed', async () => {
  expect([isWellFormed('<g><path/></g>'), isWellFormed('<g>g></g>'), isWellFormed('<g><a></g></a>')]).toEqual([
    true,
    false,
    false,
  ]);
  for (const { name, svg } of [await memory(2), await perplexity(2), await steps(2)])
    expect(isWellFormed(svg), name).toBe(true);
});

test('larger models: cards on sale are lines where their sizes are', async () => {
  const scale = makeSummary(makeRuns()).estimates!;
  const predictions = [4, 200].map((gib, i) => ({ method: i === 0 ? 'qlora' : 'lora', peak: gib * GIB }));
  const chart = await scaleChart({ ...scale, models: [{ ...scale.models[0]!, predictions }] } as never);
  const cards = [...chart.svg.matchAll(/translate\(([\d.]+),[-\d.]+\)"[^>]*>(\d+) GiB</g)];
  expect(cards.map(([, , size]) => Number(size))).toEqual([8, 16, 24, 48, 80, 141]);
  const { ticks } = read(chart);
  const [five, hundred] = [5, 100].map((value) => ticks.find((tick) => tick.value === value)!.x);
  for (const [, x, size] of cards) {
    const want = five! + ((hundred! - five!) * Math.log(Number(size) / 5)) / Math.log(20);
    expect(Math.abs(Number(x) - want), `${size} GiB`).toBeLessThan(PIXELS);
  }
});

test('larger models: a mark for each prediction, and a line for each card between them', async () => {
  const prediction = (method: 'lora' | 'qlora', gib: number) => ({ method, peak: gib * GIB });
  const scale = makeSummary(makeRuns()).estimates!;
  const chart = await scaleChart({
    ...scale,
    models: [
      { ...scale.models[0]!, name: 'small', predictions: [prediction('lora', 4), prediction('qlora', 2)] },
      { ...scale.models[1]!, name: 'large', predictions: [prediction('lora', 32), prediction('qlora', 10)] },
    ] as never,
  });
  const texts = textsOf(chart);
  expect(texts).toContain('predicted peak memory, GiB (log scale)');
  // 2 to 32 GiB, and room: 1.5 to 43.2
  expect(texts.filter((text) => text.endsWith(' GiB'))).toEqual(['8 GiB', '16 GiB', '24 GiB']);
  expect(texts.filter(isNumber).map(Number)).toEqual([2, 5, 10, 20]);
  expect(chart.description).toBe(
    'small LoRA 4.00 GiB; small QLoRA 2.00 GiB; large LoRA 32.00 GiB; large QLoRA 10.00 GiB',
  );
  const { ticks, marks } = read(chart);
  const perDoubling = (ticks[2]!.x - ticks[0]!.x) / Math.log2(5);
  expect((ticks[3]!.x - ticks[2]!.x) / perDoubling).toBeCloseTo(1, 1);
  // circles are LoRA's: 4 and 32 GiB
  for (const [i, doublings] of [1, 4].entries())
    expect(Math.abs(marks[i]!.x - ticks[0]!.x - doublings * perDoubling)).toBeLessThan(2 * PIXELS);
});
