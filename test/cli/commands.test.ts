/** The command line as people meet it: arguments in, calls out, help, errors and exit codes. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type BenchHandlers, benchCommand } from '../../src/cli/bench/command.ts';
import { compareCommand } from '../../src/cli/compare/command.ts';
import { configCommand } from '../../src/cli/config/command.ts';
import { doctorCommand } from '../../src/cli/doctor/command.ts';
import { estimateCommand } from '../../src/cli/estimate/command.ts';
import type { CommandMaker } from '../../src/cli/program.ts';
import { abortOnSignals } from '../../src/cli/shared/signals.ts';
import { trainCommand } from '../../src/cli/train/command.ts';
import { configJsonSchema, type loadTrainConfig, suiteJsonSchema } from '../../src/config/index.ts';
import { ConfigError, DeviceError, KernelCallError } from '../../src/errors.ts';
import { nibble } from './fakes.ts';

const CONFIG = 'base_model: ./llama\ndatasets: [{path: rows.jsonl}]\nlora_r: 4\n';
const SUITE = `suite: mine\nbase: {model_name_or_path: m, datasets: [{path: a}]}\narms: {lora: {}, qlora: {method: qlora}}\n`;

let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'nibble-cli-'));
  writeFileSync(join(dir, 'run.yaml'), CONFIG);
  writeFileSync(join(dir, 'suite.yaml'), SUITE);
  writeFileSync(join(dir, 'config.json'), '{"model_type": "llama"}');
});
afterAll(() => rmSync(dir, { recursive: true }));
const at = (name: string) => join(dir, name);

/** Makes every command with a handler that records its arguments. */
function recorded(): { makers: CommandMaker[]; calls: unknown[] } {
  const calls: unknown[] = [];
  const record = (args: unknown) => Promise.resolve(void calls.push(args));
  const published = { publish: record, index: record, repeat: record, export: record };
  const handlers: BenchHandlers = { run: record, list: record, report: record, ...published };
  const makers: CommandMaker[] = [
    (context) => trainCommand(context, record),
    (context) => estimateCommand(context, record, record),
    (context) => doctorCommand(context, record),
    (context) => benchCommand(context, handlers),
    (context) => compareCommand(context, record),
    configCommand,
  ];
  return { makers, calls };
}

const failing = (error: unknown): CommandMaker[] => [(context) => doctorCommand(context, () => Promise.reject(error))];

describe('help', () => {
  const paths = [
    '',
    'train',
    'estimate',
    'doctor',
    'bench',
    'bench run',
    'bench list',
    'bench report',
    'bench publish',
    'bench index',
    'bench repeat',
    'bench export',
    'compare',
  ];
  const all = [...paths, 'config', 'config schema', 'config print'];

  test.each(all)('nibble %s --help goes to stdout, shows examples and ends with 0', async (path) => {
    const words = path.split(' ').filter(Boolean);
    const { code, stdout, stderr } = await nibble([...words, '--help'], recorded().makers);
    expect([code, stderr]).toEqual([0, '']);
    const examples = stdout.split('\nExamples:\n')[1]?.trimEnd().split('\n') ?? [];
    expect(examples.length).toBeGreaterThan(0);
    for (const example of examples) expect(example).toMatch(/^ {2}(NIBBLE_\w+=\S+ )?nibble .+ # \w/);
  });

  test('train --help lists every setting under its section, with type and default', async () => {
    const { stdout } = await nibble(['train', '--help'], recorded().makers, {
      stderr: { write: () => 0, columns: 300 },
    });
    expect(stdout).toMatch(
      /^Adapter \(lora, qlora\):\n {2}--lora_r <value> +rank of the adapters \(an integer of at least 1; default 8\)$/m,
    );
    expect(stdout).toMatch(/--bnb_4bit_quant_type <value> .*default "nf4", Hugging Face: fp4\)$/m);
    expect(stdout).not.toContain('--lora_rank');
  });

  test('--version is the one of package.json', async () => {
    const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
      version: string;
    };
    expect(await nibble(['--version'], [])).toEqual({ code: 0, stdout: `${version}\n`, stderr: '' });
  });

  test('only what has a handler is offered', async () => {
    const { stdout } = await nibble(
      ['bench', '--help'],
      [(context) => benchCommand(context, { list: async () => {} })],
    );
    expect(stdout).toMatch(/^ {2}list /m);
    expect(stdout).not.toMatch(/^ {2}(run|report|publish) /m);
  });
});

describe('usage errors end with 2 and say what to do', () => {
  test.each([
    [[], 'Usage: nibble'],
    [['trian'], "unknown command 'trian'\n(Did you mean train?)"],
    [['doctor', '--jsn'], "unknown option '--jsn'\n(Did you mean --json?)"],
    [['train', '--lora_rr', '3'], "unknown option '--lora_rr'\n(Did you mean --lora_r?)"],
    [['estimate'], "missing required argument 'target'"],
    [['doctor', 'extra'], 'too many arguments'],
    [['train', '--seed'], "option '--seed <value>' argument missing"],
  ])('%j', async (argv, text) => {
    const { makers, calls } = recorded();
    const { code, stdout, stderr } = await nibble(argv, makers);
    expect([code, stdout, calls]).toEqual([2, '', []]);
    expect(stderr).toContain(text);
  });
});

describe('failures', () => {
  test('a configuration shows all its problems, without a stack', async () => {
    const argv = ['train', at('run.yaml'), '--lora_r', '0', '--use_qalora', 'true', '--seed', 'x'];
    const { code, stderr } = await nibble(argv, recorded().makers);
    expect(code).toBe(2);
    expect(stderr).toBe(
      'nibble: 3 problems in the configuration:\n' +
        '  lora_r: got 0, wanted an integer of at least 1 (--lora_r)\n' +
        '  use_qalora: is not supported yet: got true; remove it, or set false (--use_qalora)\n' +
        '  seed: got "x", wanted an integer of at least 0 and at most 4294967295 (--seed)\n',
    );
  });

  test.each([
    [
      'a missing file',
      ['train', '/nowhere/run.yaml'],
      /^nibble: \/nowhere\/run\.yaml: cannot be read: there is no such file; check/,
    ],
    ['a directory', ['train', '/'], /^nibble: \/: is a directory, needs a file/],
    ['an unknown suite', ['bench', 'run', 'nosuch'], /^nibble: .*bench\/suites\/nosuch\.yaml: cannot be read/],
  ])('%s is a message with exit code 2', async (_, argv, expected) => {
    const { code, stderr } = await nibble(argv, recorded().makers);
    expect(code).toBe(2);
    expect(stderr).toMatch(expected);
    expect(stderr).not.toMatch(/\n {4}at /);
  });

  test('one problem needs no list; a DeviceError has no stack either', async () => {
    const one = await nibble(['doctor'], failing(new ConfigError([{ path: 'seed', message: 'is odd' }])));
    expect(one).toEqual({ code: 2, stdout: '', stderr: 'nibble: seed: is odd\n' });
    expect(await nibble(['doctor'], failing(new DeviceError('no adapter')))).toMatchObject({
      code: 2,
      stderr: 'nibble: no adapter\n',
    });
  });

  test('a bug shows its stack and that of its cause, with exit code 1', async () => {
    const bug = new KernelCallError('matmul', 'w is short');
    bug.cause = new Error('the cause');
    const { code, stderr } = await nibble(['doctor'], failing(bug));
    expect(code).toBe(1);
    expect(stderr).toMatch(/^nibble: this is a bug in nibble.*\nKernelCallError: matmul: w is short\n {4}at .*/);
    expect(stderr).toMatch(/\ncaused by Error: the cause\n {4}at /);
    expect((await nibble(['doctor'], failing('thrown text'))).code).toBe(1);
  });

  test.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('%s aborts the signal a handler was given, and the exit code is %i', async (name, exitCode) => {
    const listeners = new Map<string, () => void>();
    const source = {
      on: (event: string, listener: () => void) => listeners.set(event, listener),
      off: (event: string) => listeners.delete(event),
    };
    const { signal, dispose } = abortOnSignals(source);
    const work: CommandMaker = (context) =>
      doctorCommand(context, async (_, { signal }) => {
        listeners.get(name)!();
        signal.throwIfAborted();
      });
    expect(await nibble(['doctor'], [work], { signal })).toEqual({
      code: exitCode,
      stdout: '',
      stderr: `nibble: stopped by ${name}\n`,
    });
    dispose();
    expect(listeners.size).toBe(0);
  });

  test('a real failure after the signal is not hidden by it', async () => {
    const signal = AbortSignal.abort();
    expect((await nibble(['doctor'], failing(new Error('broken')), { signal })).code).toBe(1);
  });
});

describe('what commands hand on', () => {
  test('train: file, environment and flags, hyphens or underscores, and the notices on stderr', async () => {
    const { makers, calls } = recorded();
    const argv = [
      'train',
      '--learning-rate=3e-4',
      '--use_rslora',
      '--max-steps',
      '-1',
      at('run.yaml'),
      '--lora-rank',
      '9',
    ];
    const { code, stdout, stderr } = await nibble(argv, makers, { env: { NIBBLE_SEED: '7' } });
    expect([code, stdout]).toEqual([0, '']);
    expect(stderr).toContain(`note: base_model: read as model_name_or_path (${at('run.yaml')}:1)\n`);
    const [{ config }] = calls as [{ config: ReturnType<typeof loadTrainConfig> }];
    expect(config.values).toMatchObject({
      learning_rate: 3e-4,
      lora_r: 9,
      seed: 7,
      max_steps: -1,
      model_name_or_path: './llama',
    });
    expect(config.origins.lora_r.where).toBe('--lora_rank');
  });

  test('a bare boolean flag is true', async () => {
    const { makers, calls } = recorded();
    await nibble(['train', at('run.yaml'), '--load-in-4bit'], makers);
    expect(calls).toMatchObject([{ config: { values: { method: 'qlora' } } }]);
  });

  test('train --print-config and config print say the same and train nothing', async () => {
    const { makers, calls } = recorded();
    const printed = await nibble(['train', at('run.yaml'), '--print-config', '--lora_alpha', '2'], makers);
    expect(printed.stdout).toMatch(/^lora_alpha: 2 +# --lora_alpha$/m);
    expect((await nibble(['config', 'print', at('run.yaml'), '--lora_alpha', '2'], makers)).stdout).toBe(
      printed.stdout,
    );
    expect(calls).toEqual([]);
  });

  test('estimate takes a model directory, its config.json, or a configuration', async () => {
    const { makers, calls } = recorded();
    await nibble(['estimate', dir, '--max_length', '64'], makers);
    await nibble(['estimate', at('config.json'), '--json', '--profile', 'tiny'], makers);
    await nibble(['estimate', at('run.yaml'), '--model_name_or_path', dir], makers);
    const model = { path: at('config.json'), text: '{"model_type": "llama"}' };
    expect(calls).toMatchObject([
      {
        modelConfig: model,
        json: false,
        profile: undefined,
        config: { values: { max_length: 64, model_name_or_path: dir } },
      },
      { modelConfig: model, json: true, profile: 'tiny', config: { values: { model_name_or_path: dir } } },
      { modelConfig: model, config: { values: { lora_r: 4 } } },
    ]);
  });

  test('bench run resolves the suite with its flags; the other subcommands pass their folders', async () => {
    const { makers, calls } = recorded();
    await nibble(['bench', 'run', at('suite.yaml'), '--max_steps', '8'], makers);
    await nibble(['bench', 'list'], makers);
    await nibble(['bench', 'report', 'r/1'], makers);
    await nibble(['bench', 'report', 'r/1', 'r/2', '--output', 'both'], makers);
    await nibble(['bench', 'publish', 'r/1', '--as', 'x'], makers);
    await nibble(['doctor', '--json'], makers);
    expect(calls).toMatchObject([
      {
        suite: {
          suite: 'mine',
          cases: [{ arms: [{ name: 'lora', config: { values: { max_steps: 8 } } }, { name: 'qlora' }] }],
        },
        output: 'results/local',
        report: true,
      },
      { json: false },
      { folders: ['r/1'], output: undefined },
      { folders: ['r/1', 'r/2'], output: 'both' },
      { folder: 'r/1', name: 'x' },
      { json: true },
    ]);
  });

  test('estimate of a model that is not there says how to get it', async () => {
    const { makers, calls } = recorded();
    const hub = await nibble(['estimate', 'org/model'], makers);
    expect([hub.code, calls]).toEqual([2, []]);
    expect(hub.stderr).toContain('HF_HUB_OFFLINE allows no network, and the cache (');
    expect(hub.stderr).toContain('has no org/model at revision main');
    const gone = await nibble(['estimate', at('run.yaml')], makers);
    expect([gone.code, calls]).toEqual([2, []]);
    expect(gone.stderr).toContain('nibble: model_name_or_path: there is no folder ./llama in ');
  });

  test('config schema prints the schemas of the library', async () => {
    const { makers } = recorded();
    expect(JSON.parse((await nibble(['config', 'schema'], makers)).stdout)).toEqual(configJsonSchema());
    expect(JSON.parse((await nibble(['config', 'schema', '--suite'], makers)).stdout)).toEqual(suiteJsonSchema());
  });
});
