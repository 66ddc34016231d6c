/** strict: what of all that is said about a run becomes an error. */
import { expect, test } from 'vitest';
import { loadTrainConfig } from '../../src/config/index.ts';
import { ConfigError } from '../../src/errors.ts';
import { requireStrict } from '../../src/node/strict.ts';

const NOTHING = { dtypeNotes: [], rowNotes: new Map(), advice: [] };

function refused(text: string, more = {}): string[] {
  const config = loadTrainConfig({
    file: { path: 'r.yaml', text: `model_name_or_path: m\ndatasets: [{path: d}]\n${text}` },
  });
  try {
    requireStrict(config, { ...NOTHING, ...more });
  } catch (error) {
    if (error instanceof ConfigError) return error.problems.map(({ path, message }) => `${path}: ${message}`);
    throw error;
  }
  return [];
}

const ADVICE = { code: 'rate_low', path: 'learning_rate', message: '5e-5 is low', fix: 'set 2e-4' };

test('all advice and all that is not followed, at once', () => {
  const said = { advice: [ADVICE], dtypeNotes: ['bfloat16 is computed as float32'] };
  expect(refused('strict: true\ndeepspeed: z.json\nbnb_4bit_quant_type: fp4', said)).toEqual([
    expect.stringMatching(/^deepspeed: .* \(strict\)$/),
    expect.stringMatching(/^bnb_4bit_quant_type: has no effect.* \(strict\)$/),
    'bf16_as: bfloat16 is computed as float32 (strict)',
    'learning_rate: 5e-5 is low; set 2e-4 (strict)',
  ]);
  expect(refused('strict: false\ndeepspeed: z.json', said)).toEqual([]);
});

test('another name, a formula that is the same, the defaults of a recipe and bf16_as are followed', () => {
  expect(refused('strict: true\nmax_seq_length: 64\noptim: adamw_hf\nbf16: true\nbf16_as: float32')).toEqual([]);
  expect(
    refused('strict: true\nmicro_batch_size: 1\nval_set_size: 0.1\nevals_per_epoch: 2\nsaves_per_epoch: 1'),
  ).toEqual([]);
});

test('a setting that the rows do not follow, where it was written', () => {
  const rowNotes = new Map([
    ['noCompletion', 3],
    ['lacksEos', 2],
    ['doubled', 1],
  ]);
  expect(refused('strict: true\ncompletion_only_loss: true', { rowNotes })).toEqual([
    expect.stringMatching(/^completion_only_loss: has no effect on 3 rows of chat/),
  ]);
});
