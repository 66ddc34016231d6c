/** Records of runs: read, summarized and put into a report. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import fc from 'fast-check';
import { readJson, readRun } from '../../../src/bench/read-runs.ts';
import { renderCsv } from '../../../src/report/csv.ts';
import { renderMarkdown } from '../../../src/report/markdown.ts';
import { buildReport } from '../../../src/report/report.ts';
import { summarizeRuns } from '../../../src/results/summarize.ts';
import { suiteSummarySchema } from '../../../src/results/summary-schema.ts';
import { makeRuns } from '../../report/fixture.ts';
import { bytesOf, damagedFile } from '../bytes.ts';
import { reader, require } from '../reader.ts';
import { asText, type Json, mutated } from '../values.ts';

const runs = makeRuns() as unknown as Json[];
const folder = mkdtempSync(path.join(tmpdir(), 'nibble-fuzz-'));
process.once('exit', () => rmSync(folder, { recursive: true, force: true }));

const changedRun = fc
  .constantFrom(...runs)
  .chain(mutated)
  .chain((run) => damagedFile(bytesOf(asText(run))));

async function readAll(records: readonly Uint8Array[]) {
  const read = records.map((bytes, i) => {
    const file = path.join(folder, `${i}.run.json`);
    writeFileSync(file, bytes);
    return readRun(file);
  });
  return Promise.all(read);
}

export const recordReader = reader<readonly Uint8Array[]>({
  name: 'record of a run',
  share: 6,
  inputs: fc.array(changedRun, { minLength: 1, maxLength: 2 }),
  read: async (records) => {
    const read = await readAll(records);
    for (const { train_info, eval_info } of read) {
      const { memory } = train_info;
      require(memory === null || memory.allocated.peak >= 0, 'memory below nothing');
      require((eval_info.metrics?.eval_loss.n ?? 1) >= 0, 'an evaluation of less than no token');
    }
    const summary = summarizeRuns(read, { suite: 'fuzz', createdAt: '2026-01-01T00:00:00.000Z' });
    require(suiteSummarySchema.safeParse(JSON.parse(JSON.stringify(summary)))
      .success, 'its summary does not fit its schema');
    require(renderCsv(read).split('\n').length > read.length, 'a run is missing from the table');
  },
});

/** With charts it takes half a second, so there are few. */
export const reportReader = reader<readonly Uint8Array[]>({
  name: 'report of records',
  share: 1,
  inputs: changedRun.map((changed) => [...runs.slice(1).map((run) => bytesOf(asText(run))), changed]),
  read: async (records) => {
    const read = await readAll(records);
    const summary = summarizeRuns(read, { suite: 'fuzz', createdAt: '2026-01-01T00:00:00.000Z' });
    const text = renderMarkdown(await buildReport({ runs: read, summary }));
    require(!/\bNaN\b|\bundefined\b|\[object/.test(
      text,
    ), `a report with ${/.*(NaN|undefined|\[object).*/.exec(text)?.[0]}`);
  },
});

export const summaryReader = reader<Uint8Array>({
  name: 'summary of a suite',
  share: 2,
  inputs: mutated(
    summarizeRuns(makeRuns(), { suite: 's', createdAt: '2026-01-01T00:00:00.000Z' }) as unknown as Json,
  ).chain((json) => damagedFile(bytesOf(asText(json)))),
  read: async (bytes) => {
    const file = path.join(folder, 'summary.json');
    writeFileSync(file, bytes);
    suiteSummarySchema.safeParse(await readJson(file));
  },
});
