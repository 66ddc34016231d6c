/** Rows held back by val_set_size, and folders of files by split. */
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { loadTrainConfig } from '../../src/config/index.ts';
import { type Dataset, loadSplitDataset } from '../../src/data/dataset.ts';
import { splitIndices } from '../../src/data/split.ts';
import { ConfigError } from '../../src/errors.ts';
import { memoryReader } from '../../src/formats/memory.ts';
import { withDatasetFiles } from '../../src/node/dataset-files.ts';
import { rejection } from '../formats/files.ts';

test('every row is on one side, in the order of the file, the same for the same seed', () => {
  for (const [size, held] of [
    [0.1, 11],
    [0.001, 1],
    [7, 7],
  ] as const) {
    const { train, evaluation } = splitIndices(101, size, 3);
    expect(evaluation.length).toBe(held);
    expect([...train, ...evaluation].sort((a, b) => a - b)).toEqual(Array.from({ length: 101 }, (_, i) => i));
    for (const side of [train, evaluation]) expect([...side]).toEqual([...side].sort((a, b) => a - b));
    expect(splitIndices(101, size, 3).evaluation).toEqual(evaluation);
  }
  expect(splitIndices(101, 0.5, 4).evaluation).not.toEqual(splitIndices(101, 0.5, 3).evaluation);
  expect(() => splitIndices(3, 3, 0)).toThrow(ConfigError);
  expect(() => splitIndices(1, 0.1, 0)).toThrow('val_set_size: is 0.1, which takes 1 of 1 rows');
});

const rowsOf = async ({ rows }: Dataset) =>
  Promise.all(Array.from({ length: rows.count }, async (_, i) => [...(await rows.row(i)).inputIds]));

test('rows are cut, dropped and packed after they are divided', async () => {
  const lines = Array.from(
    { length: 10 },
    (_, i) => `{"input_ids": [${i}, ${i}, ${i}], "labels": [-100, ${i % 2 ? i : -100}, ${i}]}`,
  );
  const reader = memoryReader(new Map([['r.jsonl', lines.join('\n')]]));
  const options = { tokenizer: null, vocabSize: 20, maxPositions: 8, maxLength: 2 };
  const how = { size: 4, seed: 1, evaluationPacking: null };
  const { train, evaluation } = await loadSplitDataset(reader, [{ path: 'r.jsonl' }], options, how);
  // the even rows have no label within two tokens
  const kept = [...(await rowsOf(train)), ...(await rowsOf(evaluation))];
  expect(kept.sort()).toEqual([1, 3, 5, 7, 9].map((id) => [id, id]));
  expect([train.droppedRows + evaluation.droppedRows, train.truncatedRows + evaluation.truncatedRows]).toEqual([5, 10]);
  const packing = { ...options, maxLength: 6, packing: 'bfd' as const };
  const packed = await loadSplitDataset(reader, [{ path: 'r.jsonl' }], packing, how);
  expect([packed.train.documents, packed.train.rows.count]).toEqual([6, 3]);
  expect([packed.evaluation.documents, packed.evaluation.rows.count]).toEqual([4, 4]);
});

describe('a folder', () => {
  const make = (files: readonly string[]): string => {
    const folder = mkdtempSync(path.join(tmpdir(), 'nibble-folder-'));
    mkdirSync(path.join(folder, 'data'));
    for (const file of files) writeFileSync(path.join(folder, file), '{"text": "a"}\n');
    return folder;
  };
  const files = async (settings: object) => {
    const config = loadTrainConfig({ options: { model_name_or_path: 'm', ...settings } });
    const { datasets, eval_datasets } = (await withDatasetFiles(config)).values;
    return [datasets, eval_datasets].map((sets) => sets.map((set) => path.basename(set.path)));
  };

  test('gives the files of its split: train, and validation to evaluate on', async () => {
    const folder = make(['train.jsonl', 'valid.jsonl', 'test.csv', 'README.md', 'trainer.json']);
    const sets = { datasets: [{ path: folder }], eval_datasets: [{ path: folder }] };
    expect(await files(sets)).toEqual([['train.jsonl'], ['valid.jsonl']]);
    expect(await files({ ...sets, eval_datasets: [{ path: folder, split: 'test' }] })).toEqual([
      ['train.jsonl'],
      ['test.csv'],
    ]);
    const shards = [
      'data/train-00000-of-00002.parquet',
      'data/train-00001-of-00002.parquet',
      'data/test-00000.parquet',
    ];
    expect((await files({ datasets: [{ path: make(shards) }] }))[0]).toEqual(
      shards.slice(0, 2).map((s) => path.basename(s)),
    );
    expect((await files({ datasets: [{ path: make(['b.jsonl', 'a.json.gz']) }] }))[0]).toEqual([
      'a.json.gz',
      'b.jsonl',
    ]);
  });

  test('without such a file is refused by its place in the configuration', async () => {
    const folder = make(['train.jsonl']);
    const error = await rejection(files({ datasets: [{ path: folder }], eval_datasets: [{ path: folder }] }));
    expect(error).toBeInstanceOf(ConfigError);
    expect(error.message).toMatch(
      /^eval_datasets\[0\]\.path: .* has no file of the split "validation" \(it holds train\.jsonl\)/,
    );
  });

  test('of a single file is refused where it is not its own, as a slice is', async () => {
    const folder = make(['train.jsonl', 'test.jsonl']);
    const at = (file: string, split: string) => files({ datasets: [{ path: path.join(folder, file), split }] });
    expect((await at('train.jsonl', 'train'))[0]).toEqual(['train.jsonl']);
    expect((await at('test.jsonl', 'test'))[0]).toEqual(['test.jsonl']);
    for (const split of ['train[:10%]', 'validation']) {
      const error = await rejection(at('train.jsonl', split));
      expect(error).toBeInstanceOf(ConfigError);
      expect(error.message).toMatch(/^datasets\[0\]\.split: got ".*", and .*train\.jsonl is one file/);
    }
  });
});
