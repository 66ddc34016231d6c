/** Does the work of `nibble bench export`. */
import { stat } from 'node:fs/promises';
import path from 'node:path';
import { readSuiteFolder } from '../../bench/suite-folder.ts';
import { ConfigError } from '../../errors.ts';
import { writeText } from '../../formats/reader.ts';
import { nodeWriter } from '../../node/files.ts';
import { takeFolder } from '../../node/output-folder.ts';
import { renderCsv } from '../../report/csv.ts';
import { githubActionBenchmark } from '../../report/exports/github-action-benchmark.ts';
import { ibmCsv } from '../../report/exports/ibm.ts';
import { peftFiles } from '../../report/exports/peft.ts';
import type { CliContext } from '../shared/context.ts';
import type { BenchExportArgs } from './publish-commands.ts';

/** Writes a suite in another format. @throws ConfigError, DataError */
export async function exportBench({ folder, format, output }: BenchExportArgs, { stdout }: CliContext): Promise<void> {
  const { runs, summary } = await readSuiteFolder(folder);
  if (format === 'peft') return exportFiles(peftFiles(runs), output, stdout);
  const text =
    format === 'ibm'
      ? ibmCsv(runs)
      : format === 'csv'
        ? renderCsv(runs)
        : `${JSON.stringify(githubActionBenchmark(summary), null, 2)}\n`;
  if (output === undefined) {
    stdout.write(text);
    return;
  }
  if ((await stat(output).catch(() => null)) !== null)
    throw new ConfigError([
      { path: '--output', message: `${output} is there already, nothing was written; give another name` },
    ]);
  const { dir, base } = path.parse(path.resolve(output));
  await writeText(nodeWriter(dir), base, text);
  stdout.write(`${output}\n`);
}

async function exportFiles(
  files: ReadonlyMap<string, string>,
  output: string | undefined,
  stdout: CliContext['stdout'],
): Promise<void> {
  if (output === undefined)
    throw new ConfigError([
      { path: '--output', message: 'is missing; peft makes a file for each run: give a new folder' },
    ]);
  const taken = await takeFolder(output, { name: '--output', contents: 'none' });
  try {
    for (const [name, text] of files) await writeText(nodeWriter(taken.directory), name, text);
    stdout.write(`${output}: ${files.size} files\n`);
  } finally {
    await taken.release();
  }
}
