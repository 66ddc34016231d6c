/** Cases of a matrix, exclusions, baseline, budget and target; what of them is refused. */
import { expect, test } from 'vitest';
import { type ConfigSources, loadSuite } from '../../src/config/index.ts';
import { ConfigError } from '../../src/errors.ts';

const HEAD = 'suite: s\nbase: {model_name_or_path: m, datasets: [{path: a}]}\n';
const ARMS = 'arms: {lora: {}, qlora: {method: qlora}}\n';
const load = (text: string, more: Omit<ConfigSources, 'file'> = {}) =>
  loadSuite({ file: { path: 's.yaml', text: HEAD + text }, ...more });

function refused(text: string): string[] {
  try {
    load(text);
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigError);
    return (error as ConfigError).problems.map(({ path, message }) => `${path}: ${message}`);
  }
  throw new Error('the suite was accepted');
}

test('axes are crossed into cases, values and named groups alike, and every case has every arm', () => {
  const { cases, baseline } = load(
    `matrix: {lora_r: [4, 8], rows: {short: {max_length: 32, per_device_train_batch_size: 8}, long: {max_length: 256}}}\n${ARMS}`,
  );
  expect(baseline).toBe('lora');
  expect(cases.map(({ name }) => name)).toEqual(['lora_r-4.short', 'lora_r-4.long', 'lora_r-8.short', 'lora_r-8.long']);
  for (const { arms } of cases) expect(arms.map(({ name }) => name)).toEqual(['lora', 'qlora']);
  expect(cases.map(({ arms }) => arms[1]!.config.values).map((v) => [v.lora_r, v.max_length, v.method])).toEqual([
    [4, 32, 'qlora'],
    [4, 256, 'qlora'],
    [8, 32, 'qlora'],
    [8, 256, 'qlora'],
  ]);
});

test('without arms every combination is one, in a single case', () => {
  const { cases, baseline } = load(
    'division: open\nmatrix: {learning_rate: [1e-4, 0.001], lora_target_modules: [all-linear, [q_proj, v_proj]]}\nbaseline: learning_rate-0.001.lora_target_modules-all-linear\n',
  );
  expect(cases.map(({ name }) => name)).toEqual([null]);
  expect(cases[0]!.arms.map(({ name }) => name)).toEqual([
    'learning_rate-0.0001.lora_target_modules-all-linear',
    'learning_rate-0.0001.lora_target_modules-q_proj-v_proj',
    'learning_rate-0.001.lora_target_modules-all-linear',
    'learning_rate-0.001.lora_target_modules-q_proj-v_proj',
  ]);
  expect(baseline).toBe('learning_rate-0.001.lora_target_modules-all-linear');
});

test('exclude leaves out an arm, a case, or an arm in a case', () => {
  const { cases } = load(
    `matrix: {max_length: [32, 64, 128]}\nexclude: [{arm: lora, max_length: 128}, {max_length: 32}]\n${ARMS}`,
  );
  expect(cases.map(({ name, arms }) => [name, arms.map((arm) => arm.name)])).toEqual([
    ['max_length-64', ['lora', 'qlora']],
    ['max_length-128', ['qlora']],
  ]);
});

test('a flag that an axis overrules is told', () => {
  const { cases, notices } = load(`matrix: {lora_r: [4, 8]}\n${ARMS}`, { flags: { lora_r: '2' } });
  expect(cases.map(({ arms }) => arms[0]!.config.values.lora_r)).toEqual([4, 8]);
  expect(notices).toContainEqual({
    path: 'lora_r',
    message: 'has no effect: the axis lora_r of matrix decides it (--lora_r)',
  });
});

test.each([
  [`matrix: {lora_rr: [1, 2]}\n${ARMS}`, 'matrix.lora_rr: unknown key, did you mean lora_r?'],
  [`matrix: {lora_r: [0]}\n${ARMS}`, 'matrix.lora_r: got 0, wanted an integer of at least 1 (s.yaml:3)'],
  [`matrix: {lora_r: []}\n${ARMS}`, 'matrix.lora_r: got [], wanted a list of values'],
  [`matrix: [lora_r]\n${ARMS}`, 'matrix: got ["lora_r"], wanted a mapping'],
  [`matrix: {a: {x: 3}}\n${ARMS}`, 'matrix.a.x: got 3, wanted a mapping of settings'],
  [`matrix: {a: {"../x": {}}}\n${ARMS}`, 'matrix.a: got "../x", wanted a name for a folder'],
  [`matrix: {lora_r: [4, 4]}\n${ARMS}`, 'matrix.lora_r: has two values called lora_r-4'],
  [`matrix: {seed: [4]}\n${ARMS}`, 'matrix.seed: is set for each run by the suite; remove it and use seeds'],
  [`matrix: {lora_r: [4], g: {a: {lora_r: 8}}}\n${ARMS}`, 'matrix.g.a.lora_r: is set by the axis lora_r as well'],
  [
    'matrix: {lora_r: [4, 8]}\narms: {lora: {}, big: {lora_r: 16}}\n',
    'arms.big.lora_r: is varied by the axis lora_r of matrix as well',
  ],
  ['division: closed\nmatrix: {lora_r: [4, 8]}\n', 'arms.lora_r-8.lora_r: 8 differs from 4 in arm lora_r-4'],
  [`exclude: [{arms: lora}]\n${ARMS}`, 'exclude[0].arms: unknown key, did you mean arm?'],
  [`exclude: [{arm: lorra}]\n${ARMS}`, 'exclude[0].arm: got "lorra", wanted one of "lora", "qlora"'],
  [`exclude: [{}]\n${ARMS}`, 'exclude[0]: got {}, which names no run'],
  [`exclude: [{arm: lora}, {arm: qlora}]\n${ARMS}`, 'arms: names no arm'],
  [`baseline: qlorra\n${ARMS}`, 'baseline: got "qlorra", wanted an arm: lora, qlora; did you mean qlora?'],
  [`budget: {memory: 24}\n${ARMS}budgett: {}\n`, 'budgett: unknown key, did you mean budget?'],
  [`budget: {memory: big}\n${ARMS}`, 'budget.memory: got "big", wanted'],
  [`budget: {memory: 24GB, largest: lora_r}\n${ARMS}`, 'budget.largest: got "lora_r", wanted one of'],
  [`target: {eval_loss: 2.5}\n${ARMS}`, 'target: needs eval_datasets in every arm'],
  [`target: {loss: 2.5}\n${ARMS}`, 'target.eval_loss: is missing'],
])('%j is refused: %s', (text, problem) => {
  const problems = refused(text);
  expect(
    problems.some((p) => p.startsWith(problem)),
    problems.join('\n'),
  ).toBe(true);
});

test('a matrix of more combinations than anybody runs is refused at once', () => {
  const values = `[${Array.from({ length: 70 }, (_, i) => i + 1).join(', ')}]`;
  expect(refused(`matrix: {lora_r: ${values}, lora_alpha: ${values}}\n${ARMS}`)[0]).toMatch(
    /^matrix: makes 4900 combinations, wanted at most 4096/,
  );
});
