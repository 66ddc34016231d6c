/** Writes the report of a suite into its folder. */
import path from 'node:path';
import { writeText } from '../formats/reader.ts';
import { nodeWriter } from '../node/files.ts';
import { REPORT_FILES, type ReportInput, renderReport } from '../report/report.ts';

type ReportPaths = { readonly reportHtml: string; readonly reportMd: string; readonly runsCsv: string };

/** Writes report.html, report.md with its charts, and runs.csv into `dir`; returns their paths. @throws DataError */
export async function writeReport({ dir, ...input }: ReportInput & { readonly dir: string }): Promise<ReportPaths> {
  const writer = nodeWriter(dir);
  for (const [file, text] of await renderReport(input)) await writeText(writer, file, text);
  return {
    reportHtml: path.join(dir, REPORT_FILES.html),
    reportMd: path.join(dir, REPORT_FILES.markdown),
    runsCsv: path.join(dir, REPORT_FILES.csv),
  };
}
