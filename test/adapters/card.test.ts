/** The README.md of an adapter: what the Hub reads at its head, and each note that its settings ask for, and no other. */
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { modelCard } from '../../src/adapters/card.ts';
import { LORA_DEFAULTS, type LoraConfig } from '../../src/adapters/config.ts';

const card = (more: Partial<LoraConfig>): string =>
  modelCard({ ...LORA_DEFAULTS, target_modules: ['q_proj', 'v_proj'], ...more });

/** Metadata between the two lines of dashes, as the Hub reads it. */
const headOf = (text: string): unknown => parse(/^---\n([\s\S]*?)\n---\n/.exec(text)?.[1] ?? '');
/** The line of settings. */
const recipeOf = (text: string): string => text.split('\n').find((line) => line.startsWith('Rank')) ?? '';

describe('its head', () => {
  test.each(['org/model', '/models/with space', '.\\a "quoted": name', '#1'])('names the base: %s', (base) => {
    const text = card({ base_model_name_or_path: base });
    expect(headOf(text)).toEqual({ library_name: 'peft', base_model: base, tags: ['lora'] });
    expect(text).toContain(`\nBase model: ${base}\n`);
  });

  test('has no base where none is recorded, and the text says so', () => {
    const text = card({});
    expect(headOf(text)).toEqual({ library_name: 'peft', tags: ['lora'] });
    expect(text).toContain('\nBase model: not recorded\n');
  });
});

describe('its settings', () => {
  test('plain LoRA has no further note', () => {
    expect(recipeOf(card({ r: 4, lora_alpha: 16, lora_dropout: 0.05 }))).toBe(
      'Rank 4, alpha 16, dropout 0.05, on q_proj, v_proj.',
    );
  });

  test.each<[Partial<LoraConfig>, string]>([
    [{ use_rslora: true }, 'Rank 8, alpha 8 (rank-stabilised), dropout 0, on q_proj, v_proj.'],
    [{ use_dora: true }, 'Rank 8, alpha 8, dropout 0, on q_proj, v_proj; with DoRA.'],
    [{ bias: 'all' }, 'Rank 8, alpha 8, dropout 0, on q_proj, v_proj; biases trained: all.'],
    [{ bias: 'lora_only' }, 'Rank 8, alpha 8, dropout 0, on q_proj, v_proj; biases trained: lora_only.'],
    [
      { modules_to_save: ['lm_head', 'embed_tokens'] },
      'Rank 8, alpha 8, dropout 0, on q_proj, v_proj; trained whole: lm_head, embed_tokens.',
    ],
    [
      { use_dora: true, bias: 'all', modules_to_save: ['lm_head'], target_modules: ['o_proj'] },
      'Rank 8, alpha 8, dropout 0, on o_proj; with DoRA; biases trained: all; trained whole: lm_head.',
    ],
  ])('%o', (settings, recipe) => {
    expect(recipeOf(card(settings))).toBe(recipe);
  });
});

test('it says how to load the adapter', () => {
  expect(card({})).toMatch(/```python\nfrom peft import PeftModel\nmodel = PeftModel\.from_pretrained\(.*\)\n```\n$/);
});
