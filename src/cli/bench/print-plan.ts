/** Says what a suite would run, and what each arm would need of a GPU. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { max as largest } from 'simple-statistics';
import { ESTIMATE_PROFILE, estimateArm } from '../../bench/estimate-arm.ts';
import { isInShard, turnsOf } from '../../bench/turns.ts';
import { sizeInWords } from '../../config/index.ts';
import { exitCodeOf } from '../../errors.ts';
import { counted } from '../../report/format.ts';
import type { CliContext } from '../shared/context.ts';
import type { BenchRunArgs } from './command.ts';

/** Prints a line for each arm of each case, and how many runs they make. */
export async function printPlan({ suite, shard }: BenchRunArgs, { stdout, signal }: CliContext): Promise<void> {
  const own = turnsOf(suite, shard?.n).filter((turn) => isInShard(turn, shard));
  const rows: string[][] = [['case', 'arm', 'runs', 'batch', 'length', 'peak memory']];
  const directory = await mkdtemp(path.join(tmpdir(), 'nibble-plan-'));
  try {
    for (const entry of suite.cases) {
      for (const { name, config } of entry.arms) {
        signal.throwIfAborted();
        const runs = own.filter((turn) => turn.case === entry.name && turn.arm.name === name).length;
        const { per_device_train_batch_size: batch, max_length } = config.values;
        const peak = await estimateArm(config, { directory, signal }).then(
          ({ peakBytes }) => sizeInWords(peakBytes),
          (error: unknown) => {
            if (exitCodeOf(error) !== 2) throw error;
            return `none: ${(error as Error).message.split('\n')[0]}`;
          },
        );
        rows.push([entry.name ?? '-', name, String(runs), String(batch), String(max_length ?? 'model'), peak]);
      }
    }
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
  const widths = rows[0]!.map((_, i) => largest(rows.map((row) => row[i]!.length)));
  for (const row of rows)
    stdout.write(
      `${row
        .map((cell, i) => cell.padEnd(widths[i]!))
        .join('  ')
        .trimEnd()}\n`,
    );
  const part = shard === null ? '' : `, part ${shard.i} of ${shard.n}`;
  const rule = suite.division === 'closed' ? 'arms differ in the method alone' : 'arms may differ in anything';
  stdout.write(
    `${counted(own.length, 'run')}${part}; ${suite.division} division: ${rule}; against ${suite.baseline}.\n` +
      `Memory by the plan on the profile ${ESTIMATE_PROFILE}. Nothing was run.\n`,
  );
}
