/** Which files of a dataset's repository are the rows of a split: the answers of get_data_patterns and of a README's configs in datasets 5.0. */
import { describe, expect, test } from 'vitest';
import { isSafePath, linkTarget, parseHubName, repoFolder } from '../../src/formats/hub-cache.ts';
import { type DatasetConfig, type DatasetPart, rowFiles } from '../../src/formats/hub-splits.ts';

const part = (more: Partial<DatasetPart> = {}): DatasetPart => ({
  name: null,
  split: 'train',
  dataFiles: null,
  ...more,
});
const config = (name: string, dataFiles: Record<string, string[]> | null, more: Partial<DatasetConfig> = {}) => ({
  name,
  isDefault: false,
  folder: '',
  dataFiles: dataFiles === null ? null : new Map(Object.entries(dataFiles)),
  ...more,
});

const SHARDS = [
  'data/train-00001-of-00002.parquet',
  'data/train-00000-of-00002.parquet',
  'data/extra-00000-of-00001.parquet',
];
const CASES: [what: string, paths: string[], asked: DatasetPart, files: string[]][] = [
  ['shards in data/, in order', [...SHARDS, 'train.csv'], part(), [SHARDS[1]!, SHARDS[0]!]],
  ['shards of a split of its own', SHARDS, part({ split: 'extra' }), [SHARDS[2]!]],
  ['folders before files', ['train/a.jsonl', 'test/b.jsonl', 'train.jsonl'], part(), ['train/a.jsonl']],
  [
    'a word among others in a folder',
    ['my-dev set/a.jsonl', 'train/b.jsonl'],
    part({ split: 'validation' }),
    ['my-dev set/a.jsonl'],
  ],
  ['files', ['rows_train.json', 'rows_val.json', 'trainer.json'], part(), ['rows_train.json']],
  ['eval is of test', ['train.csv', 'eval.csv'], part({ split: 'test' }), ['eval.csv']],
  ['all of them where none is named', ['a.jsonl', 'sub/b.jsonl', 'LICENSE'], part(), ['a.jsonl', 'sub/b.jsonl']],
  ['the most frequent kind', ['a.parquet', 'b.parquet', 'notes.txt'], part(), ['a.parquet', 'b.parquet']],
  [
    'nothing hidden, nothing that tells of the dataset',
    ['.x/a.jsonl', '__y/b.jsonl', 'dataset_infos.json', 'c.jsonl'],
    part(),
    ['c.jsonl'],
  ],
  [
    'data_files',
    ['en/a.csv', 'de/a.csv', 'de/sub/b.csv'],
    part({ dataFiles: ['de/**'] }),
    ['de/a.csv', 'de/sub/b.csv'],
  ],
];

describe('rows of a split', () => {
  for (const [what, paths, asked, files] of CASES) test(what, () => expect(rowFiles(paths, [], asked)).toEqual(files));

  const configs = [
    config('en', { train: ['en/*.jsonl'], test: ['en/last.json'] }),
    config('de', null, { folder: 'de/', isDefault: true }),
  ];
  const paths = ['en/a.jsonl', 'en/last.json', 'de/train.jsonl', 'de/test.jsonl', 'train.jsonl'];
  test('of a configuration of the README', () => {
    expect(rowFiles(paths, configs, part({ name: 'en' }))).toEqual(['en/a.jsonl']);
    expect(rowFiles(paths, configs, part({ name: 'en', split: 'test' }))).toEqual(['en/last.json']);
    expect(rowFiles(paths, configs, part())).toEqual(['de/train.jsonl']);
  });

  const REFUSED: [string, () => string[], RegExp][] = [
    [
      'a split that is not there',
      () => rowFiles(['train.csv', 'val.csv'], [], part({ split: 'test' })),
      /has no split test; it has train, validation/,
    ],
    [
      'a slice',
      () => rowFiles(['train.csv'], [], part({ split: 'train[:1%]' })),
      /slices .* are not taken.*max_samples/,
    ],
    [
      'a configuration that is not there',
      () => rowFiles(paths, configs, part({ name: 'fr' })),
      /has no configuration fr; it has en, de/,
    ],
    [
      'one of several',
      () =>
        rowFiles(
          paths,
          configs.map((c) => ({ ...c, isDefault: false })),
          part(),
        ),
      /several configurations.*en, de/,
    ],
    [
      'a pattern without files',
      () => rowFiles(['a.csv'], [], part({ dataFiles: ['b.csv'] })),
      /has no file b.csv \(data_files\)/,
    ],
    [
      'code',
      () => rowFiles(['squad.py', 'README.md'], [], part()),
      /made by code, squad.py, which is not run.*refs\/convert\/parquet/,
    ],
    [
      'files that are not read',
      () => rowFiles(['a.zip'], [], part({ dataFiles: ['a.zip'] })),
      /rows in a.zip, and JSON/,
    ],
  ];
  for (const [what, work, message] of REFUSED) test(`refuses ${what}`, () => expect(work).toThrow(message));
});

test('names on the hub, and places in its cache', () => {
  expect(parseHubName('org/name.v1-x')).toEqual({ id: 'org/name.v1-x', revision: null });
  expect(parseHubName('org/name@refs/pr/1')).toEqual({ id: 'org/name', revision: 'refs/pr/1' });
  for (const no of [
    'name',
    './a',
    'a/b/c',
    '/a/b',
    'a/../b',
    'a\\b',
    'a/rows.jsonl',
    'a/..',
    '~/a',
    '',
    'builtin:tiny',
  ])
    expect([no, parseHubName(no)]).toEqual([no, null]);
  expect(repoFolder({ type: 'dataset', id: 'org/name' })).toBe('datasets--org--name');
  expect(linkTarget('a/b.json', 'f00')).toBe('../../../blobs/f00');
  expect(['a/b.json', '../x', 'a//b', '/a', 'a\\..\\b', 'C:x', 'a/./b'].map(isSafePath)).toEqual([
    true,
    ...Array(6).fill(false),
  ]);
});
