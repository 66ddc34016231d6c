/**
 * Runs that save every 2 steps are killed 30 times at random moments, and end as the uninterrupted ones, to the bit: weights,
 * moments, logs, evaluations, and which checkpoints are kept. KILLS_SEED chooses other moments, KILLS how many.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, expect, test } from 'vitest';
import { random } from '../ref/compare.ts';
import { EVAL_ROWS, RESUMABLE, type ResumableRun, ROWS } from '../train/resumable.ts';
import { comparable } from '../train/resumed.ts';

const MAIN = new URL('../../dist/cli/main.js', import.meta.url).pathname;
const TINY = new URL('../../bench/models/tiny', import.meta.url).pathname;
const DEVICE = process.env.NIBBLE_TEST_DEVICE ?? 'auto';
const SEED = Number(process.env.KILLS_SEED ?? 1);
const KILLS = Number(process.env.KILLS ?? 30);
/** A run that was told to stop, and can go on. */
const STOPPED = 75;

const root = mkdtempSync(path.join(os.tmpdir(), 'nibble-kills-'));
afterAll(() => rmSync(root, { recursive: true }));
const children: ChildProcess[] = [];
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
});

const runs = Object.entries(RESUMABLE).filter(([, { needsFloat16 }]) => !needsFloat16 || DEVICE !== 'swiftshader');
const skipped = Object.keys(RESUMABLE).length - runs.length;
if (skipped > 0) console.log(`kills: ${skipped} run is left out, since SwiftShader has no float16`);

type Ended = { readonly code: number | null; readonly signal: NodeJS.Signals | null; readonly stderr: string };

/** Starts a run; `kill` is called when its first step begins. */
async function start(
  config: string,
  output: string,
  kill: (child: ChildProcess) => void = () => undefined,
): Promise<Ended> {
  const args = [MAIN, 'train', config, '--output_dir', output, '--resume_from_checkpoint', 'true'];
  const env = { ...process.env, NIBBLE_DEVICE: DEVICE, NO_COLOR: '1' };
  const child = spawn(process.execPath, args, { env, stdio: ['ignore', 'ignore', 'pipe'] });
  children.push(child);
  let stderr = '';
  let isTold = false;
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk.toString();
    if (isTold || !stderr.includes('\ntrain …')) return;
    isTold = true;
    kill(child);
  });
  const [code, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null];
  return { code, signal, stderr };
}

function filesOf(name: string, { settings }: ResumableRun): { config: string; at: string } {
  const at = path.join(root, name.replaceAll(/\W+/g, '-'));
  const lines = (rows: readonly object[]) => rows.map((row) => `${JSON.stringify(row)}\n`).join('');
  const config = `${at}.yaml`;
  writeFileSync(`${at}.jsonl`, lines(ROWS));
  writeFileSync(`${at}.eval.jsonl`, lines(EVAL_ROWS));
  const evaluates = settings.eval_strategy !== undefined;
  const data = {
    model_name_or_path: TINY,
    datasets: [{ path: `${at}.jsonl` }],
    eval_datasets: evaluates ? [{ path: `${at}.eval.jsonl` }] : [],
  };
  writeFileSync(config, JSON.stringify({ ...data, ...settings }));
  return { config, at };
}

/** Milliseconds from the first step to the end, kills included that come after it. */
async function reference(config: string, output: string): Promise<number> {
  let began = 0;
  const ended = await start(config, output, () => {
    began = performance.now();
  });
  expect([ended.code, ended.code === 0 ? '' : ended.stderr]).toEqual([0, '']);
  return performance.now() - began;
}

test.each(runs)('killed at random moments: %s', { timeout: 1_200_000 }, async (name, run) => {
  const { config, at } = filesOf(name, run);
  const whole = `${at}-whole`;
  const lastsMs = await reference(config, whole);
  const moments = random(SEED + name.length).uniform(1000);
  let draws = 0;
  const draw = (): number => moments[draws++ % moments.length] as number;
  let kills = 0;
  for (let round = 0; kills < Math.ceil(KILLS / runs.length); round++) {
    const cut = `${at}-cut-${round}`;
    for (;;) {
      const inRun = draw() > 0.2;
      const delayMs = draw() * (inRun ? lastsMs : 2 * lastsMs);
      const isLast = kills >= Math.ceil(KILLS / runs.length);
      const kill = async (child: ChildProcess): Promise<void> => {
        await sleep(delayMs);
        child.kill('SIGKILL');
      };
      const running = start(config, cut, (child) => {
        if (!isLast && inRun) void kill(child);
      });
      if (!isLast && !inRun) void kill(children.at(-1) as ChildProcess);
      const ended = await running;
      if (ended.signal === 'SIGKILL') {
        kills++;
        continue;
      }
      expect([ended.code, ended.code === 0 ? '' : ended.stderr]).toEqual([0, '']);
      break;
    }
    expect(comparable(cut)).toEqual(comparable(whole));
    expect(readdirSync(cut).filter((entry) => /\.tmp$|claim/.test(entry))).toEqual([]);
  }
  console.log(`kills: ${kills} of "${name}", seed ${SEED}`);
});

test.each(['SIGTERM', 'SIGINT'] as const)(
  '%s saves a checkpoint, exit code 75',
  { timeout: 600_000 },
  async (signal) => {
    const [name, run] = runs[0] as (typeof runs)[number];
    const { config, at } = filesOf(`${signal} ${name}`, run);
    const whole = `${at}-whole`;
    const lastsMs = await reference(config, whole);
    const moments = random(SEED).uniform(3);
    const stopped = `${at}-stopped`;
    let stops = 0;
    for (const moment of moments) {
      const ended = await start(config, stopped, async (child) => {
        await sleep(moment * 0.5 * lastsMs);
        child.kill(signal);
      });
      if (ended.code === 0) break;
      stops++;
      expect(ended.code, ended.stderr).toBe(STOPPED);
      expect(ended.stderr).toMatch(new RegExp(`nibble: stopped by ${signal} after step \\d+: .*checkpoint-\\d+ holds`));
      expect(readFileSync(path.join(stopped, 'interrupted.json'), 'utf8')).toContain('checkpoint-');
    }
    expect(stops).toBeGreaterThan(0);
    const ended = await start(config, stopped);
    expect([ended.code, ended.code === 0 ? '' : ended.stderr]).toEqual([0, '']);
    const { checkpoints: _, ...rest } = comparable(whole);
    expect(comparable(stopped)).toMatchObject(rest);
  },
);
