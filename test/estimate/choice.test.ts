/** LoRA or QLoRA: twelve cases, by the plans of published models, and what is said of each. */
import { beforeAll, describe, expect, test } from 'vitest';
import { ratiosOf } from '../../src/bench/measured-ratios.ts';
import { loadTrainConfig, settleComputeDtype } from '../../src/config/index.ts';
import { cardNamed } from '../../src/estimate/card-names.ts';
import { choiceBy, plannedFigures } from '../../src/estimate/choice.ts';
import type { Choice } from '../../src/estimate/choice-types.ts';
import { referenceModel } from '../../src/estimate/reference-models.ts';
import { type MeasuredRatio, timeSentence } from '../../src/estimate/time-ratios.ts';
import { USUAL } from '../../src/estimate/usual.ts';
import { type DeviceProfile, KNOWN_PROFILES } from '../../src/gpu/device-profile.ts';
import { loadShaders } from '../../src/node/device.ts';
import { makeRun } from '../report/fixture.ts';

type Asked = { readonly model: string; readonly gpu: string; readonly gpus?: number; readonly tokens?: number };
type Wish = { readonly quality?: boolean; readonly adapters?: number; readonly ratios?: readonly MeasuredRatio[] };

const shaders = loadShaders();
const planned = new Map<string, Awaited<ReturnType<typeof plannedFigures>>>();

async function choose({ model, gpu, gpus = 1, tokens }: Asked, wish: Wish = {}): Promise<Choice> {
  const key = JSON.stringify([model, gpu, tokens]);
  const card = cardNamed(gpu, '--gpu');
  const profile = KNOWN_PROFILES[card.maker] as DeviceProfile;
  const flags = { model_name_or_path: 'm', ...(tokens === undefined ? {} : { max_length: String(tokens) }) };
  const { config } = settleComputeDtype(loadTrainConfig({ flags, usual: USUAL }, 'estimate'), profile);
  const job = { config, model: referenceModel(model), modelName: model, profile, shaders, card, gpus: 1 };
  const figures = planned.get(key) ?? (await plannedFigures(job));
  planned.set(key, figures);
  return choiceBy({ ...figures, gpus }, { quality: false, adapters: 1, ratios: [], ...wish });
}

const SEVEN_ON_24 = { model: 'Llama-2-7B', gpu: 'rtx4090' };
const SEVEN_ON_16 = { model: 'Llama-2-7B', gpu: '16gb' };

/** What each case is decided by, and words that its sentences have to have: figures are read from the plans. */
const CASES: readonly (readonly [
  name: string,
  asked: Asked,
  wish: Wish,
  method: string | null,
  rule: string,
  RegExp,
])[] = [
  [
    'a 7B on 24 GB is comfortable in 16 bits',
    SEVEN_ON_24,
    {},
    'lora',
    'comfortable',
    /^LoRA: at 1 x 2,048 tokens, 12\.55 GiB of weights \+ 610\.00 MiB .* = 14\.61 GiB, 68 % of the 21\.60 GiB that an NVIDIA GeForce RTX 4090 is taken to have free: comfortable in 16 bits/,
  ],
  [
    'a 7B on 16 GB does not fit in 16 bits',
    SEVEN_ON_16,
    {},
    'qlora',
    'does_not_fit',
    /^QLoRA: .* = 5\.74 GiB, 40 % .* LoRA would need 14\.61 GiB, 217\.\d\d MiB more than there is; 4 bits make its weights 12\.55 GiB - 3\.60 GiB = 8\.95 GiB smaller\./,
  ],
  [
    'every bit of quality of a 7B on 24 GB',
    SEVEN_ON_24,
    { quality: true },
    'lora',
    'quality',
    /fits in 16 bits, and every bit of quality was asked for\.[\s\S]*A 4-bit base is an approximation: in all nine models/,
  ],
  [
    'every bit of quality of a 7B on 16 GB, where 16 bits do not fit',
    SEVEN_ON_16,
    { quality: true },
    'qlora',
    'does_not_fit',
    /For every bit of quality LoRA would be the choice: .*; LoRA of it takes a card of 24 GB \(14\.61 GiB\)/,
  ],
  [
    'many adapters of a 7B on 24 GB',
    SEVEN_ON_24,
    { adapters: 20 },
    'lora',
    'many_adapters',
    /20 adapters of 152\.50 MiB share one base in 16 bits: 12\.55 GiB \+ 20 x 152\.50 MiB = 15\.53 GiB, where 20 merged copies would be 20 x 12\.55 GiB = 251\.\d\d GiB/,
  ],
  [
    'many adapters of a 7B on 16 GB share a base in 4 bits',
    SEVEN_ON_16,
    { adapters: 20 },
    'qlora',
    'does_not_fit',
    /share one base in 4 bits: 3\.60 GiB \+ 20 x 152\.50 MiB = 6\.58 GiB.*adapters of a 4-bit base on a 16-bit one/,
  ],
  [
    'long rows of a 7B-class model on 24 GB',
    { model: 'Mistral-7B', gpu: '24', tokens: 12_288 },
    {},
    'qlora',
    'long_context',
    /since activations grow with the row: at 2,048 tokens it would be 1\d\.\d\d GiB, \d\d %\. QLoRA has room for rows of [\d,]+ tokens/,
  ],
  [
    'a 13B on 32 GB fits narrowly',
    { model: 'Llama-2-13B', gpu: 'rtx5090' },
    {},
    'qlora',
    'narrow',
    /LoRA would need 27\.31 GiB, 95 %, which fits too narrowly to be left alone\. QLoRA has room for rows of 4,096 tokens/,
  ],
  [
    'a 65B on 48 GB',
    { model: 'LLaMA-65B', gpu: '48GB' },
    {},
    'qlora',
    'does_not_fit',
    /= 41\.27 GiB, 96 % of the 43\.20 GiB that a 48 GB card .* LoRA would need 130\.45 GiB, 87\.25 GiB more/,
  ],
  [
    'a 65B on 24 GB: neither',
    { model: 'LLaMA-65B', gpu: '24' },
    {},
    null,
    'neither',
    /^Neither: .* QLoRA needs .* = 41\.27 GiB, 19\.67 GiB more than the 21\.60 GiB .* No row fits; a card of 48 GB holds it as asked\./,
  ],
  [
    'two cards of 24 GB for a 65B are answered as one',
    { model: 'LLaMA-65B', gpu: '24', gpus: 2 },
    {},
    null,
    'neither',
    /A run uses one GPU, so 2 of them are answered as one, a 24 GB card: their memory does not add up here/,
  ],
  [
    'a 135M on a Mac with 8 GB',
    { model: 'SmolLM2-135M', gpu: 'm1-8' },
    {},
    'lora',
    'comfortable',
    /that an Apple M1 with 8 GB is taken to have free: comfortable/,
  ],
];

describe('twelve cases', () => {
  test('are twelve', () => expect(CASES).toHaveLength(12));

  test.each(CASES)('%s', async (_, asked, wish, method, rule, said) => {
    const { figures, sentences, ...choice } = await choose(asked, wish);
    expect(choice).toMatchObject({ method, rule });
    const text = sentences.join('\n');
    expect(text).toMatch(said);
    expect(text).not.toMatch(/undefined|NaN|null|Infinity/);
    const { lora, qlora, usable_bytes: free } = figures;
    const chosen = method === 'lora' ? lora : qlora;
    // what is said fits, fits; what does not, does not
    expect((chosen?.peak_bytes ?? 0) <= free).toBe(method !== null);
    if (rule === 'does_not_fit') expect(lora?.peak_bytes).toBeGreaterThan(free);
    expect(text).toContain('takes full training');
  });
});

describe('the time it costs', () => {
  let measured: MeasuredRatio[];
  beforeAll(() => {
    measured = ratiosOf('results/mine', [makeRun('lora', 0), makeRun('qlora', 0), makeRun('lora', 1)]);
  });

  test('is paired from records of one model, device and micro-step', () => {
    expect(measured).toHaveLength(1);
    const [lora, other, qlora] = [makeRun('lora', 0), makeRun('lora', 1), makeRun('qlora', 0)].map(
      ({ train_info }) => train_info.step_time_ms?.p50 ?? 0,
    );
    expect(measured[0]?.time).toBeCloseTo((qlora ?? 0) / (((lora ?? 0) + (other ?? 0)) / 2), 9);
    expect(ratiosOf('one', [makeRun('lora', 0)])).toEqual([]);
  });

  test('is what was measured on a GPU, else what others published, which falls with the tokens', () => {
    const [one] = measured as [MeasuredRatio];
    const gpu = { ...one, software: false, device: 'a GPU', tokensPerMicroStep: 2000, time: 1.234, memory: 0.5 };
    const far = { ...gpu, tokensPerMicroStep: 64, time: 9 };
    expect(timeSentence([far, gpu], 2048)).toMatch(
      /^a step of QLoRA took 1\.23 times one of LoRA, in 0\.50 times its memory, at 2,000 tokens .* measured in results\/mine\)$/,
    );
    expect(timeSentence([], 512)).toContain('1.98 to 2.05 times');
    expect(timeSentence([], 4000)).toContain('1.08 times one of LoRA in published runs of litgpt');
    const software = timeSentence([{ ...gpu, software: true }], 2048);
    expect(software).toContain('1.16 to 1.19 times');
    expect(software).toContain('0.50 times the memory, and times of a software driver, which say nothing of a GPU');
  });
});
