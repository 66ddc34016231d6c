/** A second signal to a process whose JavaScript blocks (`npm run build` first): it ends, and so do its children. */
import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, test } from 'vitest';
import { directory, GOLDEN } from './nibble.ts';

const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const BLOCKING = new URL('./blocking.mjs', import.meta.url).href;
const MODEL = path.join(GOLDEN, 'formats', 'llama-untied-f32');
const ROW = `${JSON.stringify({ input_ids: [1, 2, 3, 4, 5, 6, 7, 8] })}\n`;

/** Longer than two signals may be apart that are one (npx passes Ctrl-C on). */
const LATER_MS = 600;
const MAY_TAKE_MS = 2000;

beforeAll(() => expect(existsSync(MAIN), 'dist/cli/main.js: run "npm run build"').toBe(true));

const suite = (rows: string) => `
suite: blocked
seeds: [1]
division: open
base: {model_name_or_path: ${MODEL}, datasets: [{path: ${rows}}], max_steps: 5000, lora_r: 2}
arms: {lora: {method: lora}}
`;

/** Commands, and how many processes each has when it is blocked. */
const COMMANDS: readonly (readonly [string, number, (root: string) => readonly string[]])[] = [
  [
    'train',
    1,
    (root) => ['--model_name_or_path', MODEL, '--datasets', `${root}/rows.jsonl`, '--output_dir', `${root}/out`],
  ],
  ['quantize', 1, (root) => [MODEL, `${root}/out`]],
  ['bench', 2, (root) => ['run', `${root}/suite.yaml`, '--output', `${root}/out`]],
];

/** Whether a process runs. One that was killed, and that nobody has asked for its exit code yet, does not. */
const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    const stat = `/proc/${pid}/stat`;
    return !existsSync(stat) || !/\) Z /.test(readFileSync(stat, 'utf8'));
  } catch {
    return false;
  }
};

/** Starts a command and waits until all of its processes are blocked. */
async function blocked(command: string, processes: number, argv: (root: string) => readonly string[]) {
  const root = directory({ 'rows.jsonl': ROW });
  writeFileSync(path.join(root, 'suite.yaml'), suite(path.join(root, 'rows.jsonl')));
  const marks = directory();
  const env = {
    ...process.env,
    NIBBLE_DEVICE: process.env.NIBBLE_TEST_DEVICE ?? 'auto',
    NIBBLE_TEST_BLOCKING: marks,
    NODE_OPTIONS: `--import=${BLOCKING}`,
  };
  const child = spawn(process.execPath, [MAIN, command, ...argv(root)], { env, stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  const ended = new Promise<number | NodeJS.Signals | null>((resolve) =>
    child.once('close', (code, signal) => resolve(signal ?? code)),
  );
  const pids = () => readdirSync(marks).filter((name) => name !== 'block');
  const until = async (isDone: () => boolean) => {
    for (let i = 0; i < 600 && !isDone(); i++) await wait(50);
    expect(isDone(), said).toBe(true);
  };
  await until(() => pids().length === processes - 1 && existsSync(path.join(root, 'out')));
  writeFileSync(path.join(marks, 'block'), '');
  await until(() => pids().length === processes);
  return { child, ended, pids: pids().map(Number), words: () => said };
}

describe.skipIf(process.platform === 'win32')(
  'a second signal ends a process that is blocked, and its children',
  () => {
    // bench takes seconds to start its child: one signal is enough for it
    const cases = COMMANDS.flatMap((command) => [
      ['SIGINT' as const, ...command] as const,
      ...(command[0] === 'bench' ? [] : [['SIGTERM' as const, ...command] as const]),
    ]);
    test.each(cases)(
      '%s %s (%i processes)',
      async (name, ...command) => {
        const { child, ended, pids, words } = await blocked(...command);
        child.kill(name);
        await wait(LATER_MS);
        expect(pids.map(isAlive)).toEqual(pids.map(() => true));
        const second = performance.now();
        child.kill(name);
        expect(await ended).toBe('SIGKILL');
        expect(words()).toContain(`nibble: ended by a second ${name}\n`);
        while (pids.some(isAlive) && performance.now() - second < MAY_TAKE_MS) await wait(20);
        expect(pids.map(isAlive)).toEqual(pids.map(() => false));
        expect(performance.now() - second).toBeLessThan(MAY_TAKE_MS);
      },
      60_000,
    );
  },
);
