/**
 * A suite is killed at ten random moments and started again: no run is made twice, none is lost, and its adapters are those
 * of the suite that nobody killed. Four parts on processes of their own merge into the same. A device that changes in the
 * middle stops it. KILLS_SEED chooses other moments, KILLS how many.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, expect, test } from 'vitest';
import { random } from '../ref/compare.ts';

const MAIN = new URL('../../dist/cli/main.js', import.meta.url).pathname;
const DEVICE = process.env.NIBBLE_TEST_DEVICE ?? 'auto';
const SEED = Number(process.env.KILLS_SEED ?? 1);
const KILLS = Number(process.env.KILLS ?? 10);
const SUITE = `suite: killed
seeds: [0, 1, 2, 3]
base:
  model_name_or_path: builtin:tiny
  datasets: [{ path: builtin:sotu-train }]
  eval_datasets: [{ path: builtin:sotu-eval }]
  max_length: 32
  eval_on_start: true
  lora_r: 2
  lora_target_modules: [q_proj]
  per_device_train_batch_size: 1
  per_device_eval_batch_size: 8
  max_steps: 2
arms: { lora: {}, nf4: { method: qlora } }
`;
const RUNS = 8;

const root = mkdtempSync(path.join(os.tmpdir(), 'nibble-suite-kills-'));
const file = path.join(root, 'killed.yaml');
writeFileSync(file, SUITE);
afterAll(() => rmSync(root, { recursive: true }));
const children: ChildProcess[] = [];
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
});

type Ended = { readonly code: number | null; readonly signal: NodeJS.Signals | null; readonly stderr: string };

async function bench(
  args: readonly string[],
  { device = DEVICE, killAfterMs = Number.POSITIVE_INFINITY } = {},
): Promise<Ended> {
  const env = { ...process.env, NIBBLE_DEVICE: device, NO_COLOR: '1' };
  const child = spawn(process.execPath, [MAIN, 'bench', ...args], { env, stdio: ['ignore', 'ignore', 'pipe'] });
  children.push(child);
  let stderr = '';
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  const ended = once(child, 'close');
  if (Number.isFinite(killAfterMs))
    void Promise.race([sleep(killAfterMs), ended]).then(() => {
      child.kill('SIGKILL');
    });
  const [code, signal] = (await ended) as [number | null, NodeJS.Signals | null];
  return { code, signal, stderr };
}

const run = (folder: string, more: readonly string[] = []) => ['run', file, '--no-report', '--resume', folder, ...more];
const recordsIn = (folder: string): Map<string, string> => {
  const files = readdirSync(folder).filter((name) => name.endsWith('.run.json'));
  return new Map(files.map((name) => [name, readFileSync(path.join(folder, name), 'utf8')]));
};
/** What must not depend on how often a suite was killed, or on how many machines made it. */
const outcomeOf = (folder: string) =>
  Object.fromEntries(
    [...recordsIn(folder)].sort().map(([name, text]) => {
      const { run_info, train_info, eval_info, numerics } = JSON.parse(text);
      const losses = train_info.history.map((row: { loss: number }) => row.loss);
      const after = eval_info.metrics.eval_loss.value;
      return [name, [run_info.run_id, run_info.status, numerics.weight_sha256_after, after, losses]];
    }),
  );
const noticesOf = (folder: string): string[] =>
  JSON.parse(readFileSync(path.join(folder, 'summary.json'), 'utf8')).notices;

const whole = path.join(root, 'whole');

test('killed at random moments, no run is made twice and none is lost', { timeout: 1_800_000 }, async () => {
  const began = performance.now();
  const first = await bench(run(whole));
  expect([first.code, first.code === 0 ? '' : first.stderr]).toEqual([0, '']);
  const lastsMs = performance.now() - began;
  expect(recordsIn(whole).size).toBe(RUNS);
  const moments = random(SEED).uniform(4 * KILLS);
  let kills = 0;
  let made = 0;
  for (let round = 0; kills < KILLS; round++) {
    const folder = path.join(root, `cut-${round}`);
    let before = new Map<string, string>();
    for (;;) {
      const killAfterMs = kills < KILLS ? (moments[kills] as number) * lastsMs * 0.6 : Number.POSITIVE_INFINITY;
      const ended = await bench(run(folder), { killAfterMs });
      const now = recordsIn(folder);
      // what had ended was left as it was, to the byte
      for (const [name, text] of before) expect(now.get(name)).toBe(text);
      made += now.size - before.size;
      before = now;
      if (ended.signal !== 'SIGKILL') {
        expect([ended.code, ended.code === 0 ? '' : ended.stderr]).toEqual([0, '']);
        break;
      }
      kills++;
    }
    expect(outcomeOf(folder)).toEqual(outcomeOf(whole));
    expect(noticesOf(folder)).toEqual(noticesOf(whole));
    expect(readdirSync(folder).filter((entry) => /\.tmp$|claim/.test(entry))).toEqual([]);
    expect(readdirSync(path.join(folder, 'runs')).length).toBe(RUNS);
    rmSync(folder, { recursive: true });
  }
  console.log(`suite kills: ${kills}, seed ${SEED}; ${made} runs were made in all`);
});

test('four parts merged are the suite in one piece', { timeout: 600_000 }, async () => {
  const parts = [1, 2, 3, 4].map((i) => path.join(root, `part-${i}`));
  for (const [i, part] of parts.entries()) {
    const { code, stderr } = await bench(run(part, ['--shard', `${i + 1}/4`]));
    expect([code, code === 0 ? '' : stderr]).toEqual([0, '']);
  }
  const merged = path.join(root, 'merged');
  const { code, stderr } = await bench(['merge', ...parts, merged]);
  expect([code, code === 0 ? '' : stderr]).toEqual([0, '']);
  expect(outcomeOf(merged)).toEqual(outcomeOf(whole));
  expect(noticesOf(merged)).toEqual(noticesOf(whole));
});

test('lavapipe in the middle of a suite on SwiftShader: it stops, and the top says so', {
  timeout: 600_000,
}, async (ctx) => {
  const probe = spawn(process.execPath, [MAIN, 'doctor'], {
    env: { ...process.env, NIBBLE_DEVICE: 'lavapipe' },
    stdio: 'ignore',
  });
  const [code0] = (await once(probe, 'close')) as [number | null];
  if (code0 !== 0) ctx.skip('nibble doctor finds no lavapipe here');
  const folder = path.join(root, 'devices');
  let waited = 0;
  const running = bench(run(folder), { device: 'swiftshader', killAfterMs: 600_000 });
  while (waited++ < 3000 && !readdirSync(root).includes('devices')) await sleep(100);
  while (waited++ < 3000 && recordsIn(folder).size < 3) await sleep(100);
  children.at(-1)?.kill('SIGKILL');
  await running;
  const before = recordsIn(folder);
  const { code, stderr } = await bench(run(folder), { device: 'lavapipe' });
  expect(code).toBe(2);
  expect(stderr).toMatch(/Stopped before run \d of 8 .*: the device is .*, and the runs before were made on /);
  expect(recordsIn(folder)).toEqual(before);
  expect(noticesOf(folder)[0]).toMatch(/^Stopped before run/);
  const report = await bench(['report', folder]);
  expect(report.code).toBe(0);
  expect(readFileSync(path.join(folder, 'report.md'), 'utf8').split('## ')[0]).toMatch(/Stopped before run/);
});
