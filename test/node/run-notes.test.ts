/** Notes that a run prints about its rows before it starts. */
import path from 'node:path';
import { expect, test } from 'vitest';
import { loadTrainConfig } from '../../src/config/index.ts';
import type { Dataset } from '../../src/data/dataset.ts';
import { nodeReader } from '../../src/node/files.ts';
import { dataNotes, datasetNotes } from '../../src/node/run-notes.ts';
import { readRunInput } from '../../src/train/session.ts';
import { configOf } from '../train/run.ts';

const GOLDEN = new URL('../golden/', import.meta.url).pathname;

/** Notes of a run over the packing goldens: 40 rows to train on, 9 to evaluate. */
async function told(settings: Record<string, unknown>): Promise<string[]> {
  const at = (file: string) => [{ path: path.join(GOLDEN, 'packing', 'bfd', file) }];
  const ours = {
    model_name_or_path: path.join(GOLDEN, 'llama', 'untied-gqa-f32'),
    max_steps: 3,
    max_length: 24,
    datasets: at('train.jsonl'),
    eval_datasets: at('eval.jsonl'),
    ...settings,
  };
  const { values } = loadTrainConfig({ file: { path: 'run.json', text: JSON.stringify(ours) } });
  return dataNotes(await readRunInput(values, nodeReader), true);
}

test('rows as they are', async () => {
  expect(await told({})).toEqual([
    'train: 40 rows, 659 tokens, 3 steps',
    'eval: 9 rows, 113 tokens',
    'train: 2 rows without a token to learn from',
  ]);
});

test('packed rows say what they were packed from; documents that are split lose nothing', async () => {
  expect((await told({ packing: true, eval_packing: false })).slice(0, 2)).toEqual([
    'train: 30 rows packed from 40, 659 tokens, 3 steps',
    'eval: 9 rows, 113 tokens',
  ]);
  expect(await told({ packing: true, packing_strategy: 'bfd_split' })).toEqual([
    'train: 30 rows packed from 40, 696 tokens, 3 steps',
    'eval: 5 rows packed from 9, 117 tokens',
    'train: 2 rows without a token to learn from',
  ]);
});

test('few rows that are cut are a note; more than one in a hundred are advice', async () => {
  const set = {
    truncatedRows: 1,
    truncatedTokens: 5,
    wholeTokens: 900,
    longestWhole: 29,
    notes: new Map(),
    unreadColumns: [],
  };
  const lines = (documents: number) =>
    datasetNotes('train', { ...set, documents, droppedRows: 0 } as unknown as Dataset, configOf({ max_length: 24 }));
  expect(lines(100)).toEqual(['train: 1 row cut to max_length 24, 5 tokens left out']);
  expect(lines(99)).toEqual([]);
});
