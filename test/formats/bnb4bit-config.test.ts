import { expect, test } from 'vitest';
import { quantizedConfig } from '../../src/formats/bnb4bit-config.ts';
import { thrown } from './files.ts';

const CONFIG = {
  bnb_4bit_compute_dtype: 'bfloat16',
  bnb_4bit_quant_storage: 'uint8',
  bnb_4bit_quant_type: 'nf4',
  bnb_4bit_use_double_quant: false,
  llm_int8_skip_modules: null,
} as const;

const quantized = (text: string, dtype: 'float16' | null = null) =>
  quantizedConfig(text, CONFIG, dtype, 'm/config.json');
const keysOf = (text: string) => [...text.matchAll(/^ {2}"([^"]+)":/gm)].map(([, key]) => key);

test('values keep their spelling, however they were written', () => {
  const given =
    ' {"eps":1e-05,"theta" : 10000.0,\n"list":[1,[2]],"s":"a,b}\\"]","o":{"x":{}},"n":null,"t":true,"last":-0.0}\n';
  const text = quantized(given);
  for (const row of [
    '"eps": 1e-05',
    '"theta": 10000.0',
    '"list": [1,[2]]',
    '"s": "a,b}\\"]"',
    '"o": {"x":{}}',
    '"n": null',
    '"t": true',
    '"last": -0.0',
  ])
    expect(text).toContain(`  ${row},\n`);
  expect(JSON.parse(text)).toEqual({
    ...(JSON.parse(given) as object),
    quantization_config: JSON.parse(text).quantization_config,
  });
});

test('quantization_config stands among sorted keys in its place, else at the end, and replaces one that is there', () => {
  expect(keysOf(quantized('{"a": 1, "z": 2}'))).toEqual(['a', 'quantization_config', 'z']);
  expect(keysOf(quantized('{"z": 1, "a": 2}'))).toEqual(['z', 'a', 'quantization_config']);
  expect(keysOf(quantized('{"a": 1, "quantization_config": null, "z": 1}'))).toEqual(['a', 'quantization_config', 'z']);
  expect(keysOf(quantized('{}'))).toEqual(['quantization_config']);
});

test('a changed type is recorded under the name that the file uses', () => {
  expect(JSON.parse(quantized('{"dtype": "float32"}', 'float16'))).toMatchObject({ dtype: 'float16' });
  const old = JSON.parse(quantized('{"torch_dtype": "float32"}', 'float16')) as object;
  expect(old).toMatchObject({ torch_dtype: 'float16' });
  expect(old).not.toHaveProperty('dtype');
  expect(JSON.parse(quantized('{"a": 1}', 'float16'))).toMatchObject({ dtype: 'float16' });
  expect(JSON.parse(quantized('{"dtype": "float32"}'))).toMatchObject({ dtype: 'float32' });
});

test('the threshold is a float, which transformers asks for; skips are a list, escaped as Python escapes', () => {
  const skips = { ...CONFIG, llm_int8_skip_modules: ['lm_head', 'é"'] };
  const text = quantizedConfig('{}', skips, null, 'config.json');
  expect(text).toContain('"llm_int8_threshold": 6.0,');
  expect(text).toContain('    "llm_int8_skip_modules": [\n      "lm_head",\n      "\\u00e9\\""\n    ],');
  expect(JSON.parse(text).quantization_config.llm_int8_skip_modules).toEqual(['lm_head', 'é"']);
  expect(quantizedConfig('{}', { ...CONFIG, llm_int8_skip_modules: [] }, null, 'c')).toContain(
    '"llm_int8_skip_modules": [],',
  );
});

test('what is no JSON object is refused by its name', () => {
  expect(thrown(() => quantized('[1]')).message).toContain('m/config.json: holds [1], needs a JSON object');
  expect(thrown(() => quantized('{"a": }')).message).toContain('m/config.json: is not JSON');
});
