/** Figures that tests reached, written to NIBBLE_FIDELITY_OUT where `npm run fidelity` sets it. */
import path from 'node:path';
import { writeRecord } from '../../bench/shared/record.mjs';
import type { Figure } from '../../bench/shared/records.mjs';
import { device } from '../gpu/harness.ts';
import { pythonVersions } from './golden.ts';

export type { Figure };

type Row = {
  readonly row: number;
  readonly title: string;
  /** How many figures the tests of the file make, when all of them run. */
  readonly count: number;
  readonly figures: readonly Figure[];
};

/** Does nothing in an ordinary test run, nor where a test ended before its figures: half a record would pass for a whole one. */
export function recordFigures(name: string, { row, title, count, figures }: Row): void {
  const folder = process.env.NIBBLE_FIDELITY_OUT;
  if (folder === undefined || folder === '' || figures.length !== count) return;
  const { torch = '', transformers = '', peft = '', bitsandbytes = '' } = pythonVersions;
  writeRecord(path.join(folder, `${name}.json`), {
    row,
    title,
    command: 'npm run fidelity',
    adapter: device.info.description || device.info.device,
    versions: { torch, transformers, peft, bitsandbytes },
    figures,
  });
}
