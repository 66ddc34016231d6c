import { describe, expect, test } from 'vitest';
import type { AdapterBase } from '../../src/adapters/base.ts';
import { LORA_DEFAULTS, type LoraConfig } from '../../src/adapters/config.ts';
import { explicitTargets, type MatchOptions, matchTargets } from '../../src/adapters/match.ts';
import { ConfigError } from '../../src/errors.ts';
import { goldenJson, thrown } from '../formats/files.ts';

type Golden = {
  linear: string[];
  cases: Record<string, { config: Partial<LoraConfig>; targets: [name: string, rank: number, scaling: number][] }>;
};
const golden = goldenJson<Golden>('matching.json');
const MODEL: AdapterBase = {
  modules: [
    { kind: 'embedding', name: 'model.embed_tokens', out: 32, in: 8 },
    ...golden.linear.map((name) => ({ kind: 'linear', name, out: 8, in: 8, bias: false }) as const),
  ],
  inputEmbedding: 'model.embed_tokens',
  outputEmbedding: 'lm_head',
  tied: false,
  defaultTargets: ['q_proj', 'v_proj'],
};
const BASE: LoraConfig = { ...LORA_DEFAULTS, r: 4, lora_alpha: 8 };
const match = (config: Partial<LoraConfig>, options?: MatchOptions) =>
  matchTargets({ ...BASE, ...config }, MODEL, options);

test('the golden file has the cases it was made for', () => {
  expect(Object.keys(golden.cases).length).toBe(15);
  expect(golden.linear.length).toBe(15);
});

test.each(Object.entries(golden.cases))('%s: the layers, ranks and scalings of PEFT, in its order', (_, wanted) => {
  const got = match(wanted.config, { strict: false }).map(({ name, rank, scaling }) => [name, rank, scaling]);
  expect(got).toEqual(wanted.targets);
});

describe('a setting that matches nothing is refused with the names there are', () => {
  const endings =
    'Linear layers here end in q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj, lm_head, the embedding in embed_tokens; or use "all-linear".';
  const cases: Record<string, [Partial<LoraConfig>, string]> = {
    'one entry of two': [
      { target_modules: ['q_proj', 'query'] },
      `target_modules: "query" matches no layer. ${endings}`,
    ],
    'part of a segment': [{ target_modules: ['proj'] }, '"proj" matches no layer'],
    regex: [
      { target_modules: 'q_proj' },
      '"q_proj", after exclude_modules, modules_to_save and layers_to_transform, matches no layer',
    ],
    'empty list': [{ target_modules: [] }, 'is an empty list'],
    'everything excluded': [{ target_modules: ['q_proj'], exclude_modules: ['q_proj'] }, 'after exclude_modules'],
    'no such layer': [
      { target_modules: ['q_proj'], layers_to_transform: 2 },
      'after exclude_modules, modules_to_save and layers_to_transform',
    ],
    'a regex that does not compile': [
      { target_modules: '(' },
      'target_modules: "(" is no regular expression that nibble can run',
    ],
    'a Python-only regex': [
      { target_modules: 'all-linear', rank_pattern: { '(?>q)_proj': 2 } },
      'rank_pattern: "(?>q)_proj" is no regular expression that nibble can run (the group (?>q)... has no counterpart',
    ],
    'a rank for nothing': [
      { target_modules: ['q_proj'], rank_pattern: { k_proj: 2 } },
      'rank_pattern: "k_proj" matches no adapted layer. Leave it out.',
    ],
    'an exclusion of nothing': [
      { target_modules: ['q_proj'], exclude_modules: ['self_attn'] },
      'exclude_modules: ["self_attn"] excludes no module.',
    ],
    'layers beside a regular expression': [
      { target_modules: '.*q_proj', layers_to_transform: [0] },
      'layers_to_transform: needs target_modules to be a list; it is ".*q_proj"',
    ],
    'a pattern of layers without layers': [
      { target_modules: ['q_proj'], layers_pattern: 'layers' },
      'layers_pattern: only means something beside layers_to_transform',
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

test('a tied embedding is not adapted at one end', () => {
  const tied = (config: Partial<LoraConfig>) =>
    matchTargets({ ...BASE, ...config }, { ...MODEL, tied: true }, { keyOf: (setting) => `lora_${setting}` });
  const error = thrown(() => tied({ target_modules: ['lm_head'] }));
  expect(error.message).toMatch(
    /^lora_target_modules: adapts lm_head, which shares its weight with model.embed_tokens/,
  );
  expect(thrown(() => tied({ target_modules: ['embed_tokens'] })).message).toContain('shares its weight with lm_head');
  expect(thrown(() => tied({ target_modules: ['lm_head'], ensure_weight_tying: true })).message).toContain(
    'does not support one adapter for both ends yet',
  );
  expect(thrown(() => tied({ target_modules: ['lm_head', 'embed_tokens'] })).message).toContain(
    'adapts model.embed_tokens and lm_head, which share their weight: merging would change both',
  );
  // the message offers neither end
  expect(thrown(() => tied({ target_modules: ['query'] })).message).toContain('up_proj, down_proj; or use');
  expect(tied({ target_modules: 'all-linear' }).length).toBe(14);
});

test('an adapter that exists is taken as it is: entries without effect are passed over', () => {
  const config = { target_modules: ['q_proj', 'query'], exclude_modules: ['x'], rank_pattern: { k_proj: 2 } };
  expect(match(config, { strict: false }).length).toBe(2);
  // its file shows whether it fits this model
  expect(match({ target_modules: ['query'] }, { strict: false })).toEqual([]);
});

test('an architecture without a default asks for targets', () => {
  const error = thrown(() => matchTargets(BASE, { ...MODEL, defaultTargets: null }));
  expect(error.message).toContain('target_modules: has no default for this architecture.');
});

test('what is trained whole takes no adapter', () => {
  const targets = match({ target_modules: 'all-linear', modules_to_save: ['layers.0.mlp', 'k_proj'] });
  expect(targets.map(({ name }) => name)).not.toContain('model.layers.0.mlp.up_proj');
  expect(targets.length).toBe(14 - 3 - 2);
});

test('targets are written as endings where these say exactly the same set, else as full names', () => {
  const rewritten = (config: Partial<LoraConfig>) => explicitTargets(match(config, { strict: false }), MODEL);
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
