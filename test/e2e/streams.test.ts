/** The command as a process (`npm run build` first): its streams closed or full, and signals while it trains. */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, test } from 'vitest';
import { directory, GOLDEN, trainerState } from './nibble.ts';

const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const MODEL = path.join(GOLDEN, 'formats', 'llama-untied-f32');
const ROW = `${JSON.stringify({ input_ids: [1, 2, 3, 4, 5, 6, 7, 8] })}\n`;
const env = { ...process.env, NIBBLE_DEVICE: process.env.NIBBLE_TEST_DEVICE ?? 'auto', NO_COLOR: '1' };
const STEPS = 60;

beforeAll(() => expect(existsSync(MAIN), 'dist/cli/main.js: run "npm run build"').toBe(true));

/** `nibble ARGV`, quoted for a shell. */
const nibble = (argv: readonly string[]) => [process.execPath, MAIN, ...argv].map((word) => `'${word}'`).join(' ');

/** In bash, with the exit code of the first command of a pipe that fails. */
function shell(script: string) {
  const { status, signal, stdout, stderr } = spawnSync('bash', ['-o', 'pipefail', '-c', script], {
    env,
    encoding: 'utf8',
  });
  return { code: signal ?? status, stdout, stderr };
}

function training(steps = STEPS): { argv: string[]; output: string } {
  const root = directory({ 'rows.jsonl': ROW });
  const output = path.join(root, 'run');
  const files = ['--model_name_or_path', MODEL, '--datasets', path.join(root, 'rows.jsonl'), '--output_dir', output];
  return { argv: ['train', ...files, '--max_steps', String(steps), '--lora_r', '2', '--logging_steps', '1'], output };
}

const stepsIn = (output: string) => [trainerState(output).global_step, existsSync(path.join(output, 'run.json'))];

describe.skipIf(process.platform === 'win32')('a run', () => {
  test('goes on where nobody reads what it says: 2>&1 | head', () => {
    const { argv, output } = training();
    const { code, stdout, stderr } = shell(`${nibble(argv)} 2>&1 | head -n 1`);
    expect([code, stdout.split('\n').length, stderr]).toEqual([0, 2, '']);
    expect(stepsIn(output)).toEqual([STEPS, true]);
  });

  test('goes on without its progress where standard error is closed', () => {
    const { argv, output } = training();
    const { code, stderr } = shell(`${nibble(argv)} 2> >(head -n 1 >/dev/null)`);
    expect([code, stderr]).toEqual([0, '']);
    expect(stepsIn(output)).toEqual([STEPS, true]);
  });

  test.skipIf(process.platform !== 'linux')('goes on without its progress where standard error is full', () => {
    const { argv, output } = training();
    const { code, stdout } = shell(`${nibble(argv)} 2>/dev/full`);
    expect([code, stdout]).toEqual([0, expect.stringContaining(`${STEPS} steps`)]);
    expect(stepsIn(output)).toEqual([STEPS, true]);
  });

  test.skipIf(process.platform !== 'linux')('whose result cannot be printed is kept, and ends with 2', () => {
    const { argv, output } = training();
    const { code, stderr } = shell(`${nibble(argv)} >/dev/full`);
    expect([code, stderr.match(/nibble: .*/g)]).toEqual([
      2,
      ['nibble: standard output: cannot be written (the disk is full, ENOSPC). Send it elsewhere.'],
    ]);
    expect(stepsIn(output)).toEqual([STEPS, true]);
  });
});

describe.skipIf(process.platform === 'win32')('standard output', () => {
  const schema = nibble(['config', 'schema']);

  test.each([
    ['config schema', ['config', 'schema']],
    ['help', ['train', '--help']],
  ])('that is closed early is no failure: %s', (_, argv) => {
    const { code, stdout, stderr } = shell(`${nibble(argv)} | head -n 1`);
    expect([code, stdout.split('\n').length, stderr]).toEqual([0, 2, '']);
  });

  test.skipIf(process.platform !== 'linux').each([
    ['config schema', ['config', 'schema']],
    ['help', ['train', '--help']],
    ['the version', ['--version']],
  ])('that is full is exit code 2 and one message: %s', (_, argv) => {
    const full = 'nibble: standard output: cannot be written (the disk is full, ENOSPC). Send it elsewhere.\n';
    expect(shell(`${nibble(argv)} >/dev/full`)).toEqual({ code: 2, stdout: '', stderr: full });
  });

  test('that becomes full in the middle is exit code 2 as well', () => {
    const file = path.join(directory(), 'schema.json');
    const { code, stderr } = shell(`trap '' XFSZ; ulimit -f 8; ${schema} >'${file}'`);
    expect([code, stderr]).toEqual([2, expect.stringMatching(/^nibble: standard output: cannot be written \(EFBIG\)/)]);
    expect(readFileSync(file).byteLength).toBe(8192);
  });

  test('that is a file gets all of it', () => {
    const file = path.join(directory({ 'schema.json': '' }), 'schema.json');
    writeFileSync(file, 'first\n');
    expect(shell(`${schema} >>'${file}'`)).toEqual({ code: 0, stdout: '', stderr: '' });
    const text = readFileSync(file, 'utf8');
    expect(text.slice(0, 6)).toBe('first\n');
    expect(JSON.parse(text.slice(6))).toHaveProperty('properties.lora_r');
  });
});

/** Longer than two signals may be apart that are one (npx passes Ctrl-C on). */
const LATER_MS = 600;
const MAY_TAKE_MS = 2000;

describe.skipIf(process.platform === 'win32')('a second signal', () => {
  test.each([
    ['SIGINT', 130, 'load …'],
    ['SIGINT', 130, 'compile kernels …'],
    // a run that can go on ends with 75
    ['SIGTERM', 75, '/4000  loss '],
  ] as const)(
    '%s ends the process within two seconds, or the first has with %i: after "%s"',
    async (name, exitCode, moment) => {
      const { argv, output } = training(4000);
      const child = spawn(process.execPath, [MAIN, ...argv], { env, stdio: ['ignore', 'ignore', 'pipe'] });
      const ended = new Promise<number | NodeJS.Signals | null>((resolve) =>
        child.once('close', (code, signal) => resolve(signal ?? code)),
      );
      await new Promise<void>((resolve) => {
        let said = '';
        child.stderr.setEncoding('utf8').on('data', (text: string) => {
          said += text;
          if (said.includes(moment)) resolve();
        });
        child.once('close', () => resolve());
      });
      expect(child.exitCode, 'ended before the signal').toBe(null);
      child.kill(name);
      await wait(LATER_MS);
      const second = performance.now();
      child.kill(name);
      // SIGKILL where the thread that watches found the process too busy to hear
      expect([exitCode, name, 'SIGKILL']).toContain(await ended);
      expect(performance.now() - second).toBeLessThan(MAY_TAKE_MS);
      expect(readdirSync(output)).not.toContain('adapter_model.safetensors');
    },
  );
});
