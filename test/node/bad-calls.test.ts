/** What a program calls wrongly is a ConfigError that names the option, never a TypeError or a step too late. */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import {
  ConfigError,
  type EstimateOptions,
  estimate,
  type FinetuneOptions,
  finetune,
  KNOWN_PROFILES,
  type QuantizeOptions,
  quantize,
} from '../../src/index.ts';
import { deviceChoice } from '../../src/node/device-choice.ts';

const MODEL = new URL('../golden/llama/tied-mha-bf16', import.meta.url).pathname;
const root = mkdtempSync(path.join(tmpdir(), 'nibble-calls-'));
afterAll(() => rmSync(root, { recursive: true }));

const CALLS = { estimate, finetune, quantize };
const GOOD: Readonly<Record<keyof typeof CALLS, object>> = {
  estimate: { model_name_or_path: MODEL },
  finetune: { model_name_or_path: MODEL, datasets: [{ rows: [{ input_ids: [1, 2, 3] }] }], output_dir: null },
  quantize: { model_name_or_path: MODEL, output_dir: path.join(root, 'out') },
};

async function refusal(call: Promise<unknown>): Promise<string> {
  const error: unknown = await call.then(
    () => 'it was taken',
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(ConfigError);
  return (error as ConfigError).message;
}

const circular: Record<string, unknown> = {};
circular.again = circular;

describe.each(['estimate', 'finetune', 'quantize'] as const)('%s', (name) => {
  const call = (options: unknown) =>
    refusal(CALLS[name](options as FinetuneOptions & EstimateOptions & QuantizeOptions));

  test.each([[undefined], [null], ['./llama'], [[]], [7n], [() => 1]])('called with %o', async (options) => {
    expect(await call(options)).toMatch(
      new RegExp(`^${name}\\(\\) got .*, wanted an object of options, such as ${name}\\(\\{`),
    );
  });

  test('with a listener or a signal that is none, both at once', async () => {
    const message = await call({ ...GOOD[name], onEvent: 'log', signal: { aborted: true } });
    expect(message).toContain('onEvent: got "log", wanted a function');
    expect(message).toContain('signal: got {"aborted":true}, wanted an AbortSignal');
  });

  test('with values that cannot be written as text', async () => {
    for (const value of [7n, Symbol('s'), circular, () => 1, Number.NaN])
      expect(await call({ ...GOOD[name], bnb_4bit_quant_type: value })).toMatch(
        /^bnb_4bit_quant_type: got .*, wanted one of/,
      );
  });
});

describe('rows from memory', () => {
  const call = (rows: unknown) =>
    refusal(finetune({ ...GOOD.finetune, datasets: [{ rows }] } as unknown as FinetuneOptions));
  const sparse: unknown[] = [{ text: 'a' }];
  sparse[2] = { text: 'b' };

  test.each([
    ['none', [], 'datasets[0].rows: is empty; give at least one row'],
    ['a hole', sparse, 'datasets[0].rows[1]: got absent, wanted a row'],
    ['a text', ['a'], 'datasets[0].rows[0]: got "a", wanted a row'],
    ['a function', [{ toJSON: () => () => 1 }], 'datasets[0].rows[0]: got '],
    ['a circle', [circular], 'datasets[0].rows[0]: holds itself'],
    ['an id that is no number', [{ input_ids: [1, Number.NaN] }], 'datasets[0].rows[0]: holds NaN at 1'],
    ['an id beyond numbers', [{ input_ids: [1n, 2n ** 64n] }], 'datasets[0].rows[0]: holds 18446744073709551616n at 1'],
    ['a text for a list', 'rows', 'datasets[0].rows: got "rows", wanted a list of rows'],
  ])('%s', async (_, rows, message) => {
    expect(await call(rows)).toContain(message);
  });

  test('ids as bigints are those of numbers', async () => {
    const run = async (input_ids: unknown) => {
      const options = { ...GOOD.finetune, datasets: [{ rows: [{ input_ids }] }], max_steps: 1, max_length: 8 };
      const device = process.env.NIBBLE_TEST_DEVICE as FinetuneOptions['device'];
      const { steps } = await finetune({ ...options, device } as unknown as FinetuneOptions);
      return steps[0]?.loss;
    };
    const [plain, big] = [await run([1, 2, 3, 4]), await run(BigInt64Array.from([1n, 2n, 3n, 4n]))];
    expect(big).toBe(plain);
  });
});

describe('estimate({ profile })', () => {
  const nvidia = KNOWN_PROFILES.nvidia!;
  const call = (profile: unknown) => refusal(estimate({ model_name_or_path: MODEL, profile } as EstimateOptions));
  const limits = (more: object) => ({ ...nvidia, limits: { ...nvidia.limits, ...more } });

  test('takes every known one as data', async () => {
    for (const profile of Object.values(KNOWN_PROFILES))
      expect((await estimate({ model_name_or_path: MODEL, profile })).profile).toBe(profile.name);
  });

  test.each([
    ['an empty one', {}, 'profile.limits: is missing; wanted a mapping with maxBufferSize'],
    ['a list', [], 'profile: got [], wanted a mapping'],
    ['null', null, 'profile: got nothing, wanted a mapping'],
    [
      'a limit below 1',
      limits({ maxBufferSize: 0 }),
      'profile.limits.maxBufferSize: got 0, wanted an integer of at least 1',
    ],
    ['a limit that is no number', limits({ maxBufferSize: Number.NaN }), 'profile.limits.maxBufferSize: got NaN'],
    [
      'a limit of another name',
      limits({ maxBufferBytes: 1 }),
      'profile.limits.maxBufferBytes: unknown key, did you mean maxBufferSize?',
    ],
    [
      'tensor cores without sizes',
      { ...nvidia, subgroupMatrix: null },
      'profile.tier: got "subgroup_matrix", and subgroupMatrix is null',
    ],
    ['a group beyond its limit', { ...nvidia, workgroupSize: 4096 }, 'profile.workgroupSize: got 4096, wanted at most'],
    [
      'a tile beyond its limit',
      { ...nvidia, tiles: { simt: { BM: 3, BN: 4, BK: 4, TM: 4, TN: 4 } } },
      'profile.tiles.simt: cannot be used',
    ],
  ])('%s', async (_, profile, message) => {
    expect(await call(profile)).toContain(message);
  });
});

test('estimate({ model_config }) that JSON cannot hold', async () => {
  for (const model_config of [circular, [1], null, { vocab_size: 7n }])
    expect(await refusal(estimate({ model_config } as EstimateOptions))).toMatch(
      /^model_config: .*wanted the content of a config\.json/,
    );
});

test('NIBBLE_DEVICE that is empty counts as unset', () => {
  const notes: string[] = [];
  const choice = (env: Record<string, string>) => deviceChoice(env, (text) => notes.push(text));
  expect([choice({ NIBBLE_DEVICE: '' }), choice({ NIBBLE_ADAPTER: '' })]).toEqual(['auto', 'auto']);
  expect(choice({ NIBBLE_DEVICE: '', NIBBLE_ADAPTER: 'lavapipe' })).toBe('lavapipe');
  expect(notes).toHaveLength(1);
  expect(() => choice({ NIBBLE_DEVICE: ' ' })).toThrow('NIBBLE_DEVICE: got " ", wanted one of');
});

test('a listener that throws ends the run as an abort does: its log stays, and says so', async () => {
  const output_dir = path.join(root, 'ended');
  const device = process.env.NIBBLE_TEST_DEVICE as FinetuneOptions['device'];
  const mine = new Error('mine');
  const onEvent = ({ type }: { type: string }): void => {
    if (type === 'step') throw mine;
  };
  const options = { ...GOOD.finetune, output_dir, onEvent, device, max_steps: 3, max_length: 8 };
  await expect(finetune(options as unknown as FinetuneOptions)).rejects.toBe(mine);
  const files = readdirSync(output_dir);
  for (const file of ['interrupted.json', 'trainer_state.json']) expect(files).toContain(file);
  expect(files.filter((file) => file.startsWith('.'))).toEqual([]);
});

test('two into one folder: the second is told that this program writes it', async () => {
  const options = { ...GOOD.quantize, output_dir: path.join(root, 'twice') } as QuantizeOptions;
  const [first, second] = await Promise.allSettled([quantize(options), quantize(options)]);
  const refused = [first, second].filter((end) => end.status === 'rejected');
  expect(refused.map(({ reason }) => String(reason))).toEqual([
    expect.stringMatching(/output_dir: .* is (in use: this program writes it already|just being taken)/),
  ]);
});
