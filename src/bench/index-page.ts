/** README.md of a folder of published results: a row for each suite, and the other records beside them. */
import { readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { writeText } from '../formats/reader.ts';
import { nodeWriter } from '../node/files.ts';
import { REPORT_FILES } from '../report/report.ts';
import { verdictText } from '../report/sections/verdict.ts';
import { MANIFEST_FILE } from './manifest.ts';
import { readSuiteFolder } from './suite-folder.ts';

export const INDEX_FILE = 'README.md';
/** Results that are not published. */
const LOCAL = 'local';

/** Writes the index of a folder; returns its path. @throws DataError for a suite that cannot be read */
export async function writeIndex(folder: string): Promise<string> {
  await writeText(nodeWriter(folder), INDEX_FILE, await indexText(folder));
  return path.join(folder, INDEX_FILE);
}

/** The text of the index of a folder. @throws DataError for a suite that cannot be read */
export async function indexText(folder: string): Promise<string> {
  const entries = await readdir(folder, { withFileTypes: true });
  const folders = entries.filter((entry) => entry.isDirectory() && entry.name !== LOCAL && !entry.name.startsWith('.'));
  const suites: string[] = [];
  const others: string[] = [];
  for (const { name } of folders.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const at = path.join(folder, name);
    const isSuite = (await stat(path.join(at, MANIFEST_FILE)).catch(() => null)) !== null;
    if (isSuite) suites.push(await suiteRow(at, name));
    else others.push(`[${name}](${name})`);
  }
  return [
    '# Results',
    'Written by `nibble bench index`, and by `nibble bench publish`. Each folder of a suite says how to repeat it.',
    ...(suites.length === 0 ? ['No suite has been published here.'] : [table(suites)]),
    ...(others.length === 0 ? [] : [`Records of other kinds: ${others.join(', ')}.`]),
    '',
  ].join('\n\n');
}

const SUITE_COLUMNS = ['suite', 'made', 'runs', 'model', 'device', 'nibble', 'what came of it'];

function table(rows: readonly string[]): string {
  return [`| ${SUITE_COLUMNS.join(' | ')} |`, `|${' --- |'.repeat(SUITE_COLUMNS.length)}`, ...rows].join('\n');
}

const rowOf = (cells: readonly string[]): string =>
  `| ${cells.map((cell) => cell.replaceAll('|', '\\|').replaceAll(/\s+/g, ' ')).join(' | ')} |`;

async function suiteRow(at: string, name: string): Promise<string> {
  const { runs, summary } = await readSuiteFolder(at);
  const each = (of: (run: (typeof runs)[number]) => string | null | undefined): string =>
    [...new Set(runs.flatMap((run) => of(run) ?? []))].join(', ');
  const failed = summary.arms.reduce((sum, arm) => sum + arm.failed, 0);
  return rowOf([
    `[${name}](${name}/${REPORT_FILES.markdown})`,
    summary.created_at.slice(0, 10),
    `${runs.length}${failed === 0 ? '' : `, ${failed} failed`}`,
    each((run) => run.meta_info.model_info.id),
    each((run) => run.meta_info.gpu?.description),
    each((run) => run.run_info.code.version),
    verdictText(summary),
  ]);
}
