import { describe, expect, test } from 'vitest';
import { linesChart } from '../../src/report/charts/lines.ts';
import { type RunView, renderRunPage } from '../../src/report/run-page.ts';
import { CATEGORIES, makeRuns } from './fixture.ts';

const [record] = makeRuns();
if (record === undefined) throw new Error('the fixture has no run');

const steps = Array.from({ length: 40 }, (_, i) => ({
  step: i + 1,
  epoch: (i + 1) / 40,
  loss: i === 7 ? Number.NaN : 4 - i / 20,
  gradNorm: i === 9 ? Number.POSITIVE_INFINITY : 1,
  learningRate: 2e-4 * (1 - i / 40),
  stepMs: i === 0 ? 5000 : 500,
  tokens: 100,
}));
const VIEW: RunView = {
  method: 'qlora',
  state: 'finished after step 40',
  writtenAt: '2026-01-02T03:04:05.000Z',
  totalSteps: 40,
  steps,
  evaluations: Array.from({ length: 25 }, (_, i) => ({
    step: i + 1,
    epoch: 1,
    evalLoss: 3 - i / 100,
    perplexity: 20,
  })),
  samples: [
    { step: 0, prompt: 'Call me', text: ' <b>a</b> cab' },
    { step: 40, prompt: 'Call me', text: ' Ishmael' },
  ],
  best: { metric: 2.76, step: 25, checkpoint: 'checkpoint-25' },
  settings: [
    { name: 'lora_r', value: '16', where: 'run.yaml:3', isSet: true },
    { name: 'output_dir', value: '<script>"x"', where: '--output_dir', isSet: true },
    { name: 'seed', value: '42', where: 'default', isSet: false },
  ],
  peak: CATEGORIES.qlora,
  seconds: 3725,
  command: ['nibble', 'train', 'my run.yaml'],
  environment: record,
};

describe('the page of a run', () => {
  const page = renderRunPage(VIEW);

  test('has what the run came to', () => {
    for (const [name, value] of [
      ['steps', '40 of 40, 1.00 epochs'],
      ['training loss of the first step', '<data value="4">4.0000</data>'],
      ['training loss of the last step', '<data value="2.05">2.0500</data>'],
      ['last evaluation loss', '<data value="2.76">2.7600</data>'],
      ['step of the best evaluation', '<data value="25">25</data>'],
      ['best checkpoint', '<code>checkpoint-25</code>'],
      ['wall time', '<data value="3725">1 h 2 min</data>'],
      ['tokens, without padding', '<data value="4000">4,000</data>'],
      ['tokens a second, without the first step', '<data value="200">200.0</data>'],
      ['peak GPU memory', '<data value="6608128">6.30 MiB</data>'],
    ] as const)
      expect(page).toContain(`<th scope="row">${name}</th><td>${value}</td>`);
  });

  test('is whole in itself and escapes what it was given', () => {
    expect(page).not.toMatch(/<script|src=|@import|https?:/);
    expect(page).toContain('<code>&lt;script&gt;&quot;x&quot;</code>');
    expect(page).toContain('nibble train &#39;my run.yaml&#39;');
    expect(page).not.toMatch(/NaN|Infinity|undefined/);
  });

  test('shows the settings that were set, and folds away the others and all but the last twenty evaluations', () => {
    const [before, after] = page.split('Defaults, and what follows from others');
    expect(before).toContain('lora_r');
    expect(before).not.toContain('<th scope="row">seed');
    expect(after).toContain('<th scope="row">seed');
    expect(page).toContain('<summary>5 earlier ones</summary>');
  });

  test('samples stand side by side, as text', () => {
    const page = renderRunPage(VIEW);
    expect(page).toMatch(/<th[^>]*>before training<\/th><th[^>]*>after step 40<\/th>/);
    expect(page).toContain(' &lt;b&gt;a&lt;/b&gt; cab');
    expect(page).toContain(' Ishmael');
  });

  test('has no section without content, and says where a run is that goes on', () => {
    const nothing = { steps: [], evaluations: [], samples: [], best: null, peak: null };
    const early = renderRunPage({ ...VIEW, state: 'after step 0', ...nothing });
    expect(early).toContain('after step 0, 2026-01-02 03:04 UTC');
    expect(early).not.toMatch(/id="(curves|evaluations|memory)"/);
  });
});

describe('a chart of lines', () => {
  const svgOf = (values: readonly number[]): string =>
    linesChart({ name: 'n', title: 't', description: 'd' }, 'y', [
      { name: 'l', points: values.map((value, i) => ({ step: i + 1, value })) },
    ]).svg;
  const labels = (svg: string, anchor: string): string[] =>
    [...svg.matchAll(new RegExp(`text-anchor="${anchor}" fill="[^"]+">([^<]+)<`, 'g'))].map(([, text]) => text ?? '');
  const points = (svg: string): number[][] =>
    (/points="([^"]*)"/.exec(svg)?.[1] ?? '').split(' ').map((pair) => pair.split(',').map(Number));

  test.each([
    [
      [1, 2, 3],
      ['1', '1.5', '2', '2.5', '3'],
    ],
    [
      [0, 2e-4],
      ['0', '5e-5', '1e-4', '1.5e-4', '2e-4'],
    ],
    [
      [0.1, 0.4],
      ['0.1', '0.2', '0.3', '0.4'],
    ],
    [
      [5e6, 6e6],
      ['5e6', '5.2e6', '5.4e6', '5.6e6', '5.8e6', '6e6'],
    ],
  ])('labels %j at %j', (values, wanted) => expect(labels(svgOf(values), 'end')).toEqual(wanted));

  test('draws higher values higher, within the plot', () => {
    const [[x1, y1] = [], [x2, y2] = [], [x3, y3] = []] = points(svgOf([1, 3, 2]));
    expect([x1, x3]).toEqual([76, 804]);
    expect(x2).toBe(440);
    expect(Number(y2)).toBeLessThan(Number(y3));
    expect(Number(y3)).toBeLessThan(Number(y1));
    expect([y1, y2].every((y) => Number(y) > 12 && Number(y) < 236)).toBe(true);
  });

  test('takes equal values, one value, none, and values that are not finite', () => {
    for (const values of [[2, 2], [0], [], [Number.NaN, 1, Number.POSITIVE_INFINITY]])
      expect(svgOf(values)).not.toMatch(/NaN|Infinity|undefined/);
    expect(svgOf([5])).toContain('<circle');
  });

  test('has at most a thousand points, however long the run was', () => {
    expect(points(svgOf(Array.from({ length: 50_000 }, (_, i) => i)))).toHaveLength(1000);
  });
});
