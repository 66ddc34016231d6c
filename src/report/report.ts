/** The report of a suite: its parts in reading order, and the files it is written to. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import writeFileAtomic from 'write-file-atomic';
import type { RunRecord } from '../results/run-schema.ts';
import type { SuiteSummary } from '../results/summary-schema.ts';
import { standaloneSvg } from './charts/render.ts';
import { renderCsv } from './csv.ts';
import { type Block, chartsOf, type ReportDocument } from './document.ts';
import { renderHtml } from './html.ts';
import { CHART_FOLDER, renderMarkdown } from './markdown.ts';
import { comparisonSection } from './sections/comparison.ts';
import { environmentSection, repeatSection } from './sections/environment.ts';
import { memorySection } from './sections/memory.ts';
import { otherArmsSection } from './sections/other-arms.ts';
import { qualitySection } from './sections/quality.ts';
import { runsSection } from './sections/runs.ts';
import { scaleSection } from './sections/scale.ts';
import { speedSection } from './sections/speed.ts';
import { leadBlocks, softwareBanner } from './sections/verdict.ts';

export type ReportInput = { readonly runs: readonly RunRecord[]; readonly summary: SuiteSummary };
export type ReportPaths = { readonly reportHtml: string; readonly reportMd: string; readonly runsCsv: string };

/** Verdict first, then what it rests on, then how to get it again. Sections without data are left out. */
export async function buildReport({ runs, summary }: ReportInput): Promise<ReportDocument> {
  const sections = [
    comparisonSection(summary),
    otherArmsSection(runs, summary),
    await memorySection(runs, summary),
    await speedSection(runs, summary),
    await qualitySection(runs, summary),
    await scaleSection(summary),
    runsSection(runs),
    environmentSection(runs),
    repeatSection(runs),
  ];
  const models = [...new Set(runs.map((run) => run.meta_info.model_info.id))].join(', ');
  return {
    title: `LoRA and QLoRA: suite ${summary.suite}`,
    subtitle: `${models}, ${runs.length} runs, ${summary.created_at.slice(0, 16).replace('T', ' ')} UTC`,
    lead: [...leadBlocks(summary), ...softwareNote(runs)],
    sections: sections.filter((section) => section !== null),
  };
}

/** Writes report.html, report.md with its charts, and runs.csv into `dir`; returns their paths. */
export async function writeReport({ dir, ...input }: ReportInput & { readonly dir: string }): Promise<ReportPaths> {
  const report = await buildReport(input);
  const charts = join(dir, CHART_FOLDER);
  await mkdir(charts, { recursive: true });
  const paths = {
    reportHtml: join(dir, 'report.html'),
    reportMd: join(dir, 'report.md'),
    runsCsv: join(dir, 'runs.csv'),
  };
  await Promise.all([
    ...chartsOf(report).map((chart) => writeFileAtomic(join(charts, `${chart.name}.svg`), standaloneSvg(chart))),
    writeFileAtomic(paths.reportHtml, renderHtml(report, input)),
    writeFileAtomic(paths.reportMd, renderMarkdown(report)),
    writeFileAtomic(paths.runsCsv, renderCsv(input.runs)),
  ]);
  return paths;
}

function softwareNote(runs: readonly RunRecord[]): Block[] {
  const gpu = runs.map((run) => run.meta_info.gpu).find((info) => info?.software_rendered === true);
  return gpu === undefined || gpu === null ? [] : [softwareBanner(driverName(gpu.description))];
}

function driverName(description: string): string {
  if (/swiftshader/i.test(description)) return 'SwiftShader';
  return /llvmpipe|lavapipe/i.test(description) ? 'lavapipe' : description;
}
