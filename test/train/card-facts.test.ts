/** What a card is told of a run, which is given here by its settings and the counts of its rows. */
import { expect, test } from 'vitest';
import { loadTrainConfig } from '../../src/config/index.ts';
import { trainingFacts } from '../../src/train/card-facts.ts';
import type { Evaluation, StepEvent } from '../../src/train/events.ts';
import type { RunInput } from '../../src/train/session.ts';

const { values: config } = loadTrainConfig({
  options: {
    model_name_or_path: '/home/me/llama',
    datasets: [{ path: '/home/me/data/rows.jsonl' }],
    eval_datasets: [{ path: '/home/me/data/test.jsonl' }],
    per_device_train_batch_size: 2,
    gradient_accumulation_steps: 4,
    packing: true,
    warmup_steps: 0.1,
  },
});
const input = {
  config,
  train: { rows: { count: 12 } },
  evaluation: { rows: { count: 3 } },
  batches: { totalSteps: 5 },
  layout: {
    linear: new Map([
      ['a', 0],
      ['b', 0],
    ]),
    spec: {
      storedAs: (name: string) =>
        name === 'a' ? { kind: 'plain' } : { kind: '4bit', quantType: 'nf4', doubleQuant: true },
    },
  },
} as unknown as RunInput;

const steps = [1, 2, 3, 4].map((step) => ({ step, epoch: step / 4, loss: step, lossTokens: 1 }) as StepEvent);
const evaluation = (step: number, evalLoss: number) => ({ step, epoch: step / 4, result: { evalLoss } }) as Evaluation;
const run = { steps, evaluations: [], samples: [], step: 4, device: 'lavapipe', nibbleVersion: '0.1.0' };

test('settings say what was computed, and no folder of the machine', () => {
  const facts = trainingFacts(input, run);
  expect(Object.fromEntries(facts.settings)).toMatchObject({
    method: 'lora',
    'base weights': '4 bits: nf4, double quantization',
    lr_scheduler_type: 'linear, warmup_steps 0.1',
    gradient_accumulation_steps: '4 (8 rows a step)',
    max_length: '1024, packed (bfd)',
    steps: '4 of 5',
  });
  expect(facts).toMatchObject({
    trainRows: 12,
    evalRows: 3,
    step: 4,
    versions: [
      ['nibble', '0.1.0'],
      ['device', 'lavapipe'],
    ],
  });
  expect(facts.datasets.map(({ name }) => name)).toEqual(['rows.jsonl', 'test.jsonl']);
  expect(JSON.stringify(facts)).not.toContain('/home/me');
});

test('samples are those before the first step beside those of the weights that are saved', () => {
  const sample = (step: number, prompt: string) => ({ step, prompt, text: `${prompt} ${step}`, token_ids: [] });
  const samples = [0, 2, 4].flatMap((step) => [sample(step, 'a'), sample(step, 'b')]);
  const at = (step: number, given = samples) => trainingFacts(input, { ...run, samples: given, step }).samples;
  expect(at(2)).toEqual([
    { prompt: 'a', before: 'a 0', after: 'a 2' },
    { prompt: 'b', before: 'b 0', after: 'b 2' },
  ]);
  // a checkpoint without an evaluation
  expect(at(3)[1]).toEqual({ prompt: 'b', before: 'b 0', after: null });
  expect(at(4, samples.slice(4))[0]).toEqual({ prompt: 'a', before: null, after: 'a 4' });
  expect(at(4, [])).toEqual([]);
});

test('losses are means since the evaluation before; without one, of all steps', () => {
  expect(trainingFacts(input, run).results).toEqual([{ step: 4, epoch: 1, loss: 2.5, evalLoss: null }]);
  const evaluations = [evaluation(0, 9), evaluation(2, 3), evaluation(4, 2)];
  expect(trainingFacts(input, { ...run, evaluations }).results).toEqual([
    { step: 2, epoch: 0.5, loss: 1.5, evalLoss: 3 },
    { step: 4, epoch: 1, loss: 3.5, evalLoss: 2 },
  ]);
});
