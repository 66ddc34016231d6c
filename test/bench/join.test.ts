/** Runs of several folders join in one report: nibble's beside those of a peer. */
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { joinFolders } from '../../src/bench/join.ts';
import { readRun } from '../../src/bench/read-runs.ts';
import { buildReport } from '../../src/report/report.ts';
import type { RunRecord } from '../../src/results/run-schema.ts';
import { makeRun } from '../report/fixture.ts';

const NOW = '2026-01-02T03:04:05.000Z';
const root = mkdtempSync(path.join(os.tmpdir(), 'nibble-join-'));
/** A run that bench/peers/peft_run.py wrote for three steps of the quick suite. */
const PEER = new URL('../golden/peers/peft-lora-seed0.run.json', import.meta.url).pathname;

function folder(name: string, runs: readonly RunRecord[]): string {
  const directory = path.join(root, name);
  mkdirSync(directory);
  for (const run of runs) {
    const { arm, seed } = run.run_info;
    writeFileSync(path.join(directory, `${arm}-seed${seed}.run.json`), JSON.stringify(run));
  }
  return directory;
}

describe('joined folders', () => {
  test('are summarized together; a peer is held against the arm it repeats', async () => {
    const peer = await readRun(PEER);
    const mine = [makeRun('lora', 0), makeRun('qlora', 0)];
    const { runs, summary } = await joinFolders([folder('mine', mine), folder('theirs', [peer])], NOW);
    expect(summary.suite).toBe(`${mine[0]?.run_info.suite} + peers`);
    expect(summary.arms.map(({ arm, n }) => [arm, n])).toEqual([
      ['lora', 1],
      ['qlora', 1],
      ['peft-lora', 1],
    ]);
    const report = await buildReport({ runs, summary });
    const arms = report.sections.find(({ id }) => id === 'arms');
    const table = arms?.blocks.find((block) => block.kind === 'table' && block.id === 'peers-table');
    if (table?.kind !== 'table') throw new Error('no table of peers');
    expect(table.columns).toEqual(['metric', 'LoRA']);
    const raw = Object.fromEntries(table.rows.map(([what, value]) => [what, (value as { raw: number | null }).raw]));
    const rate = (run: RunRecord) => run.train_info.throughput.tokens_per_second as number;
    expect(raw['Throughput, ratio']).toBe(rate(mine[0] as RunRecord) / rate(peer));
    expect(raw['Peak memory, ratio']).toBeNull(); // torch counts no bytes on a CPU
    const loss = (run: RunRecord) => run.eval_info.metrics?.eval_loss.value as number;
    expect(raw['Evaluation loss after training, difference']).toBe(loss(mine[0] as RunRecord) - loss(peer));
    // both environments are shown, with a note that there are two
    const environment = report.sections.find(({ id }) => id === 'environment');
    expect(environment?.blocks.map(({ kind }) => kind)).toEqual(['banner', 'table', 'table']);
  });

  test('the two compared arms alone have no table of others, and share one environment', async () => {
    const { runs, summary } = await joinFolders([folder('two', [makeRun('lora', 0), makeRun('qlora', 0)])], NOW);
    const report = await buildReport({ runs, summary });
    expect(report.sections.map(({ id }) => id)).not.toContain('arms');
    const environment = report.sections.find(({ id }) => id === 'environment');
    expect(environment?.blocks.map(({ kind }) => kind)).toEqual(['table']);
  });

  test('an arm and seed in two folders, a folder without runs, and a file that is no run are refused', async () => {
    const a = folder('a', [makeRun('lora', 1)]);
    const b = folder('b', [makeRun('lora', 1)]);
    await expect(joinFolders([a, b], NOW)).rejects.toThrow(
      /b\/lora-seed1\.run\.json: is arm lora, seed 1, as is .*a\/lora/,
    );
    await expect(joinFolders([a, path.join(root, 'none')], NOW)).rejects.toThrow(/none: there is no such folder\./);
    await expect(joinFolders([a, folder('empty', [])], NOW)).rejects.toThrow(
      /empty: holds no \*\.run\.json, as nibble bench run/,
    );
    const c = folder('c', []);
    writeFileSync(path.join(c, 'x.run.json'), '{}');
    await expect(joinFolders([c], NOW)).rejects.toThrow(/x\.run\.json: is not a run of schema v2/);
  });
});
