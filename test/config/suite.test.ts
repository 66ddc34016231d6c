/** Suites: a base, arms, seeds; what a suite decides for its runs and what arms may differ in. */
import { describe, expect, test } from 'vitest';
import { type ConfigSources, loadSuite, type ResolvedSuite } from '../../src/config/index.ts';
import { ConfigError } from '../../src/errors.ts';

const HEAD =
  'suite: quick\nbase:\n  model_name_or_path: m\n  datasets: [{path: a}]\n  bnb_4bit_use_double_quant: true\n';
const ARMS = 'arms:\n  lora: {method: lora}\n  qlora:\n    load_in_4bit: true\n';

/** The arms of a suite without a matrix. */
const armsOf = (suite: ResolvedSuite) => suite.cases[0]?.arms ?? [];

const load = (text: string, more: Omit<ConfigSources, 'file'> = {}) =>
  loadSuite({ file: { path: 's.yaml', text }, ...more });

function refused(text: string, more: Omit<ConfigSources, 'file'> = {}): string[] {
  try {
    load(text, more);
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigError);
    return (error as ConfigError).problems.map(({ path, message }) => `${path}: ${message}`);
  }
  throw new Error('the suite was accepted');
}

describe('loadSuite', () => {
  test('resolves every arm over the base, with three seeds and a closed division by default', () => {
    const suite = load(HEAD + ARMS);
    expect(suite).toMatchObject({ suite: 'quick', description: '', seeds: [0, 1, 2], division: 'closed', notices: [] });
    expect(armsOf(suite).map(({ name, config }) => [name, config.values.method])).toEqual([
      ['lora', 'lora'],
      ['qlora', 'qlora'],
    ]);
    const { origins, values } = armsOf(suite)[1]!.config;
    expect(values.bnb_4bit_use_double_quant).toBe(true);
    expect(origins.load_in_4bit).toEqual({ source: 'arm', where: 's.yaml:9' });
    expect(origins.model_name_or_path).toEqual({ source: 'file', where: 's.yaml:3' });
  });

  test('flags and environment change all arms alike, and never what the arms are', () => {
    const suite = load(HEAD + ARMS, { env: { NIBBLE_MAX_STEPS: '9' }, flags: { lora_r: '2', method: 'lora' } });
    expect(
      armsOf(suite).map(({ config }) => [config.values.max_steps, config.values.lora_r, config.values.method]),
    ).toEqual([
      [9, 2, 'lora'],
      [9, 2, 'qlora'],
    ]);
  });

  test('a base setting wrong for all arms is reported once, at its line', () => {
    expect(refused(HEAD.replace('path: a', 'pth: a') + ARMS)).toEqual([
      'base.datasets[0].path: is missing; wanted a text (s.yaml:4)',
      'base.datasets[0].pth: unknown key, did you mean path? (s.yaml:4)',
    ]);
  });

  test('problems of head, base, arms and flags come at once', () => {
    const text = `${HEAD.replace('suite: quick', 'suite: "a b"\nsuit: 1\ntasks: []')}  lora_rr: 1\n${ARMS}    lora_r: 0\n`;
    expect(refused(text, { flags: { seed: '1' } })).toEqual([
      expect.stringMatching(/^suite: got "a b", wanted a name for a folder: at most 100 letters, .* \(s\.yaml:1\)$/),
      'suit: unknown key, did you mean suite? (s.yaml:2)',
      'tasks: is not supported yet; remove it (s.yaml:3)',
      'seed: is set for each run by the suite; remove it and use seeds (--seed)',
      'base.lora_rr: unknown key, did you mean lora_r? (s.yaml:8)',
      'arms.qlora.lora_r: got 0, wanted an integer of at least 1 (s.yaml:13)',
    ]);
  });

  test.each([
    ['', 'arms: names no arm'],
    ['arms: [lora]\n', 'arms: got ["lora"], wanted a mapping'],
    ['arms: {lora: 3}\n', 'arms.lora: got 3, wanted a mapping'],
    [`${ARMS}seeds: []\n`, 'seeds: got [], wanted a list of integers'],
    [`${ARMS}seeds: [1, 1]\n`, 'seeds: got [1,1], wanted each seed once'],
    [`${ARMS}seeds: [-1]\n`, 'seeds[0]: got -1, wanted an integer of at least 0'],
    [`${ARMS}    output_dir: x\n`, 'arms.qlora.output_dir: is set for each run by the suite'],
    [`${ARMS}    bnb_4bit_compute_dtype: bfloat16\n`, 'arms.qlora.compute_dtype: "bfloat16" differs from "float32"'],
    [`${ARMS}    method: lora\n`, 'arms.qlora.method: "lora" (s.yaml:10) contradicts'],
  ])('%j is refused: %s', (rest, problem) => {
    const problems = refused(HEAD + rest);
    expect(
      problems.some((p) => p.startsWith(problem)),
      problems.join('\n'),
    ).toBe(true);
  });

  test('a base without a model is reported for each arm that lacks it', () => {
    expect(refused(`suite: s\nbase: {datasets: [{path: a}]}\n${ARMS}`).map((p) => p.split(':')[0])).toEqual([
      'arms.lora.model_name_or_path',
      'arms.qlora.model_name_or_path',
    ]);
  });

  test('in a closed division arms train alike; an open one may differ in anything', () => {
    const text = `${HEAD + ARMS}    learning_rate: 1e-3\n    compute_dtype: float16\n`;
    expect(refused(text)).toEqual([
      expect.stringMatching(
        /^arms\.qlora\.compute_dtype: "float16" differs from "float32" in arm lora.*\(s\.yaml:11\)$/,
      ),
      expect.stringMatching(/^arms\.qlora\.learning_rate: 0\.001 differs from 0\.00005 in arm lora.*\(s\.yaml:10\)$/),
    ]);
    expect(armsOf(load(`${text}division: open\n`))[1]!.config.values.learning_rate).toBe(1e-3);
    // both compute alike, but fresh adapters are rounded to the dtype that was asked for
    expect(refused(`${HEAD + ARMS}    compute_dtype: bfloat16\n    bf16_as: float32\n`)[0]).toMatch(
      /^arms\.qlora\.compute_dtype: "bfloat16" differs from "float32" in arm lora.*\(s\.yaml:10\)$/,
    );
  });

  test('an arm that sets what it does not use gets a notice', () => {
    const arms = 'arms:\n  lora:\n    bnb_4bit_quant_type: fp4\n';
    expect(load(HEAD + arms).notices.map((n) => n.path)).toEqual(['arms.lora.bnb_4bit_quant_type']);
  });
});

describe('names that become folders', () => {
  const armed = (name: string) => `${HEAD}arms:\n  ${JSON.stringify(name)}: {}\n`;

  test.each([
    ['leads out of the folder', '../../../../outside/evil'],
    ['has a folder of its own', 'x/y'],
    ['is a folder above', '..'],
    ['is absolute', '/tmp/x'],
    ['separates as Windows does', 'x\\\\y'],
    ['is a Windows device', 'con.lora'],
    ['names a stream of a file', 'a:b'],
    ['ends in a dot, which Windows drops', 'lora.'],
    ['has a line end', 'lora\\n'],
    ['is hidden', '.lora'],
    ['is longer than file systems allow', 'a'.repeat(101)],
    ['is empty', ''],
    ['is a prototype', '__proto__'],
  ])('an arm that %s is refused', (_, name) => {
    const [problem, ...others] = refused(armed(name));
    expect(others).toEqual([]);
    expect(problem).toMatch(/^arms: got .*, wanted a name for a folder: .* \(s\.yaml:7\)$/);
    if (name !== '__proto__')
      expect(refused(`suite: ${JSON.stringify(name)}\n${ARMS}`).join()).toContain('suite: got ');
  });

  test('the escaping suite of the collected faults names both of its arms', () => {
    const problems = refused(`${HEAD}arms: {"../../../../outside/evil": {method: lora}, "x/y": {method: qlora}}\n`);
    expect(problems).toEqual([
      expect.stringContaining('arms: got "../../../../outside/evil", wanted a name'),
      expect.stringContaining('arms: got "x/y", wanted a name'),
    ]);
  });

  test('arms whose names differ in case alone would share a folder on macOS and Windows', () => {
    expect(refused(`${HEAD}arms: {lora: {}, LoRA: {}}\n`)).toEqual([
      'arms: LoRA and lora differ in upper and lower case alone, and each gets a folder; rename one (s.yaml:6)',
    ]);
  });

  test.each(['lora', 'qlora-nf4_r8.v2', '1', 'constructor', 'a'.repeat(100), 'console'])('%s is taken', (name) => {
    expect(armsOf(load(armed(name))).map((arm) => arm.name)).toEqual([name]);
  });
});
