/** Default targets are those of PEFT's table, for every architecture. */
import { expect, test } from 'vitest';
import { ARCHITECTURES, CONFIG_ROWS } from '../../src/formats/hf-architectures.ts';
import { parseModelConfig } from '../../src/formats/hf-config.ts';
import { adapterBase } from '../../src/model/adapter-base.ts';
import { goldenJson } from '../formats/files.ts';

const wanted = goldenJson<Record<string, string[] | null>>('../configs/lora-targets.json');
const SHAPE = {
  vocab_size: 200_000,
  hidden_size: 64,
  intermediate_size: 96,
  num_hidden_layers: 1,
  num_attention_heads: 32,
};

test.each(ARCHITECTURES)('%s', (name) => {
  const { model_type } = CONFIG_ROWS[name];
  const base = adapterBase(parseModelConfig({ ...SHAPE, model_type }));
  expect(wanted).toHaveProperty(model_type);
  expect(base.defaultTargets).toEqual(wanted[model_type]);
  for (const target of base.defaultTargets ?? [])
    expect(base.modules.some((module) => module.name.endsWith(`.${target}`))).toBe(true);
});
