import { describe, expect, test } from 'vitest';
import { ConfigError } from '../../src/errors.ts';
import { LORA_DEFAULTS, type LoraConfig } from '../../src/formats/peft-config.ts';
import { explicitTargets, type MatchOptions, matchTargets } from '../../src/formats/peft-match.ts';
import { goldenJson, thrown } from './files.ts';

type Golden = {
  linear: string[];
  cases: Record<string, { config: Partial<LoraConfig>; targets: [name: string, rank: number, scaling: number][] }>;
};
const golden = goldenJson<Golden>('matching.json');
const BASE: LoraConfig = { ...LORA_DEFAULTS, r: 4, lora_alpha: 8 };
const match = (config: Partial<LoraConfig>, options?: MatchOptions) =>
  matchTargets({ ...BASE, ...config }, golden.linear, options);

test('the golden file has the cases it was made for', () => {
  expect(Object.keys(golden.cases).length).toBe(15);
  expect(golden.linear.length).toBe(15);
});

test.each(Object.entries(golden.cases))('%s: the layers, ranks and scalings of PEFT, in its order', (_, wanted) => {
  const got = match(wanted.config).map(({ name, rank, scaling }) => [name, rank, scaling]);
  expect(got).toEqual(wanted.targets);
});

describe('a setting that matches nothing says what there is', () => {
  const endings =
    'Linear layers here end in q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj, lm_head; or use "all-linear".';
  const cases: Record<string, [Partial<LoraConfig>, string]> = {
    'one entry of two': [
      { target_modules: ['q_proj', 'query'] },
      `target_modules: "query" matches no linear layer. ${endings}`,
    ],
    'part of a segment': [{ target_modules: ['proj'] }, '"proj" matches no linear layer'],
    regex: [
      { target_modules: 'q_proj' },
      '"q_proj", after exclude_modules and layers_to_transform, matches no linear layer',
    ],
    'empty list': [{ target_modules: [] }, 'is an empty list'],
    'everything excluded': [{ target_modules: ['q_proj'], exclude_modules: ['q_proj'] }, 'after exclude_modules'],
    'no such layer': [
      { target_modules: ['q_proj'], layers_to_transform: 2 },
      'after exclude_modules and layers_to_transform',
    ],
    'a regex that does not compile': [{ target_modules: '(' }, 'target_modules: "(" is not a regular expression'],
    'a Python-only regex': [
      { target_modules: 'all-linear', rank_pattern: { '(?P<x>q)': 2 } },
      'rank_pattern: "(?P<x>q)" is not',
    ],
  };
  for (const [name, [config, message]] of Object.entries(cases)) {
    test(name, () => {
      const error = thrown(() => match(config));
      expect(error).toBeInstanceOf(ConfigError);
      expect(error.message).toContain(message);
    });
  }
});

test('a tied output embedding is not adapted', () => {
  const error = thrown(() => match({ target_modules: ['lm_head'] }, { tiedOutput: true, key: 'lora_target_modules' }));
  expect(error.message).toMatch(/^lora_target_modules: adapts lm_head, which shares its weight/);
  expect(match({ target_modules: 'all-linear' }, { tiedOutput: true }).length).toBe(14);
});

test('targets are written as endings where these say exactly the same set, else as full names', () => {
  const rewritten = (config: Partial<LoraConfig>) => explicitTargets(match(config), golden.linear);
  expect(rewritten({ target_modules: 'all-linear' })).toEqual([
    'q_proj',
    'k_proj',
    'v_proj',
    'o_proj',
    'gate_proj',
    'up_proj',
    'down_proj',
  ]);
  expect(rewritten({ target_modules: ['q_proj'], layers_to_transform: 1 })).toEqual([
    'model.layers.1.self_attn.q_proj',
  ]);
  for (const { config, targets } of Object.values(golden.cases)) {
    expect(match({ target_modules: rewritten(config) }).map(({ name }) => name)).toEqual(targets.map(([name]) => name));
  }
});
