/** Every chart and table of a report, measured in the Chromium that npm brings: wide, phone, dark and print. */
import { readFileSync } from 'node:fs';
import chromium from '@sparticuz/chromium';
import { type Browser, type Page, chromium as playwright } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { renderReport } from '../../src/report/report.ts';
import { makeRuns, makeSummary } from '../report/fixture.ts';
import { failArm, type Suite, setTokens, suiteOf, summarized } from '../report/suites.ts';

const measure = readFileSync(new URL('../report/measure-page.js', import.meta.url), 'utf8');
/** A folder to look at pictures in; none are kept without it. */
const PICTURES = process.env.NIBBLE_TEST_PICTURES;

type Measured = { readonly problems: string[]; readonly charts: number; readonly tables: number };

/** A4 less the browser's own margins of a centimetre, at 96 pixels an inch. */
const PAPER = { width: 718, height: 1047 };

const VIEWS = [
  ['wide', { width: 1280, height: 900 }, 'light', 'screen'],
  ['dark', { width: 1280, height: 900 }, 'dark', 'screen'],
  ['phone', { width: 390, height: 844 }, 'light', 'screen'],
  ['dark phone', { width: 390, height: 844 }, 'dark', 'screen'],
  ['print', PAPER, 'light', 'print'],
] as const;

/** Cases of 64 to 4,096 tokens, where QLoRA's extra time falls as 1 / T. */
function tokensSuite(): Suite {
  const tokens = [64, 128, 256, 512, 1024, 2048, 4096];
  const names = tokens.map((count) => `t${count}`);
  const { runs } = suiteOf(['lora', 'qlora'], [0, 1, 2], names);
  for (const run of runs) {
    const count = tokens[names.indexOf(run.run_info.case!)]!;
    setTokens(run, count, run.run_info.arm === 'qlora' ? 1 + 20 / count : 1);
  }
  return summarized(runs, 'lora');
}

function failedSuite(): Suite {
  const { runs } = suiteOf(['lora', 'qlora', 'full'], [0, 1, 2]);
  failArm(runs, 'full');
  return summarized(runs, 'lora');
}

const SUITES: readonly (readonly [string, () => Suite])[] = [
  ['two arms', () => ({ runs: makeRuns(), summary: makeSummary(makeRuns()) })],
  ['three arms', () => suiteOf(['lora', 'nf4-double-quant', 'fp4'], [0, 1, 2, 3, 4, 5])],
  ['ten arms', () => suiteOf(TEN_ARMS, [0, 1, 2])],
  ['one failed arm', failedSuite],
  ['tokens', tokensSuite],
];

const TEN_ARMS = Array.from({ length: 10 }, (_, i) => (i === 0 ? 'lora' : `lora--llama-3.2-3B-rank${2 ** i}`));

let browser: Browser;
let page: Page;
beforeAll(async () => {
  browser = await playwright.launch({ executablePath: await chromium.executablePath(), args: chromium.args });
  // one page for all: this browser, a single process, ends with the first page that is closed
  page = await browser.newPage();
});
afterAll(async () => browser?.close());

async function open(html: string, [, viewport, colorScheme, media]: (typeof VIEWS)[number]): Promise<void> {
  await page.setViewportSize(viewport);
  await page.emulateMedia({ media, colorScheme });
  await page.setContent(html);
  // what is folded away is measured as well
  await page.evaluate('document.querySelectorAll("details").forEach((one) => { one.open = true; })');
}

/** The top of the page, and its charts one below the other. */
async function picture(name: string): Promise<void> {
  await page.screenshot({ path: `${PICTURES}/${name}.png` });
  await page.addStyleTag({
    content: 'main > *, section > * { display: none } main > section, section > figure { display: block }',
  });
  await page.screenshot({ path: `${PICTURES}/${name}-charts.png`, fullPage: true });
}

test.each(SUITES)('%s: nothing overlaps, nothing is cut off, axes hold their data', async (name, make) => {
  const html = (await renderReport(make())).get('report.html')!;
  const found: string[] = [];
  for (const view of VIEWS) {
    await open(html, view);
    const { problems, charts, tables } = (await page.evaluate(measure)) as Measured;
    found.push(...problems.map((problem) => `${view[0]}: ${problem}`));
    expect(charts).toBeGreaterThan(3);
    expect(tables).toBeGreaterThan(8);
    if (PICTURES !== undefined) await picture(`${name} ${view[0]}`.replaceAll(' ', '-'));
  }
  expect(found).toEqual([]);
});
