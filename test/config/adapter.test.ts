/** A run that continues an adapter takes its settings; a setting that differs is refused. */
import { expect, test } from 'vitest';
import { type AdapterFacts, adapterConfig, loadTrainConfig } from '../../src/config/index.ts';

const FACTS: AdapterFacts = {
  lora_r: 16,
  lora_alpha: 32,
  lora_target_modules: ['v_proj', 'q_proj'],
  use_rslora: false,
  use_dora: true,
  exclude_modules: null,
  layers_to_transform: [1],
  layers_pattern: null,
  rank_pattern: { q_proj: 2 },
  alpha_pattern: {},
  bias: 'none',
  lora_modules_to_save: null,
  ensure_weight_tying: false,
};
const config = (flags: Record<string, string>) => loadTrainConfig({ flags: { model: 'm', datasets: 'a', ...flags } });

test('its facts replace defaults, and the origin says so', () => {
  const { values, origins } = adapterConfig(config({}), FACTS, './a/adapter_config.json');
  expect(values).toMatchObject(FACTS);
  expect(origins.lora_r).toEqual({ source: 'adapter', where: './a/adapter_config.json' });
});

test('settings that agree are fine, target modules in any order', () => {
  expect(adapterConfig(config({ lora_r: '16', lora_target_modules: 'q_proj,v_proj' }), FACTS, 'a').values.lora_r).toBe(
    16,
  );
});

test('settings that differ are all named', () => {
  expect(() => adapterConfig(config({ lora_r: '8', lora_alpha: '8' }), FACTS, 'a.json')).toThrow(
    'lora_r: got 8, but the adapter to go on with has 16 (a.json); remove the setting (--lora_r)\n' +
      'lora_alpha: got 8, but the adapter to go on with has 32 (a.json); remove the setting (--lora_alpha)',
  );
});
