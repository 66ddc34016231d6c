/** Rows of training data: JSONL and long texts. */
import fc from 'fast-check';
import { type DatasetOptions, loadDataset } from '../../../src/data/dataset.ts';
import { IGNORED } from '../../../src/data/row.ts';
import { memoryReader } from '../../../src/formats/memory.ts';
import type { TextTokenizer } from '../../../src/formats/tokenizer.ts';
import { bytesOf, damagedFile } from '../bytes.ts';
import { reader, require } from '../reader.ts';
import { anyValue, asText, type Json, mutated } from '../values.ts';

const VOCABULARY = 320;
/** A token for each byte. */
const tokenizer: TextTokenizer = {
  vocabSize: 258,
  bosId: 256,
  eosId: 257,
  padId: null,
  specialTokens: new Map([
    ['bos_token', '<s>'],
    ['eos_token', '</s>'],
  ]),
  notes: [],
  encodeWithOffsets: (text) => {
    const ids = [...bytesOf(text)];
    return { ids, starts: ids.map((_, i) => i), ends: ids.map((_, i) => i + 1) };
  },
  encode: (text, { addSpecialTokens = true } = {}) => [...(addSpecialTokens ? [256] : []), ...bytesOf(text)],
  decode: (ids) => ids.join(' '),
};

const id = fc.integer({ min: 0, max: VOCABULARY - 1 });
const row: fc.Arbitrary<Json> = fc.oneof(
  { weight: 9, arbitrary: fc.record({ text: fc.string({ unit: 'grapheme', minLength: 1, maxLength: 60 }) }) },
  { weight: 1, arbitrary: fc.record({ text: fc.string({ unit: 'binary', maxLength: 60 }) }) },
  fc.array(id, { minLength: 1, maxLength: 40 }).chain((input_ids) =>
    fc
      .record(
        {
          input_ids: fc.constant<Json>(input_ids),
          labels: fc.constantFrom<Json>(
            input_ids,
            input_ids.map(() => IGNORED),
            null,
          ),
          attention_mask: fc.constantFrom<Json>(
            input_ids.map(() => 1),
            null,
          ),
          position_ids: fc.constantFrom<Json>(
            input_ids.map((_, i) => i),
            null,
          ),
          source: anyValue,
        },
        { requiredKeys: ['input_ids'] },
      )
      .map((fields) => fields as Json),
  ),
  { weight: 1, arbitrary: fc.constant<Json>({ messages: [{ role: 'user', content: 'a' }] }) },
);
const line = row.chain((value) =>
  fc.oneof({ weight: 12, arbitrary: fc.constant(value) }, { weight: 1, arbitrary: mutated(value) }),
);
const ends = fc.oneof({ weight: 9, arbitrary: fc.constant('\n') }, fc.constantFrom('\r\n', '\n\n', '\r', '\u2028'));
const jsonl = fc
  .tuple(fc.array(line, { minLength: 1, maxLength: 5 }), ends)
  .chain(([rows, end]) => damagedFile(bytesOf(rows.map((value) => asText(value) + end).join(''))));
const plain = fc.string({ unit: 'binary', maxLength: 300 }).chain((text) => damagedFile(bytesOf(text)));

type Input = {
  readonly file: readonly [name: string, content: Uint8Array];
  readonly options: {
    readonly maxLength: number;
    readonly maxPositions: number;
    readonly packing: NonNullable<DatasetOptions['packing']> | null;
    readonly appendEos: boolean;
    readonly hasTokenizer: boolean;
  };
};

export const datasetReader = reader<Input>({
  name: 'dataset',
  share: 12,
  inputs: fc.record({
    file: fc.oneof(
      { weight: 5, arbitrary: fc.tuple(fc.constantFrom('rows.jsonl', 'rows.jsonl', 'rows', 'rows.csv'), jsonl) },
      { weight: 1, arbitrary: fc.tuple(fc.constant('rows.txt'), plain) },
    ),
    options: fc.record({
      maxLength: fc.integer({ min: 2, max: 64 }),
      maxPositions: fc.integer({ min: 8, max: 64 }),
      packing: fc.constantFrom(null, 'bfd', 'bfd_split', 'wrapped'),
      appendEos: fc.boolean(),
      hasTokenizer: fc.integer({ min: 0, max: 5 }).map((n) => n > 0),
    }),
  }),
  read: async ({ file: [name, content], options: { hasTokenizer, ...options } }) => {
    const files = memoryReader(new Map([[name, content]]), 'd');
    const limits = { ...options, vocabSize: VOCABULARY, tokenizer: hasTokenizer ? tokenizer : null };
    const { rows, tokens, documents, longestRow, lossTokens } = await loadDataset(files, [{ path: name }], limits);
    require(rows.count > 0 && documents > 0, 'no rows');
    require(lossTokens > 0, 'nothing to learn from');
    require(longestRow <= options.maxLength, `a row of ${longestRow} tokens beyond max_length ${options.maxLength}`);
    let found = 0;
    for (let i = 0; i < rows.count; i++) {
      const { inputIds, labels, documents: lengths } = await rows.row(i);
      require(inputIds.length === rows.length(i), 'a row of another length than it says');
      found += inputIds.length;
      require(inputIds.length > 0 && inputIds.every((token) => token < VOCABULARY), 'a token beyond the vocabulary');
      require(labels === null || labels.length === inputIds.length, 'labels of another length');
      require(labels === null ||
        labels.every((label) => label === IGNORED || (label >= 0 && label < VOCABULARY)), 'a label beyond');
      require(lengths === undefined ||
        lengths.reduce((sum, n) => sum + n, 0) === inputIds.length, 'documents miss tokens');
    }
    require(found === tokens, 'tokens are miscounted');
  },
});
