/** Publishing and repeating, with a script of the test in the place of the runs' processes: what is copied, and what is noticed. */
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { indexText } from '../../src/bench/index-page.ts';
import { publicCommand, withoutPrivate } from '../../src/bench/private-paths.ts';
import { isRepeated, readRepeatable, repeatRuns } from '../../src/bench/repeat.ts';
import { runSuite } from '../../src/bench/run-suite.ts';
import { benchCommand } from '../../src/cli/bench/command.ts';
import { indexResults, publish } from '../../src/cli/bench/publish.ts';
import { repeatBench, repeatText } from '../../src/cli/bench/repeat.ts';
import { loadSuite } from '../../src/config/index.ts';
import { sha256OfText } from '../../src/node/environment.ts';
import type { RunRecord } from '../../src/results/run-schema.ts';
import { sealed } from '../../src/results/seal.ts';
import { nibble } from '../cli/fakes.ts';
import { makeRun } from '../report/fixture.ts';

const TINY = new URL('../../bench/models/tiny', import.meta.url).pathname;
const DIST = new URL('../../dist/', import.meta.url).pathname;

const bench = (...args: string[]) =>
  nibble(['bench', ...args], [(c) => benchCommand(c, { publish, index: indexResults, repeat: repeatBench })]);

let root: string;
let worker: string;
let local: string;
beforeAll(async () => {
  root = mkdtempSync(path.join(os.tmpdir(), 'nibble-publish-'));
  mkdirSync(path.join(root, 'private'));
  writeFileSync(path.join(root, 'private', 'rows.jsonl'), '{"text": "Call me Ishmael."}\n');
  for (const arm of ['lora', 'qlora'] as const)
    for (const seed of [0, 1]) writeFileSync(path.join(root, `${arm}${seed}.json`), JSON.stringify(makeRun(arm, seed)));
  worker = path.join(root, 'worker.mjs');
  // the record is the fixture's with this run's place, settings and names
  writeFileSync(
    worker,
    `import { readFileSync, writeFileSync } from 'node:fs';
    import path from 'node:path';
    import { sealed } from '${DIST}results/seal.js';
    import { sha256OfText } from '${DIST}node/environment.js';
    process.on('message', ({ arm, planId, suite, config, names, command, recordFile }) => {
      process.send({ kind: 'device', name: 'a device' });
      const seed = config.values.seed;
      if (process.env.NIBBLE_TEST_FAILS === arm + seed)
        return process.send({ kind: 'failed', name: 'Error', message: 'at ' + path.dirname(recordFile), stack: null });
      const base = JSON.parse(readFileSync(path.join(${JSON.stringify(root)}, arm + seed + '.json'), 'utf8'));
      const train_config = { ...config.values, ...names };
      base.run_info = { ...base.run_info, suite, command, plan_id: planId, run_id: planId, train_config };
      writeFileSync(recordFile, JSON.stringify(sealed(base, sha256OfText)));
      process.send({ kind: 'done' });
    });`,
  );
  local = await run('mine', path.join(root, 'private', 'rows.jsonl'), TINY);
});
afterAll(() => rmSync(root, { recursive: true }));

const RUNS = ['lora-seed0.run.json', 'lora-seed1.run.json', 'qlora-seed0.run.json', 'qlora-seed1.run.json'];

async function run(name: string, rows: string, model: string): Promise<string> {
  const directory = path.join(root, 'local', name);
  const text = `# mine\nsuite: ${name}\nseeds: [0, 1]\nbase: {model: ${model}, datasets: [{path: ${rows}}], lora_rank: 4} # the base
arms: {lora: {}, qlora: {method: qlora}}\n`;
  const suite = loadSuite({ file: { path: 'mine.yaml', text }, flags: { lora_r: '2' } });
  const command = ['nibble', 'bench', 'run', 'mine.yaml', '--lora_r', '2', '--output', directory, `--model=${model}`];
  await runSuite(suite, { directory, ...options(command) });
  return directory;
}

const options = (command: string[]) => ({
  device: 'auto' as const,
  command,
  signal: new AbortController().signal,
  worker,
  onEvent: () => undefined,
});

test('a model is not copied: without a word of where it is to be had nothing is published', async () => {
  const { code, stderr } = await bench('publish', local, '--as', 'none');
  expect([code, stderr]).toEqual([
    2,
    'nibble: --source: is missing for models/tiny, a model, which is not copied: --source models/tiny=URL says where a reader has it from\n',
  ]);
  const unknown = await bench('publish', local, '--source', 'tiny=x', '--source', 'models/tiny=x');
  expect([unknown.code, unknown.stderr]).toEqual([
    2,
    'nibble: --source: tiny is no input; wanted one of models/tiny, data/rows.jsonl\n',
  ]);
  expect(readdirSync(root)).not.toContain('none');
  expect(readdirSync(path.join(root, 'local'))).toEqual(['mine']);
});

const publishedOnce = () => bench('publish', local, '--as', 'public', '--source', 'models/tiny=npm | nibble-tune');

test('what is published holds suite, rows, records and how to repeat it, and names no folder of this machine', async () => {
  const { code, stdout, stderr } = await publishedOnce();
  const at = path.join(root, 'public');
  expect([code, stdout, stderr]).toEqual([0, `${at}\n`, '']);
  expect(readdirSync(at).sort()).toEqual(
    ['README.md', 'charts', 'data', ...RUNS, 'report.html', 'report.md', 'runs.csv']
      .concat(['suite.json', 'suite.yaml', 'summary.json'])
      .sort(),
  );
  const texts = readdirSync(at, { recursive: true, encoding: 'utf8' })
    .map((name) => path.join(at, name))
    .filter((file) => /\.(json|yaml|md|html|csv)$/.test(file))
    .map((file) => readFileSync(file, 'utf8'));
  expect(texts.length).toBeGreaterThan(8);
  for (const folder of [root, TINY, os.homedir(), process.cwd()])
    expect(texts.filter((text) => text.includes(`${folder}/`) || text.includes(`${folder}"`))).toEqual([]);
  // the flag is in the file, the key it replaced is not, and comments stay
  const suite = readFileSync(path.join(at, 'suite.yaml'), 'utf8');
  expect(suite).toContain('# mine\n');
  expect(suite).toContain('path: data/rows.jsonl');
  expect(suite).toContain('model: models/tiny');
  expect(suite.match(/lora_r\w*: \d/g)).toEqual(['lora_r: 2']);
  const readme = readFileSync(path.join(at, 'README.md'), 'utf8');
  expect(readme).toContain('npx nibble bench repeat ../public --input models/tiny=PATH');
  expect(readme).toContain('npm \\| nibble-tune');
  const record = JSON.parse(readFileSync(path.join(at, 'lora-seed0.run.json'), 'utf8')) as RunRecord;
  expect(record.run_info.train_config).toMatchObject({
    output_dir: 'runs/lora-seed0',
    model_name_or_path: 'models/tiny',
  });
  expect(record.run_info.command).toEqual([
    'nibble',
    'bench',
    'run',
    'mine.yaml',
    '--lora_r',
    '2',
    '--model=models/tiny',
  ]);
  // what was published stays where it was made
  expect(readdirSync(local)).toContain('local.json');
  const index = readFileSync(path.join(root, 'README.md'), 'utf8');
  expect(index).toContain('[public](public/report.md)');
  expect(index).toBe(await indexText(root));
});

test('a second one of that name is refused, and the first stays', async () => {
  const before = readFileSync(path.join(root, 'public', 'suite.json'), 'utf8');
  const { code, stderr } = await publishedOnce();
  expect([code, stderr]).toEqual([2, expect.stringContaining('is there already, nothing was published')]);
  expect(readFileSync(path.join(root, 'public', 'suite.json'), 'utf8')).toBe(before);
});

async function repeat(name: string, only: readonly string[] = []) {
  const found = await readRepeatable(path.join(root, 'public'), new Map([['models/tiny', TINY]]), only);
  return repeatRuns(found, { directory: path.join(root, name), ...options(['nibble']) });
}

test('repeated from the copy, every run is asked for as before', async () => {
  const runs = await repeat('again');
  expect(runs.map(({ run: name, problem }) => [name, problem])).toEqual(
    ['lora-seed0', 'qlora-seed0', 'qlora-seed1', 'lora-seed1'].map((name) => [name, null]),
  );
  expect(runs.flatMap(({ agreements }) => agreements).filter(({ agrees }) => !agrees)).toEqual([]);
  expect(isRepeated(runs)).toBe(true);
  expect(repeatText(runs, 'x')).toMatch(/^settings {4}equal \(4 of 4 runs\)\n/);
  expect(JSON.parse(readFileSync(path.join(root, 'again', 'repeat.json'), 'utf8'))).toEqual(runs);
  // its own record names what the first one names
  const [first, second] = ['public', 'again'].map(
    (name) => JSON.parse(readFileSync(path.join(root, name, 'lora-seed0.run.json'), 'utf8')) as RunRecord,
  );
  expect(second?.run_info.train_config.datasets).toEqual(first?.run_info.train_config.datasets);
});

test('one run alone, another loss, and a run that fails', async () => {
  const file = path.join(root, 'lora0.json');
  const text = readFileSync(file, 'utf8');
  const changed = JSON.parse(text) as RunRecord;
  changed.train_info.history[3]!.loss! *= 1 + 1e-7;
  writeFileSync(file, JSON.stringify(changed));
  const [one, ...others] = await repeat('other', ['lora-seed0']);
  writeFileSync(file, text);
  expect(others).toEqual([]);
  expect(one!.agreements.filter(({ agrees }) => !agrees)).toEqual([
    { what: 'losses', agrees: false, required: true, distance: expect.closeTo(1e-7, 12) },
  ]);
  expect(isRepeated([one!])).toBe(false);
  expect(repeatText([one!], 'x')).toContain('losses      DIFFERS (0 of 1 run, at most 1.0e-7 relative apart)');
  process.env.NIBBLE_TEST_FAILS = 'lora0';
  const [failed] = await repeat('failing', ['lora-seed0']);
  delete process.env.NIBBLE_TEST_FAILS;
  expect(failed).toMatchObject({ agreements: [], problem: 'it ended as error: at .' });
});

test('what does not fit is said before anything runs', async () => {
  const copy = path.join(root, 'edited');
  cpSync(path.join(root, 'public'), copy, { recursive: true });
  const model = ['--input', `models/tiny=${TINY}`];
  const says = async (...args: string[]) => {
    const { code, stdout, stderr } = await bench('repeat', copy, '--output', path.join(root, 'no'), ...args);
    expect([code, stdout, existsSync(path.join(root, 'no'))]).toEqual([2, '', false]);
    return stderr;
  };
  expect(await says()).toMatch(/--input: models\/tiny \(model\) is not in .*; get it from npm \| nibble-tune, and say/);
  expect(await says(...model, '--input', 'rows=x')).toMatch(/--input: rows is none that has to be given; wanted/);
  expect(await says(...model, '--input', 'rows')).toMatch(/--input: got "rows", wanted a name and what it stands for/);
  expect(await says(...model, '--only', 'lora-seed9')).toMatch(
    /has no run lora-seed9 to repeat; wanted one of lora-seed0/,
  );
  expect(await says('--input', `models/tiny=${path.join(TINY, '..')}`)).toMatch(
    /config\.json: is not there; models\/tiny/,
  );
  writeFileSync(path.join(copy, 'data', 'rows.jsonl'), '{"text": "Call me Ahab."}\n');
  expect(await says(...model)).toMatch(/data\/rows\.jsonl: has the hash \w{64}, and had \w{64}: it changed since/);
  cpSync(path.join(root, 'public', 'data'), path.join(copy, 'data'), { recursive: true });
  const record = path.join(copy, 'lora-seed0.run.json');
  writeFileSync(record, readFileSync(record, 'utf8').replace('"seed":0', '"seed":7'));
  expect(await says(...model)).toMatch(/lora-seed0\.run\.json: was edited after nibble wrote it/);
  rmSync(path.join(copy, 'suite.json'));
  expect(await says(...model)).toMatch(/edited holds no suite\.json; give the folder of a suite/);
});

test('rows that changed since the runs, and records that name a folder of this machine, are not published', async () => {
  const rows = path.join(root, 'private', 'rows.jsonl');
  const text = readFileSync(rows, 'utf8');
  const again = () => bench('publish', local, '--as', 'second', '--source', 'models/tiny=x');
  writeFileSync(rows, `${text}{"text": "more"}\n`);
  expect((await again()).stderr).toMatch(/rows\.jsonl: has the hash .*: it changed since the suite read it; put back/);
  writeFileSync(rows, text);
  const file = path.join(local, 'lora-seed0.run.json');
  const record = readFileSync(file, 'utf8');
  const { record_sha256: _, ...open } = JSON.parse(record);
  open.run_info.train_config.logging_dir = path.join(root, 'private', 'logs');
  open.run_info.train_config.chat_template_path = path.join(os.homedir(), 'chat.jinja');
  writeFileSync(file, JSON.stringify(sealed(open, sha256OfText)));
  expect((await again()).stderr).toMatch(
    /lora-seed0\.run\.json: names .*, a folder of this machine.*nothing was published/,
  );
  writeFileSync(file, record);
  expect(readdirSync(root).filter((name) => /second|tmp/.test(name))).toEqual([]);
});

test('words of a command and of an error that only this machine knows go', () => {
  const rows = {
    name: 'data/a.jsonl',
    kind: 'rows',
    from: 'reader',
    given: '/home/me/a.jsonl',
    local: '/home/me/a.jsonl',
  } as const;
  const command = [
    'nibble',
    'run',
    '/home/me/s.yaml',
    '--output=/x',
    '--resume',
    '/y',
    '--datasets',
    '/home/me/a.jsonl',
  ];
  expect(publicCommand(command, [rows])).toEqual(['nibble', 'run', 's.yaml', '--datasets', 'data/a.jsonl']);
  const roots = [
    { root: '/home/me/nibble', name: 'nibble' },
    { root: '/home/me', name: '~' },
  ];
  expect(withoutPrivate('at file:///home/me/nibble/dist/a.js, /home/me/b', roots)).toBe('at nibble/dist/a.js, ~/b');
});

test('results/README.md is what nibble bench index writes', async () => {
  const results = new URL('../../results/', import.meta.url).pathname;
  expect(readFileSync(path.join(results, 'README.md'), 'utf8')).toBe(await indexText(results));
});
