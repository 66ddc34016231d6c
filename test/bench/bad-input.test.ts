/** Bad suites and bad results, each as a user meets it: one message that says what, and what to do; exit code 2; nothing overwritten. */
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { benchCommand } from '../../src/cli/bench/command.ts';
import { exportBench } from '../../src/cli/bench/export.ts';
import { indexResults } from '../../src/cli/bench/publish.ts';
import { reportAgain, runBench } from '../../src/cli/bench/run.ts';
import { sha256OfText } from '../../src/node/environment.ts';
import type { RunRecord } from '../../src/results/run-schema.ts';
import { sealed } from '../../src/results/seal.ts';
import { nibble, type Outcome } from '../cli/fakes.ts';
import { makeRuns } from '../report/fixture.ts';

const TINY = new URL('../../bench/models/tiny', import.meta.url).pathname;
let root: string;
beforeAll(() => {
  root = mkdtempSync(path.join(os.tmpdir(), 'nibble-bad-'));
  writeFileSync(path.join(root, 'rows.jsonl'), '{"text": "Call me Ishmael."}\n');
});
afterAll(() => rmSync(root, { recursive: true }));

const bench = (...args: string[]) =>
  nibble(
    ['bench', ...args],
    [(c) => benchCommand(c, { run: runBench, report: reportAgain, export: exportBench, index: indexResults })],
  );

/** The folder of a suite, written anew, with one record changed as `edit` says. */
function folder(name: string, edit: (run: RunRecord) => RunRecord | object = (run) => run): string {
  const at = path.join(root, name);
  mkdirSync(at);
  for (const [i, run] of makeRuns().entries()) {
    const record = sealed(run, sha256OfText);
    const { arm, seed } = run.run_info;
    writeFileSync(path.join(at, `${arm}-seed${seed}.run.json`), JSON.stringify(i === 0 ? edit(record) : record));
  }
  return at;
}

const contents = (at: string) =>
  Object.fromEntries(readdirSync(at).map((name) => [name, readFileSync(path.join(at, name), 'utf8')]));

async function expectRefused(at: string, message: RegExp, run: () => Promise<Outcome>): Promise<void> {
  const before = contents(at);
  const { code, stdout, stderr } = await run();
  expect(stderr).toMatch(message);
  expect([code, stdout, stderr.includes('    at ')]).toEqual([2, '', false]);
  expect(contents(at)).toEqual(before);
}

describe('a suite', () => {
  const suite = (name: string, text: string): string => {
    const file = path.join(root, name);
    writeFileSync(file, text);
    return file;
  };
  const refused = async (file: string, message: RegExp) => {
    const output = path.join(root, 'none');
    const { code, stdout, stderr } = await bench('run', file, '--output', output);
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toMatch(message);
    expect(readdirSync(root)).not.toContain('none');
  };

  test('with an arm that differs in more than the method, in a closed division', () =>
    refused(
      suite(
        'closed.yaml',
        `suite: closed\nbase: {model_name_or_path: ${TINY}, datasets: [{path: ${root}/rows.jsonl}]}
arms: {lora: {}, qlora: {method: qlora, learning_rate: 0.1}}\n`,
      ),
      /arms\.qlora\.learning_rate: 0\.1 differs from .* in arm lora; .*move the setting to base, or write division: open/,
    ));

  test('with a model and a file that are not there says so for both, with what a name on the hub looks like', () =>
    refused(
      suite('absent.yaml', 'suite: absent\nbase: {model: llama, datasets: [{path: rows.jsonl}]}\narms: {lora: {}}\n'),
      /model_name_or_path: there is no folder llama .*hub has the form ORG\/NAME[\s\S]*datasets\[0\]\.path: there is no file rows\.jsonl/,
    ));

  test('with a built-in that there is not names those there are', () =>
    refused(
      suite(
        'builtin.yaml',
        'suite: b\nbase: {model: "builtin:big", datasets: [{path: "builtin:sotu-train"}]}\narms: {l: {}}\n',
      ),
      /model_name_or_path: got "builtin:big"; the built-in ones are builtin:tiny, /,
    ));

  test('with seeds twice, and with another word than true', async () => {
    const head = `base: {model: ${TINY}, datasets: [{path: ${root}/rows.jsonl}]}\narms: {lora: {}}\n`;
    await refused(suite('seeds.yaml', `suite: s\nseeds: [1, 1]\n${head}`), /seeds: got \[1,1\], wanted each seed once/);
    await refused(suite('profile.yaml', `suite: s\nprofile: often\n${head}`), /profile: got "often", wanted/);
  });
});

describe('a record', () => {
  test('of another schema', async () => {
    const at = folder('version', (run) => ({ ...run, schema_version: 3 }));
    await expectRefused(at, /is a run of schema 3, and this nibble reads 1 and 2\. Install the version/, () =>
      bench('report', at),
    );
  });

  test('of schema 1 beside one of schema 2: read, and the top says so', async () => {
    const at = folder('mixed', (run) => {
      const { record_sha256: _, ...open } = run as RunRecord;
      return { ...open, schema_version: 1 };
    });
    expect((await bench('report', at)).code).toBe(0);
    expect(readFileSync(path.join(at, 'report.md'), 'utf8')).toContain(
      '1 of 6 records are of schema 1, which has no hash that would show an edit',
    );
  });

  test('with a metric that is not finite', async () => {
    const at = folder('infinite');
    const file = path.join(at, 'lora-seed0.run.json');
    writeFileSync(file, readFileSync(file, 'utf8').replace(/"perplexity":[\d.]+/, '"perplexity":1e999'));
    await expectRefused(at, /lora-seed0\.run\.json: is not a run of schema v2: .*perplexity is Infinity/, () =>
      bench('report', at),
    );
    writeFileSync(file, readFileSync(file, 'utf8').replace('1e999', 'NaN'));
    await expectRefused(at, /lora-seed0\.run\.json: /, () => bench('export', at, '--format', 'csv'));
  });

  test('that was edited, wherever results are read', async () => {
    const at = folder('edited', (run) => ({
      ...run,
      numerics: { ...(run as RunRecord).numerics, weight_sha256_after: '0'.repeat(64) },
    }));
    for (const args of [
      ['report', at],
      ['export', at, '--format', 'csv'],
      ['report', at, '--output', path.join(root, 'j')],
    ])
      await expectRefused(at, /was edited after nibble wrote it: .* or make the run again/, () => bench(...args));
    cpSync(at, path.join(root, 'published', 'x'), { recursive: true });
    writeFileSync(path.join(root, 'published', 'x', 'suite.json'), MANIFEST);
    expect((await bench('index', path.join(root, 'published'))).stderr).toMatch(/was edited after nibble wrote it/);
  });

  test('without its pair: the top says so', async () => {
    const at = folder('alone');
    rmSync(path.join(at, 'qlora-seed1.run.json'));
    expect((await bench('report', at)).code).toBe(0);
    expect(readFileSync(path.join(at, 'report.md'), 'utf8')).toContain('Seed 1 of lora has no run of qlora beside');
  });

  test('whose text a spreadsheet would run is defused in every table', async () => {
    const at = folder('evil', (run) => {
      const { record_sha256: _, ...open } = run as RunRecord;
      open.run_info.experiment_name = '=cmd|calc';
      open.meta_info.model_info.id = '@SUM(1)';
      return sealed(open, sha256OfText);
    });
    for (const format of ['csv', 'ibm']) {
      const { stdout } = await bench('export', at, '--format', format);
      expect(stdout).toContain("'=cmd|calc");
      expect(stdout).toContain("'@SUM(1)");
      expect(stdout).not.toMatch(/(^|,)"?[=@]/m);
    }
  });
});

const MANIFEST = JSON.stringify({
  schema_version: 2,
  suite: 'x',
  created_at: '2026-12-01T00:00:00.000Z',
  command: [],
  inputs: [],
  runs: [],
});

describe('an export', () => {
  test('of a format that there is not, over a file, and of many files to nowhere', async () => {
    const at = folder('export');
    const file = path.join(at, 'there.csv');
    writeFileSync(file, 'mine');
    await expectRefused(at, /--format .*argument 'xlsx' is invalid.*peft, ibm, github-action-benchmark, csv/, () =>
      bench('export', at, '--format', 'xlsx'),
    );
    await expectRefused(at, /--output: .*there\.csv is there already, nothing was written/, () =>
      bench('export', at, '--format', 'csv', '--output', file),
    );
    await expectRefused(at, /--output: is missing; peft makes a file for each run/, () =>
      bench('export', at, '--format', 'peft'),
    );
  });
});

describe('prices', () => {
  test.each([
    ['source: x\ndate: 2026-12-01\ndollars_per_hour: {}', /it names no GPU\. Wanted source: /],
    ['source: x\ndate: yesterday\ndollars_per_hour: {T4: 1}', /date is "yesterday"/],
    ['source: x\ndate: 2026-12-01\ndollars_per_hour: {T4: -1}', /dollars_per_hour\.T4 is -1/],
    ['{', /is no YAML: /],
  ])('%j are refused', async (text, message) => {
    const at = folder(`prices-${sha256OfText(text).slice(0, 6)}`);
    const file = path.join(root, 'prices.yaml');
    writeFileSync(file, text);
    await expectRefused(at, message, () => bench('report', at, '--prices', file));
  });

  test('that are not there', async () => {
    const at = folder('no-prices');
    await expectRefused(at, /absent\.yaml: /, () => bench('report', at, '--prices', path.join(root, 'absent.yaml')));
  });
});
