import { expect, test } from 'vitest';
import { checkGenerateSettings } from '../../src/config/generate.ts';
import { memoryReader } from '../../src/formats/memory.ts';
import { parseGenerationConfig, readGenerationConfig } from '../../src/generate/generation-config.ts';
import { endsOf, newTokensOf, samplingOf } from '../../src/generate/resolve.ts';

const settings = (given: object = {}) => checkGenerateSettings({ ...given }, (key) => `--${key}`);
const NONE = await readGenerationConfig(memoryReader(new Map()));

test('a model that says how to draw is heeded, and overruled by what the caller says', () => {
  const model = parseGenerationConfig({ do_sample: true, temperature: 0.6, top_p: 0.9, eos_token_id: [7, 8] });
  const own = { doSample: true, temperature: 0.6, topK: 50, topP: 0.9, minP: 0, repetitionPenalty: 1 };
  expect(samplingOf(settings(), model)).toEqual(own);
  expect(samplingOf(settings({ temperature: 0 }), model)).toEqual({ ...own, doSample: false, temperature: 0 });
  expect(samplingOf(settings({ top_p: 1, top_k: 0 }), model)).toEqual({ ...own, topP: 1, topK: 0 });
  expect(samplingOf(settings({ do_sample: false }), model).doSample).toBe(false);
  expect(samplingOf(settings({ min_p: 0.1 }), NONE).doSample).toBe(true);
  expect(samplingOf(settings(), NONE).doSample).toBe(false);
  expect(endsOf(settings(), model, { eos_token_id: [2] })).toEqual([7, 8]);
  expect(endsOf(settings(), NONE, { eos_token_id: [2] })).toEqual([2]);
  expect(endsOf(settings({ ignore_eos: true }), model, { eos_token_id: [2] })).toEqual([]);
});

test('the number of new tokens is the caller’s, the model’s, or 256, within the context', () => {
  const context = { max_position_embeddings: 300 };
  expect(newTokensOf(settings(), NONE, context, 10)).toBe(256);
  expect(newTokensOf(settings(), NONE, context, 100)).toBe(200);
  expect(newTokensOf(settings(), parseGenerationConfig({ max_new_tokens: 7 }), context, 10)).toBe(7);
  expect(newTokensOf(settings(), parseGenerationConfig({ max_length: 30 }), context, 10)).toBe(20);
  expect(newTokensOf(settings({ max_new_tokens: 5 }), parseGenerationConfig({ max_length: 30 }), context, 10)).toBe(5);
});

test('what would change the tokens and is not followed is named; what changes none is not', () => {
  const notes: string[] = [];
  const json = {
    transformers_version: '5',
    use_cache: true,
    num_beams: 4,
    bad_words_ids: [[1]],
    typical_p: 1,
    encoder_no_repeat_ngram_size: 3,
    encoder_repetition_penalty: 1.3,
    new_key: 2,
  };
  parseGenerationConfig(json, 'generation_config.json', notes);
  expect(notes.map((note) => note.split(' is ')[0])).toEqual([
    'generation_config.json: num_beams',
    'generation_config.json: bad_words_ids',
    'generation_config.json: encoder_no_repeat_ngram_size',
    'generation_config.json: encoder_repetition_penalty',
    'generation_config.json: new_key',
  ]);
});

test('a penalty that makes logits infinite is refused, wherever it comes from', () => {
  expect(() => parseGenerationConfig({ repetition_penalty: 1e-300 })).toThrow('needs a number from 0.01 to 100');
  expect(() => settings({ repetition_penalty: 1e300 })).toThrow('wanted a number of at least 0.01 and at most 100');
});

test('values that cannot be meant are all named', () => {
  expect(() => parseGenerationConfig({ temperature: -1, top_p: 2, top_k: 1.5 })).toThrow(
    /temperature: is -1.*\n.*top_k: is 1.5.*\n.*top_p: is 2/,
  );
});

test('settings of which one would do nothing are refused', () => {
  expect(() => settings({ temperature: 0, top_p: 0.9, min_p: 0.1 })).toThrow(/top_p: 0.9 says how to draw.*\n.*min_p/);
  expect(() => settings({ do_sample: false, temperature: 0.5 })).toThrow(/do_sample is false/);
  expect(() => settings({ do_sample: true, temperature: 0 })).toThrow(/draws nothing/);
  expect(() => settings({ max_new_tokens: 3, min_new_tokens: 4 })).toThrow(/min_new_tokens: got 4, above/);
  expect(() => settings({ temprature: 1 })).toThrow(/did you mean temperature/);
});
