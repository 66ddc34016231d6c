/** eval_generate: what a run writes on after its prompts, before and after training, and what that leaves untouched. */
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { ConfigError } from '../../src/errors.ts';
import type { DeviceChoice } from '../../src/node/device-choice.ts';
import { type FinetuneEvent, type FinetuneOptions, type FinetuneResult, finetune } from '../../src/node/finetune.ts';
import { generate } from '../../src/node/generate.ts';

const TINY = new URL('../../bench/models/tiny', import.meta.url).pathname;
const device = (process.env.NIBBLE_TEST_DEVICE ?? 'auto') as DeviceChoice;
const PROMPTS = ['It was the', 'Call me'];
const NEW = 6;

const folder = mkdtempSync(path.join(os.tmpdir(), 'nibble-samples-'));
const at = (name: string): string => path.join(folder, name);
writeFileSync(at('rows.jsonl'), '{"text": "It was the cat, and the cat it was."}\n'.repeat(4));
writeFileSync(at('prompts.txt'), `${PROMPTS[0]}\n\n${PROMPTS[1]}\n`);

/** Rate and steps that change what the model says. */
const common = {
  model_name_or_path: TINY,
  datasets: [{ path: at('rows.jsonl') }],
  max_steps: 4,
  learning_rate: 0.02,
  per_device_train_batch_size: 2,
  max_length: 16,
  lora_target_modules: 'all-linear',
  device,
} as const satisfies Partial<FinetuneOptions>;
const asked = { eval_generate: PROMPTS, eval_generate_max_new_tokens: NEW };

/** What nibble generate says, greedily. */
async function said(adapters: Readonly<Record<string, string>> = {}, load_in_4bit = false): Promise<(string | null)[]> {
  const settings = { temperature: 0, max_new_tokens: NEW, load_in_4bit, device };
  const { generations } = await generate({ model_name_or_path: TINY, adapters, prompts: PROMPTS, ...settings });
  return generations.map(({ text }) => text);
}

const bytesOf = (name: string): string => readFileSync(at(`${name}/adapter_model.safetensors`)).toString('hex');

const linesOf = (name: string) =>
  readFileSync(at(`${name}/log.jsonl`), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as { step: number; samples?: unknown });

describe('before, at evaluations and after', () => {
  const settings = {
    ...common,
    lora_dropout: 0.1,
    eval_datasets: common.datasets,
    eval_strategy: 'steps',
    eval_steps: 2,
  } as const;
  const events: FinetuneEvent[] = [];
  let [sampled, plain]: FinetuneResult[] = [];
  const samplesAt = (step: number) =>
    sampled!.samples.flatMap(({ step: own, prompt, text }) => (own === step ? [{ prompt, text }] : []));
  const texts = (step: number) => samplesAt(step).map(({ text }) => text);

  beforeAll(async () => {
    const onEvent = (event: FinetuneEvent): void => {
      events.push(event);
    };
    sampled = await finetune({ ...settings, ...asked, output_dir: at('sampled'), onEvent });
    plain = await finetune({ ...settings, output_dir: at('plain') });
  });

  test('training is the same to the bit', () => {
    expect(bytesOf('sampled')).toBe(bytesOf('plain'));
    expect(sampled!.steps.map(({ loss }) => loss)).toEqual(plain!.steps.map(({ loss }) => loss));
    expect(plain!.samples).toEqual([]);
  });

  test('texts are those of nibble generate with the base and with the adapter', async () => {
    // those after the last step, of an evaluation and of the end, are written once
    expect(sampled!.samples.map(({ step, prompt }) => [step, prompt])).toEqual(
      [0, 2, 4].flatMap((step) => PROMPTS.map((prompt) => [step, prompt])),
    );
    expect(texts(0)).toEqual(await said());
    expect(texts(4)).toEqual(await said({ a: at('sampled') }));
    expect(texts(4)).not.toEqual(texts(0));
  });

  test('their memory is predicted, and what the ledger then held', () => {
    const plan = events.find((event) => event.type === 'plan');
    expect(plan).toMatchObject({ peakBytes: sampled!.peakBytes, byCategory: sampled!.byCategory });
    expect(sampled!.byCategory.logits).toBeGreaterThan(plain!.byCategory.logits);
  });

  test('they stand in the page, the log, the card and the record', () => {
    const page = readFileSync(at('sampled/run.html'), 'utf8');
    for (const text of [...PROMPTS, ...texts(0), ...texts(4)]) expect(page).toContain((text as string).trim());
    expect(linesOf('sampled').filter(({ samples }) => samples !== undefined)).toEqual(
      [0, 2, 4].map((step) => ({ step, samples: samplesAt(step) })),
    );
    expect(linesOf('plain')).toHaveLength(linesOf('sampled').length - 3);
    expect(readFileSync(at('sampled/README.md'), 'utf8')).toContain('| prompt | before training | after step 4 |');
    expect(sampled!.record.eval_info.samples).toEqual(
      PROMPTS.map((prompt, i) => ({ prompt, before: texts(0)[i], after: texts(4)[i] })),
    );
  });
});

test('a run that stopped goes on with the texts that it had, each once', async () => {
  const control = new AbortController();
  const settings = { ...common, ...asked, output_dir: at('resumed'), save_steps: 2 } as const;
  const stopping = finetune({
    ...settings,
    signal: control.signal,
    onEvent: (event) => {
      if (event.type === 'checkpoint') control.abort(new Error('enough'));
    },
  });
  await expect(stopping).rejects.toThrow('enough');
  const whole = await finetune({ ...settings, resume_from_checkpoint: true });
  expect(whole.samples.map(({ step }) => step)).toEqual([0, 0, 4, 4]);
  expect(linesOf('resumed').map(({ step, samples }) => `${step}${samples === undefined ? '' : ' texts'}`)).toEqual([
    ...['0 texts', '1', '2', '3', '4', '4 texts', '4'],
  ]);
});

test('full training, 4 bits and a file of prompts', async () => {
  const [first] = await said();
  const file = { ...asked, eval_generate: at('prompts.txt'), output_dir: null, max_steps: 1 };
  const full = await finetune({ ...common, ...file, method: 'full', lora_target_modules: undefined });
  expect(full.samples.map(({ step, prompt }) => `${step} ${prompt}`)).toEqual(
    [0, 1].flatMap((step) => PROMPTS.map((prompt) => `${step} ${prompt}`)),
  );
  expect(full.samples[0]?.text).toBe(first);
  const quantized = await finetune({ ...common, ...file, method: 'qlora' });
  expect(quantized.samples.slice(0, 2).map(({ text }) => text)).toEqual(await said({}, true));
});

describe('refused before anything is written', () => {
  test.each([
    [
      { eval_generate: ['So '.repeat(600)] },
      /prompt 1 has \d+ tokens, and with eval_generate_max_new_tokens 64 it is beyond/,
    ],
    [{ eval_generate: at('none.txt') }, /there is no file .*none\.txt; wanted a file with a prompt on each line/],
    [{ eval_generate: at('rows.jsonl') }, /rows\.jsonl is JSON by its name; wanted a text file/],
    [{ eval_generate: [] }, /eval_generate/],
    [{ ...asked, eval_generate_max_new_tokens: 0 }, /eval_generate_max_new_tokens: got 0/],
  ])('%j', async (settings, message) => {
    const error = await finetune({ ...common, ...settings, output_dir: at('refused') }).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(ConfigError);
    expect((error as Error).message).toMatch(message);
  });
});
