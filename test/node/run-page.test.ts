import { expect, test } from 'vitest';
import { loadTrainConfig } from '../../src/config/index.ts';
import { memoryWriter } from '../../src/formats/memory.ts';
import { emptyCategoryBytes } from '../../src/gpu/category.ts';
import { RunPage } from '../../src/node/run-page.ts';
import type { StepEvent } from '../../src/train/events.ts';
import { columnsOf, type Progress } from '../../src/train/resume-file.ts';
import { makeRuns } from '../report/fixture.ts';

const [environment] = makeRuns();
if (environment === undefined) throw new Error('the fixture has no run');

const config = loadTrainConfig({
  file: {
    path: 'run.yaml',
    text: 'model_name_or_path: m\ndatasets: [{ path: d }]\neval_datasets: [{ path: e }]\neval_strategy: steps\neval_steps: 2\nload_best_model_at_end: true\nsave_steps: 2\n',
  },
});
const step = (n: number): StepEvent => ({
  type: 'step',
  step: n,
  totalSteps: 6,
  epoch: n / 6,
  loss: 4 - n / 10,
  gradNorm: 1,
  learningRate: 1e-4,
  finite: true,
  lossScale: null,
  flags: 0,
  stepMs: 10,
  tokens: 5,
  paddedTokens: 6,
  lossTokens: 4,
  samples: 1,
});
const evaluation = (at: number, evalLoss: number) => ({
  step: at,
  epoch: at / 6,
  result: {
    evalLoss,
    perplexity: Math.exp(evalLoss),
    tokenLoss: evalLoss,
    stderr: 0,
    lossTokens: 1,
    rows: { sums: [], tokens: [] },
    samples: 1,
    seconds: 1,
  },
});

function open(progress: Progress | null = null) {
  const files = new Map<string, Uint8Array | string>();
  const writer = memoryWriter(files);
  const basis = {
    writer,
    config,
    environment: environment as NonNullable<typeof environment>,
    command: [],
    totalSteps: 6,
  };
  const page = new RunPage({ ...basis, progress, startedMs: performance.now() });
  return { page, text: () => textOf(files.get('run.html')), files };
}
const subtitle = (text: string): string => /class="subtitle">([^,<]*)/.exec(text)?.[1] ?? '';
const cell = (text: string, name: string): string | undefined =>
  new RegExp(`<th scope="row">${name}</th><td[^>]*>(?:<[^>]*>)?([^<]*)`).exec(text)?.[1];

test('a page at a checkpoint has the run so far, one at the end its best', async () => {
  const { page, text } = open();
  page.hear({ type: 'memory', liveBytes: 1, peakBytes: 2048, byCategory: { ...emptyCategoryBytes(), adapter: 2048 } });
  for (const n of [1, 2]) page.hear(step(n));
  page.hear({ type: 'eval', ...evaluation(2, 3) });
  page.hear({ type: 'checkpoint', step: 2, path: 'out/checkpoint-2', isBest: true, isStop: false });
  await page.write();
  expect(subtitle(text())).toBe('after step 2 of 6');
  expect(cell(text(), 'best checkpoint')).toBe('checkpoint-2');
  expect(cell(text(), 'peak GPU memory')).toBe('2.00 KiB');
  for (const n of [3, 4, 5, 6]) page.hear(step(n));
  page.hear({ type: 'eval', ...evaluation(6, 3.5) });
  page.hear({ type: 'checkpoint', step: 6, path: 'out/checkpoint-6', isBest: false, isStop: false });
  await page.end();
  expect(subtitle(text())).toBe('finished after step 6');
  expect(cell(text(), 'last evaluation loss')).toBe('3.5000');
  expect(cell(text(), 'best evaluation loss')).toBe('3.0000');
  expect(cell(text(), 'best checkpoint')).toBe('checkpoint-2');
});

test('a page of a run that stops says why; one without a step is not written', async () => {
  const { page, text, files } = open();
  await page.stop(new Error('SIGTERM'));
  expect(files.size).toBe(0);
  page.hear(step(1));
  await page.stop(new Error('SIGTERM\n  at a place'));
  expect(subtitle(text())).toBe('ended after step 1 of 6: SIGTERM');
  await page.end();
  expect(subtitle(text())).toBe('stopped early after step 1 of 6');
});

test('a page of a resumed run has what came before', async () => {
  const { page, text } = open({
    step: 2,
    totalSteps: 6,
    position: { epoch: 0, batch: 2 },
    isEvaluated: true,
    isStoppedEarly: false,
    steps: columnsOf([step(1), step(2)]),
    evaluations: [evaluation(2, 3)],
    samples: [{ step: 0, prompt: 'Call me', text: ' a cab', token_ids: [1] }],
    log: [],
    unlogged: 0,
    best: { metric: 3, step: 2, checkpoint: 'checkpoint-2', patience: 0 },
    lossScale: null,
    seconds: { train_s: 3600, eval_s: 60, checkpoint_s: 0 },
    checkpoints: [{ step: 2, seconds: 1 }],
    resumedAt: [],
  });
  page.hear(step(3));
  await page.write();
  expect(cell(text(), 'steps')).toBe('3 of 6, 0.50 epochs');
  expect(cell(text(), 'best checkpoint')).toBe('checkpoint-2');
  expect(cell(text(), 'wall time')).toBe('1 h 1 min');
});

function textOf(content: Uint8Array | string | undefined): string {
  return typeof content === 'string' ? content : new TextDecoder().decode(content);
}
