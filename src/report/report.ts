/** The report of a suite: its parts in reading order, and the text of its files. */
import type { PriceTable } from '../results/prices.ts';
import type { RunRecord } from '../results/run-schema.ts';
import type { SuiteSummary } from '../results/summary-schema.ts';
import { armLabel } from './arms.ts';
import { standaloneSvg } from './charts/render.ts';
import { renderCsv } from './csv.ts';
import { type Block, chartsOf, type ReportDocument } from './document.ts';
import { renderHtml } from './html.ts';
import { CHART_FOLDER, renderMarkdown } from './markdown.ts';
import { comparisonSection } from './sections/comparison.ts';
import { environmentSection, repeatSection } from './sections/environment.ts';
import { memorySection } from './sections/memory.ts';
import { otherArmsSection } from './sections/other-arms.ts';
import { paretoSection } from './sections/pareto.ts';
import { qualitySection } from './sections/quality.ts';
import { quantErrorSection } from './sections/quant-error.ts';
import { ratesSection } from './sections/rates.ts';
import { runsSection } from './sections/runs.ts';
import { samplesSection } from './sections/samples.ts';
import { scaleSection } from './sections/scale.ts';
import { settingsSection } from './sections/settings.ts';
import { speedSection } from './sections/speed.ts';
import { tokensSection } from './sections/tokens.ts';
import { leadBlocks, softwareBanner } from './sections/verdict.ts';

export type ReportInput = {
  readonly runs: readonly RunRecord[];
  readonly summary: SuiteSummary;
  /** What an hour of a GPU costs; published prices by default. */
  readonly prices?: PriceTable;
};

/** Verdict first, then what it rests on, then how to get it again. Sections without data are left out. */
export async function buildReport({ runs, summary, prices }: ReportInput): Promise<ReportDocument> {
  const sections = [
    comparisonSection(summary),
    settingsSection(runs, summary),
    await tokensSection(runs, summary),
    otherArmsSection(runs, summary),
    await memorySection(runs, summary),
    await speedSection(runs, summary),
    ratesSection(runs, prices),
    await qualitySection(runs, summary),
    samplesSection(runs, summary),
    await paretoSection(summary),
    await quantErrorSection(runs, summary),
    await scaleSection(summary),
    runsSection(runs),
    environmentSection(runs),
    repeatSection(runs),
  ];
  const models = [...new Set(runs.map((run) => run.meta_info.model_info.id))].join(', ') || 'no model';
  return {
    title: titleOf(summary),
    subtitle: `${models}, ${runs.length} runs, ${summary.created_at.slice(0, 16).replace('T', ' ')} UTC`,
    lead: [...leadBlocks(summary), ...softwareNote(runs, summary)],
    sections: sections.filter((section) => section !== null),
  };
}

/** Names of the files that people open; charts lie in a folder beside them. */
export const REPORT_FILES = { html: 'report.html', markdown: 'report.md', csv: 'runs.csv' } as const;

/** The text of every file of a report, by its path below the report's folder. */
export async function renderReport(input: ReportInput): Promise<ReadonlyMap<string, string>> {
  const report = await buildReport(input);
  return new Map([
    ...chartsOf(report).map((chart) => [`${CHART_FOLDER}/${chart.name}.svg`, standaloneSvg(chart)] as const),
    [REPORT_FILES.html, renderHtml(report, input)],
    [REPORT_FILES.markdown, renderMarkdown(report)],
    [REPORT_FILES.csv, renderCsv(input.runs)],
  ]);
}

/** Names the arms where they are few. */
function titleOf({ suite, arms }: SuiteSummary): string {
  const labels = [...new Set(arms.map(({ arm }) => armLabel(arm)))];
  return labels.length > MOST_IN_TITLE || labels.length === 0
    ? `Suite ${suite}: ${labels.length} arms`
    : `${labels.join(', ').replace(/, ([^,]*)$/, ' and $1')}: suite ${suite}`;
}

const MOST_IN_TITLE = 4;

function softwareNote(runs: readonly RunRecord[], { arms }: SuiteSummary): Block[] {
  const gpu = runs.map((run) => run.meta_info.gpu).find((info) => info?.software_rendered === true);
  return gpu === undefined || gpu === null
    ? []
    : [softwareBanner(driverName(gpu.description), new Set(arms.map(({ arm }) => arm)).size)];
}

function driverName(description: string): string {
  if (/swiftshader/i.test(description)) return 'SwiftShader';
  return /llvmpipe|lavapipe/i.test(description) ? 'lavapipe' : description;
}
