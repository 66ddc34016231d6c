/** The README.md of an adapter: what the Hub reads at its head, and each note that its settings ask for, and no other. */
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { modelCard, type TrainingFacts } from '../../src/adapters/card.ts';
import { LORA_DEFAULTS, type LoraConfig } from '../../src/adapters/config.ts';

const card = (more: Partial<LoraConfig>): string =>
  modelCard({ ...LORA_DEFAULTS, target_modules: ['q_proj', 'v_proj'], ...more });

/** Metadata between the two lines of dashes, as the Hub reads it. */
const headOf = (text: string): unknown => parse(/^---\n([\s\S]*?)\n---\n/.exec(text)?.[1] ?? '');
/** The line of settings. */
const recipeOf = (text: string): string => text.split('\n').find((line) => line.startsWith('Rank')) ?? '';

const HEAD = { library_name: 'peft', license: 'unknown', pipeline_tag: 'text-generation' };
const TAGS = ['lora', 'nibble', 'transformers'];

describe('its head', () => {
  test.each([
    'org/model',
    '/home/me/.cache/huggingface/hub/models--org--model/snapshots/0123abc',
    'C:\\hub\\models--org--model\\snapshots\\0123abc\\',
  ])('names a base that is on the hub: %s', (base) => {
    const text = card({ base_model_name_or_path: base });
    expect(headOf(text)).toEqual({ ...HEAD, base_model: 'org/model', tags: ['base_model:adapter:org/model', ...TAGS] });
    expect(text).toContain('\nBase model: [org/model](https://huggingface.co/org/model)\n');
    expect(text).toContain('from_pretrained("org/model")');
  });

  test.each([
    ['/home/me/models/my llama', 'my llama'],
    ['.\\a "quoted": name', 'a "quoted": name'],
    ['/home/me/llama/', 'llama'],
    ['#1', '#1'],
  ])('names a folder in the text alone, without where it lies: %s', (base, name) => {
    const text = card({ base_model_name_or_path: base });
    expect(headOf(text)).toEqual({ ...HEAD, tags: TAGS });
    expect(text).toContain(`\nBase model: ${name} (a local folder)\n`);
    expect(text).not.toContain('/home/me');
  });

  test('has no base where none is recorded, and the text says so', () => {
    const text = card({});
    expect(headOf(text)).toEqual({ ...HEAD, tags: TAGS });
    expect(text).toContain('\nBase model: not recorded\n');
  });
});

describe('of a run', () => {
  const facts: TrainingFacts = {
    datasets: [
      { name: 'rows.jsonl', use: 'training' },
      { name: 'test.jsonl', use: 'evaluation' },
    ],
    trainRows: 1234,
    evalRows: 1,
    settings: [['learning_rate', '0.0002']],
    results: [
      { step: 10, epoch: 0.5, loss: 2.5, evalLoss: 2 },
      { step: 20, epoch: 1, loss: Number.NaN, evalLoss: null },
    ],
    samples: [],
    step: 10,
    versions: [
      ['nibble', '0.1.0'],
      ['device', 'a | b'],
    ],
  };
  const text = modelCard({ ...LORA_DEFAULTS, target_modules: ['q_proj'] }, facts);

  test('it has data, settings, losses and versions', () => {
    for (const line of [
      '- Trained on 1,234 rows of `rows.jsonl`',
      '- Evaluated on 1 row of `test.jsonl`',
      '| learning_rate | 0.0002 |',
      '| 2.5000 | 0.50 | 10 | 2.0000 | 7.39 |',
      '| no label | 1.00 | 20 |  |  |',
      '- nibble: 0.1.0',
    ])
      expect(text.split('\n')).toContain(line);
    expect(text).toContain('These are the weights after step 10.');
  });

  test('prompts and what was written after them stand there as they are, whatever they hold', () => {
    expect(text).not.toContain('## Samples');
    const samples = [
      { prompt: 'a | b\n**c**', before: '<img src=x onerror=alert(1)>', after: '`d` [e](f) & g' },
      { prompt: 'So', before: null, after: 'it goes' },
    ];
    const lines = modelCard({ ...LORA_DEFAULTS, target_modules: ['q_proj'] }, { ...facts, samples }).split('\n');
    const at = lines.indexOf('| prompt | before training | after step 10 |');
    expect(lines.slice(at + 2, at + 4)).toEqual([
      '| a \\| b \\*\\*c\\*\\* | &lt;img src=x onerror=alert(1)&gt; | \\`d\\` \\[e\\](f) &amp; g |',
      '| So |  | it goes |',
    ]);
  });

  test('one that evaluates on rows held back says how many, and one that does not says nothing', () => {
    const [training] = facts.datasets;
    const datasets = training === undefined ? [] : [training];
    const config = { ...LORA_DEFAULTS, target_modules: ['q_proj'] };
    expect(modelCard(config, { ...facts, datasets, evalRows: 7 }).split('\n')).toContain('- Evaluated on 7 rows');
    expect(modelCard(config, { ...facts, datasets, evalRows: 0 })).not.toContain('Evaluated');
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
  expect(card({})).toMatch(
    /```python\nfrom peft import PeftModel\n[\s\S]*\nmodel = PeftModel\.from_pretrained\(base, .*\)\n[^`]*```\n$/,
  );
});
