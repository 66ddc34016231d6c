import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { writeReport } from '../../src/bench/write-report.ts';
import { chartsOf, type ReportDocument } from '../../src/report/document.ts';
import { formatBytes, formatCount, formatFixed, formatMs, formatSeconds } from '../../src/report/format.ts';
import { renderHtml } from '../../src/report/html.ts';
import { renderMarkdown } from '../../src/report/markdown.ts';
import { buildReport } from '../../src/report/report.ts';
import { MEMORY_CATEGORIES, totalBytes } from '../../src/results/run-schema.ts';
import { METRIC_NAMES } from '../../src/results/summary-schema.ts';
import { CATEGORIES, makeRuns, makeSummary } from './fixture.ts';

const runs = makeRuns();
const summary = makeSummary(runs);
let report: ReportDocument;
let page: string;
let markdown: string;

beforeAll(async () => {
  report = await buildReport({ runs, summary });
  page = renderHtml(report, { runs, summary });
  markdown = renderMarkdown(report);
});

test('says above all of what, how many runs and when', () => {
  const when = summary.created_at.slice(0, 'YYYY-MM-DD'.length);
  expect(when).toMatch(/^20\d\d-\d\d-\d\d$/);
  expect(report.subtitle).toMatch(new RegExp(`^\\S.*, ${runs.length} runs, ${when} \\d\\d:\\d\\d UTC$`));
});

/** Cuts the page before the embedded data. */
const visible = () => page.slice(0, page.indexOf('<script'));
const decode = (text: string) =>
  text
    .replaceAll('&lt;', '<')
    .replaceAll('&gt;', '>')
    .replaceAll('&quot;', '"')
    .replaceAll('&#39;', "'")
    .replaceAll('&amp;', '&');

type Cell = { text: string; value: number | null };

/** Reads the rows of a table of the page, with the raw value of every figure. */
function htmlTable(id: string): Cell[][] {
  const table = new RegExp(`<table id="${id}">([\\s\\S]*?)</table>`).exec(page)![1]!;
  const body = /<tbody>([\s\S]*)<\/tbody>/.exec(table)![1]!;
  return [...body.matchAll(/<tr[^>]*>([\s\S]*?)<\/tr>/g)].map(([, row]) =>
    [...row!.matchAll(/<t[hd][^>]*>([\s\S]*?)<\/t[hd]>/g)].map(([, cell]) => {
      const raw = /<data value="([^"]*)">/.exec(cell!)?.[1];
      return { text: decode(cell!.replace(/<[^>]*>/g, '')), value: raw === undefined ? null : Number(raw) };
    }),
  );
}

/** Reads the rows of the Markdown table under a caption. */
function markdownTable(caption: string): string[][] {
  const lines = markdown.split('\n');
  const start = lines.indexOf(`**${caption}**`) + 4;
  const end = lines.findIndex((line, i) => i > start && !line.startsWith('|'));
  return lines.slice(start, end).map((line) =>
    line
      .slice(2, -2)
      .split(' | ')
      .map((cell) => cell.replaceAll('**', '').replaceAll('`', '').replaceAll('\\', '')),
  );
}

const numbers = (rows: Cell[][]) => rows.map((row) => row.slice(1).map(({ value }) => value));
const texts = (rows: Cell[][]) => rows.map((row) => row.map(({ text }) => text));

describe('the numbers of the page and of the Markdown are those of the JSON', () => {
  test('memory by category, exact bytes and human size', () => {
    const want = [
      // a category that neither arm uses has no row: training keeps no kv_cache
      ...MEMORY_CATEGORIES.filter((category) => category !== 'kv_cache').map((category) => [
        CATEGORIES.lora[category],
        CATEGORIES.qlora[category],
      ]),
      [totalBytes(CATEGORIES.lora), totalBytes(CATEGORIES.qlora)],
    ] as [number, number][];
    const rows = htmlTable('memory-by-category');
    expect(numbers(rows)).toEqual(want.map(([lora, qlora]) => [lora, lora, qlora, qlora, qlora - lora]));
    const shown = markdownTable('Peak memory by category');
    expect(shown).toHaveLength(11);
    for (const [i, [lora, qlora]] of want.entries()) {
      expect(shown[i]!.slice(1, 5)).toEqual([
        formatCount(lora),
        formatBytes(lora),
        formatCount(qlora),
        formatBytes(qlora),
      ]);
      // the separators taken off, the exact column is the JSON's number
      expect(Number(shown[i]![1]!.replaceAll(',', ''))).toBe(lora);
    }
    expect(texts(rows)).toEqual(shown);
  });

  test('runs', () => {
    const rows = htmlTable('runs-table');
    expect(rows).toHaveLength(6);
    const shown = markdownTable('All runs in the order they ran');
    for (const [i, run] of runs.entries()) {
      const { train_info: train, run_info: info, eval_info: evaluated } = run;
      const values = [
        train.num_trainable_params,
        train.memory!.allocated.peak,
        train.step_time_ms!.p50,
        train.throughput.tokens_per_second,
        evaluated.metrics!.eval_loss.value,
        evaluated.metrics!.perplexity,
        info.total_time,
      ];
      expect(rows[i]!.slice(4).map(({ value }) => value)).toEqual(values);
      expect(shown[i]).toEqual([
        info.run_id,
        info.arm === 'lora' ? 'LoRA' : 'QLoRA',
        String(info.seed),
        'success',
        formatCount(values[0]!),
        formatBytes(values[1]!),
        formatMs(values[2]!),
        formatFixed(values[3]!, 1),
        formatFixed(values[4]!, 4),
        formatFixed(values[5]!, 2),
        formatSeconds(values[6]!),
      ]);
    }
    expect(texts(rows)).toEqual(shown);
  });

  test('step times, evaluation and timers', () => {
    const ordered = ['lora', 'qlora'].flatMap((arm) =>
      runs.filter(({ run_info }) => run_info.arm === arm).sort((a, b) => a.run_info.seed - b.run_info.seed),
    );
    expect(numbers(htmlTable('step-times'))).toEqual(
      ordered.map(({ train_info: { step_time_ms: s } }) => [
        s!.count,
        s!.p50,
        s!.mean,
        s!.sd,
        s!.p90,
        s!.p95,
        s!.p99,
        s!.min,
        s!.max,
      ]),
    );
    expect(numbers(htmlTable('evaluation'))).toEqual(
      ordered.map(({ eval_info: { metrics_before: before, metrics: after } }) => [
        after!.eval_loss.n,
        before!.eval_loss.value,
        after!.eval_loss.value,
        after!.eval_loss.value - before!.eval_loss.value,
        before!.perplexity,
        after!.perplexity,
      ]),
    );
    expect(numbers(htmlTable('timing'))).toEqual(
      ordered.map(({ train_info: { timing: t }, run_info }) => [
        t.load_s,
        t.quantize_s,
        t.compile_s,
        t.warmup_s,
        t.train_s,
        t.eval_s,
        t.save_s,
        run_info.total_time,
      ]),
    );
    // drops of the loss over the seeds, and the sample deviation of what it came to
    const learning = ['lora', 'qlora'].map((arm) => {
      const own = ordered.filter(({ run_info }) => run_info.arm === arm).map(({ eval_info }) => eval_info);
      const after = own.map(({ metrics }) => metrics!.eval_loss.value);
      const drops = own.map(({ metrics_before }, i) => metrics_before!.eval_loss.value - after[i]!);
      const mean = after.reduce((sum, value) => sum + value, 0) / after.length;
      const sd = Math.sqrt(after.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (after.length - 1));
      return [own.length, Math.min(...drops), sd, Math.min(...drops) / sd];
    });
    const told = numbers(htmlTable('learning')).map((row) => row.filter((value) => typeof value === 'number'));
    expect(told).toEqual(learning.map((row) => row.map((value) => expect.closeTo(value, 9))));
    expect(texts(htmlTable('learning')).map((row) => row.at(-1))).toEqual(['yes', 'yes']);
    expect(texts(htmlTable('evaluation'))).toEqual(markdownTable('Evaluation before and after training'));
    expect(texts(htmlTable('step-times'))).toEqual(markdownTable('Step time by run'));
  });

  test('the comparison is the summary, metric by metric', () => {
    const rows = htmlTable('comparison-table');
    expect(rows).toHaveLength(METRIC_NAMES.length);
    for (const [i, metric] of METRIC_NAMES.entries()) {
      const pair = summary.comparison!.paired[metric]!;
      const [lora, qlora] = summary.arms.map(({ metrics }) => metrics[metric]!.median);
      const [low, high] = pair.difference_ci95 ?? pair.difference_range;
      expect(rows[i]!.slice(1, -1).map(({ value }) => value)).toEqual([
        lora,
        qlora,
        pair.median_difference,
        low,
        high,
        pair.median_ratio,
        pair.n,
        pair.p_holm,
      ]);
    }
    expect(texts(rows)).toEqual(markdownTable('Medians and paired differences'));
  });

  test('the scale-up is the estimate', () => {
    const rows = htmlTable('scale-peaks');
    const models = summary.estimates!.models;
    expect(rows).toHaveLength(4);
    for (const [i, { num_total_params, predictions }] of models.entries()) {
      const [lora, qlora, full] = predictions.map(({ peak }) => peak);
      expect(rows[i]!.slice(1).map(({ value }) => value)).toEqual([
        num_total_params,
        lora,
        qlora,
        full,
        (lora! - qlora!) / lora!,
      ]);
    }
    expect(numbers(htmlTable('scale-65b')).at(-1)).toEqual(models[3]!.predictions.flatMap(({ peak }) => [peak, peak]));
  });

  test('quantized linears: what the ledger holds is what the formula says', () => {
    const values = new Map(htmlTable('quantized-linears-qlora').map(([name, value]) => [name!.text, value!.value]));
    // 96 x 96 weights: 4608 packed + 144 absmax codes + 4 (one second-level absmax) + 4 (offset) + 1088 of code tables
    expect(values.get('ledger, bytes')).toBe(5848);
    expect(values.get('formula, bytes')).toBe(5848);
    expect(values.get('bits a parameter, without code tables')).toBe((8 * 4760) / 9216);
  });

  test('the embedded JSON is the input', () => {
    const json = /<script type="application\/json" id="nibble-data">([\s\S]*?)<\/script>/.exec(page)![1]!;
    expect(JSON.parse(json)).toEqual(JSON.parse(JSON.stringify({ runs, summary })));
  });
});

describe('the page stands alone', () => {
  test('its policy allows styles and nothing from the network', () => {
    expect(page).toContain(
      `<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">`,
    );
    expect(visible()).not.toMatch(/https?:|\/\/[a-z]|@import|src=|<link|<iframe|<object/i);
    const targets = [...visible().matchAll(/(?:href|url)(?:="|\()([^")]+)/g)].map(([, target]) => target!);
    expect(targets.length).toBeGreaterThan(0);
    for (const target of targets) expect(target).toMatch(/^#/);
  });

  test('it holds one script, which is data, and no handler', () => {
    expect([...page.matchAll(/<script[^>]*>/g)].map(([tag]) => tag)).toEqual([
      '<script type="application/json" id="nibble-data">',
    ]);
    expect(visible()).not.toMatch(/\son[a-z]+=/i);
  });

  test('what a run says about itself is escaped', async () => {
    const hostile = structuredClone(runs);
    hostile[0]!.meta_info.runtime.cpu = '</script><script>alert(1)</script><img src=x onerror=alert(1)>';
    hostile[0]!.meta_info.model_info.id = '"><b>|x|</b>';
    const input = { runs: hostile, summary };
    const document = await buildReport(input);
    const text = renderHtml(document, input);
    expect(text.match(/<script/g)).toHaveLength(1);
    expect(text).not.toMatch(/<img|<b>/);
    expect(renderMarkdown(document)).not.toMatch(/<script|<img|<b>/);
  });

  test.each(['constructor', 'toString', 'hasOwnProperty'])('an arm may be called %s', async (name) => {
    const renamed = JSON.parse(JSON.stringify(runs).replaceAll('"qlora"', `"${name}"`)) as typeof runs;
    const document = await buildReport({ runs: renamed, summary: makeSummary(renamed) });
    const named = chartsOf(document).filter(({ svg }) => svg.includes(`>${name}</text>`));
    expect(named.map((chart) => chart.name)).toContain('loss');
    for (const { svg } of named) expect(svg).not.toContain('\u2060');
  });

  test('every inner link has its target and no id is used twice', () => {
    const ids = [...visible().matchAll(/\sid="([^"]+)"/g)].map(([, id]) => id!);
    expect(new Set(ids).size).toBe(ids.length);
    for (const [, target] of visible().matchAll(/href="#([^"]+)"/g)) expect(ids).toContain(target);
  });
});

describe('charts', () => {
  test('seven, each with a title and a description for a screen reader', () => {
    const charts = chartsOf(report);
    expect(charts.map(({ name }) => name)).toEqual([
      'memory',
      'step-times',
      'loss',
      'loss-difference',
      'perplexity',
      'pareto',
      'scale',
    ]);
    for (const { name, svg } of charts) {
      expect(svg).toMatch(new RegExp(`^<svg role="img" aria-labelledby="${name}-title ${name}-desc"`));
      expect(svg).toMatch(/<title id="[^"]+">[^<]+<\/title><desc id="[^"]+">[^<]+<\/desc>/);
      expect(svg).not.toMatch(/NaN|undefined|Infinity/);
    }
  });

  test('colours are variables that light, dark and print define', () => {
    for (const { svg } of chartsOf(report)) {
      const painted = [...svg.matchAll(/(?:fill|stroke)="([^"]+)"/g)].map(([, paint]) => paint!);
      expect(painted.length).toBeGreaterThan(0);
      for (const paint of painted) expect(paint).toMatch(/^(var\(--[\w-]+\)|none|transparent)$/);
      for (const [, name] of svg.matchAll(/var\((--[\w-]+)\)/g)) {
        expect(page.split(`${name}:`).length - 1, name).toBe(3);
      }
    }
  });

  test('the same input gives the same bytes, also a second time in one process', async () => {
    const again = await buildReport({ runs: structuredClone(runs), summary: structuredClone(summary) });
    expect(renderHtml(again, { runs, summary })).toBe(page);
  });

  test('bars are as long as their bytes', () => {
    const { svg } = chartsOf(report)[0]!;
    const bars = [
      ...svg.matchAll(/<path d="M([\d.]+),[\d.]+h([\d.]+)v[^"]*" fill="var\(--(\w+)\)" stroke="var\(--surface\)"/g),
    ];
    const lengths = bars.filter(([, , , name]) => name === 'activations').map(([, , length]) => Number(length));
    const base = bars.filter(([, , , name]) => name === 'base_weights').map(([, , length]) => Number(length));
    expect([lengths.length, base.length]).toEqual([2, 2]);
    const pixelsPerByte = lengths[0]! / CATEGORIES.lora.activations;
    // SVG coordinates are written to a thousandth of a pixel
    expect(Math.abs(base[0]! - CATEGORIES.lora.base_weights * pixelsPerByte)).toBeLessThan(0.01);
    expect(Math.abs(base[1]! - CATEGORIES.qlora.base_weights * pixelsPerByte)).toBeLessThan(0.01);
  });
});

describe('files', () => {
  let dir: string;
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'nibble-report-'));
  });
  afterAll(() => rm(dir, { recursive: true }));

  test('page, Markdown, CSV, and a chart file for every image of the Markdown', async () => {
    const paths = await writeReport({ dir, runs, summary });
    expect(paths).toEqual({
      reportHtml: join(dir, 'report.html'),
      reportMd: join(dir, 'report.md'),
      runsCsv: join(dir, 'runs.csv'),
    });
    expect(await readFile(paths.reportHtml, 'utf8')).toBe(page);
    const images = [...(await readFile(paths.reportMd, 'utf8')).matchAll(/\]\(charts\/([^)]+)\)/g)].map(
      ([, file]) => file!,
    );
    expect(images).toHaveLength(7);
    expect((await readdir(join(dir, 'charts'))).sort()).toEqual(images.sort());
    const svg = await readFile(join(dir, 'charts', 'memory.svg'), 'utf8');
    expect(svg).toMatch(/^<svg xmlns="http:\/\/www\.w3\.org\/2000\/svg" .*<style>:root\{color-scheme/);
    expect(await readFile(paths.runsCsv, 'utf8')).toMatch(/^experiment_name,peft_type,total_time,train_time,/);
  });
});
