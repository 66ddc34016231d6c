import { expect, test } from 'vitest';
import { DYNAMIC_CODE, FP4_CODE, INT4_CODE, NF4_CODE } from '../../src/wasm/tables.ts';
import { NF4_THRESHOLDS } from '../ref/nf4.ts';
import { codec, rawBytes, sha256 } from './helpers.ts';

// Checksums of the tables in published checkpoints: quant_map of nf4 and fp4, nested_quant_map.
const SHA256 = {
  nf4: '8501941daa1b8a90ad1bbfeb632e5101b5dddbc4bb52d6e55abcfd777e60c06a',
  fp4: 'b830bcf8857895e5676b8e2ce608a60bb8af9b3ce6270073e9de34814196f09c',
  dynamic: 'e732639a65f497b4ad684bb166a4467708255edd5207757de8b8f0c7e1fda89c',
};

test.each([
  ['nf4', NF4_CODE],
  ['fp4', FP4_CODE],
  ['dynamic', DYNAMIC_CODE],
] as const)('%s: the table is the published one, and the module holds the same bits', (name, table) => {
  expect(sha256(table)).toBe(SHA256[name]);
  expect(rawBytes(codec.codeBook(name))).toEqual(rawBytes(table));
});

test('int4: sevenths from -1 to 1, the same bits in the module', () => {
  const sevenths = Float32Array.from({ length: 15 }, (_, i) => (i - 7) / 7);
  expect(INT4_CODE).toEqual(Float32Array.of(...sevenths, 1));
  expect(rawBytes(codec.codeBook('int4'))).toEqual(rawBytes(INT4_CODE));
});

test('NF4 thresholds are the f32 midpoints', () => {
  expect(NF4_THRESHOLDS[0]).toBe(-0.8480963706970215);
  expect(NF4_THRESHOLDS[14]).toBe(0.8614784479141235);
});

test('dynamic map is ascending and mirrored around index 127', () => {
  for (let k = 1; k <= 127; k++) expect(DYNAMIC_CODE[127 - k]).toBe(-DYNAMIC_CODE[127 + k]!);
  for (let i = 1; i < 256; i++) expect(DYNAMIC_CODE[i]).toBeGreaterThan(DYNAMIC_CODE[i - 1]!);
});
