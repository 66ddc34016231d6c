/** Figures that tests reached, written to NIBBLE_FIDELITY_OUT where `npm run fidelity` sets it. */
import { readFileSync, writeFileSync } from 'node:fs';
import { cpus, release, type } from 'node:os';
import path from 'node:path';
import { device } from '../gpu/harness.ts';
import { pythonVersions } from './golden.ts';

export type Figure = {
  readonly what: string;
  readonly reached: number;
  /** The largest value that is good enough; null where nothing was promised. */
  readonly bound: number | null;
  readonly unit: string;
  readonly note?: string;
};

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
  const measured = new Date().toISOString().slice(0, 10);
  const record = { row, title, command: 'npm run fidelity', measured, environment: environment(), figures };
  writeFileSync(path.join(folder, `${name}.json`), `${JSON.stringify(record, null, 2)}\n`);
}

function environment(): Record<string, string> {
  const webgpu = JSON.parse(
    readFileSync(new URL('../../node_modules/webgpu/package.json', import.meta.url), 'utf8'),
  ) as { version: string };
  const { torch = '', transformers = '', peft = '', bitsandbytes = '' } = pythonVersions;
  return {
    os: `${type()} ${release()}`,
    cpu: cpus()[0]?.model ?? 'unknown',
    node: process.versions.node,
    webgpu: webgpu.version,
    adapter: device.info.description || device.info.device,
    torch,
    transformers,
    peft,
    bitsandbytes,
  };
}
