/** Folders that commands take: one process at a time, a gone one's taken over, nothing left that was not there. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { ConfigError } from '../../src/errors.ts';
import { SILENT_MS } from '../../src/node/claim.ts';
import { type Claim, ownClaim } from '../../src/node/claim-file.ts';
import {
  requireMovable,
  type TakenFolder,
  type TakeOptions,
  takeFolder,
  takeNewFolder,
} from '../../src/node/output-folder.ts';
import { processSpace, startOf } from '../../src/node/process-identity.ts';
import { rejection } from '../formats/files.ts';

const root = mkdtempSync(path.join(os.tmpdir(), 'nibble-folder-'));
afterAll(() => rmSync(root, { recursive: true }));
const children: ChildProcess[] = [];
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
});

const CLAIM = '.nibble-claim.json';
let count = 0;
const fresh = () => path.join(root, String(count++));
const take = (directory: string, more: Partial<TakeOptions> = {}) =>
  takeFolder(directory, { name: 'output_dir', contents: 'none', ...more });
const claimIn = (directory: string) => JSON.parse(readFileSync(path.join(directory, CLAIM), 'utf8')) as Claim;

async function refused(taking: Promise<unknown>): Promise<string> {
  const error = await rejection(taking);
  expect(error).toBeInstanceOf(ConfigError);
  return error.message;
}

/** A process that does nothing, and its number. */
async function sleeper(): Promise<{ pid: number; end(): Promise<void> }> {
  const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' });
  children.push(child);
  await once(child, 'spawn');
  const end = async () => {
    child.kill('SIGKILL');
    await once(child, 'close');
  };
  return { pid: child.pid as number, end };
}

/** A folder with another process's claim in it. */
function claimedBy(claim: Partial<Claim>, silentMs = 0, text?: string): string {
  const directory = fresh();
  mkdirSync(directory);
  const whole = { id: 'x', pid: 1, started: '1', space: processSpace(), host: 'there', since: '2026-01-01', ...claim };
  writeFileSync(path.join(directory, CLAIM), text ?? JSON.stringify(whole));
  const touched = (Date.now() - silentMs) / 1000;
  utimesSync(path.join(directory, CLAIM), touched, touched);
  return directory;
}

describe('a folder', () => {
  it('is made with those above it, claimed while it is held, and gone again where nothing was written', async () => {
    const directory = path.join(fresh(), 'a', 'b');
    const folder = await take(directory);
    expect(claimIn(directory)).toMatchObject({ pid: process.pid, space: processSpace(), host: os.hostname() });
    await folder.release();
    await folder.release();
    expect(existsSync(path.dirname(path.dirname(directory)))).toBe(false);
  });

  it('stays with what was written, without its claim', async () => {
    const directory = fresh();
    const folder = await take(directory);
    writeFileSync(path.join(directory, 'run.json'), '{}');
    await folder.release();
    expect(readdirSync(directory)).toEqual(['run.json']);
  });

  it('stays where it was there before, be it empty', async () => {
    const directory = fresh();
    mkdirSync(directory);
    await (await take(directory)).release();
    expect(readdirSync(directory)).toEqual([]);
  });

  it('is held by one of many that ask at once', async () => {
    const directory = fresh();
    const asked = await Promise.allSettled(Array.from({ length: 20 }, () => take(directory)));
    const held = asked.filter((result): result is PromiseFulfilledResult<TakenFolder> => result.status === 'fulfilled');
    expect(held).toHaveLength(1);
    for (const result of asked)
      if (result.status === 'rejected')
        expect(String(result.reason)).toMatch(/output_dir: .* is (in use|just being taken)/);
    await held[0]?.value.release();
    await (await take(directory)).release();
  });

  it('with a stale claim goes to one of many, too', async () => {
    const { pid, end } = await sleeper();
    const directory = claimedBy({ pid, started: await startOf(pid) });
    await end();
    const asked = await Promise.allSettled(Array.from({ length: 20 }, () => take(directory)));
    expect(asked.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
  });

  it('that holds something is refused and left alone', async () => {
    const directory = fresh();
    mkdirSync(directory);
    writeFileSync(path.join(directory, 'notes.txt'), 'mine');
    expect(await refused(take(directory))).toBe(
      `output_dir: ${directory} is not empty (it holds notes.txt); give a new folder, or empty it`,
    );
    expect(readdirSync(directory)).toEqual(['notes.txt']);
    await (await take(directory, { contents: 'any' })).release();
    expect(readdirSync(directory)).toEqual(['notes.txt']);
  });

  it('that cannot be made is refused, and so is a link to nothing', async () => {
    const file = fresh();
    writeFileSync(file, '');
    expect(await refused(take(path.join(file, 'run')))).toContain('a part of its path is a file, not a folder');
    const link = fresh();
    symlinkSync('/nowhere/at/all', link);
    expect(await refused(take(link))).toContain('is a symbolic link to /nowhere/at/all, which is not there');
  });

  it('behind a link is taken where it lies', async () => {
    const [directory, link] = [fresh(), fresh()];
    mkdirSync(directory);
    symlinkSync(directory, link);
    const folder = await take(link);
    expect(existsSync(path.join(directory, CLAIM))).toBe(true);
    expect(await refused(take(directory))).toContain('is in use');
    await folder.release();
  });
});

describe('a claim', () => {
  it('of a process that runs is refused with its number, whether it has written yet or not', async () => {
    const { pid } = await sleeper();
    const directory = claimedBy({ pid, started: await startOf(pid) }, 10 * SILENT_MS);
    const message = await refused(take(directory));
    expect(message).toBe(
      `output_dir: ${directory} is in use: process ${pid} on there has been writing it since 2026-01-01; ` +
        'give another folder, or wait until it ends',
    );
    writeFileSync(path.join(directory, 'config.yaml'), '');
    expect(await refused(take(directory))).toBe(message);
    expect(await refused(take(directory, { contents: 'any' }))).toBe(message);
  });

  const gone: [what: string, claim: Partial<Claim>, silentMs: number, text?: string][] = [
    ['of a process that has ended', { pid: 2 ** 22 + 1 }, 0],
    ['of a process whose number another one has now', { pid: process.pid, started: '1' }, 0],
    ['of another machine that is silent', { space: 'elsewhere', pid: process.pid }, SILENT_MS + 10_000],
    ['of this machine before it started again', { space: `${os.hostname()} other-boot` }, SILENT_MS + 10_000],
    ['that was never finished, long ago', {}, SILENT_MS + 10_000, ''],
    ['that is no claim', {}, SILENT_MS + 10_000, '[1]'],
  ];
  it.each(gone)('%s is taken over, and the folder counts as new', async (_, claim, silentMs, text) => {
    const directory = claimedBy(claim, silentMs, text);
    const folder = await take(directory);
    expect(claimIn(directory).pid).toBe(process.pid);
    await folder.release();
    expect(readdirSync(directory)).toEqual([]);
  });

  const held: [what: string, claim: Partial<Claim>, silentMs: number, says: string, text?: string][] = [
    [
      'of another machine that has shown itself',
      { space: 'elsewhere', pid: 7 },
      SILENT_MS - 10_000,
      'process 7 on there',
    ],
    ['that is just being written', {}, 0, 'is just being taken by another process', ''],
  ];
  it.each(held)('%s is refused', async (_, claim, silentMs, says, text) => {
    const directory = claimedBy(claim, silentMs, text);
    expect(await refused(take(directory))).toContain(says);
    expect(readdirSync(directory)).toEqual([CLAIM]);
  });

  it('has its content as soon as it has its name, however often one looks', async () => {
    for (let round = 0; round < 30; round++) {
      const directory = fresh();
      mkdirSync(directory);
      const taking = take(directory);
      const seen = new Set<string>();
      let isTaken = false;
      void taking.then(() => {
        isTaken = true;
      });
      for (; !isTaken; await new Promise(setImmediate))
        if (existsSync(path.join(directory, CLAIM))) seen.add(readFileSync(path.join(directory, CLAIM), 'utf8'));
      expect([...seen].filter((text) => text === '')).toEqual([]);
      await (await taking).release();
    }
  });

  const LOCK = '.nibble-claim.lock';
  it('whose judge was killed in that moment is judged by the next', async () => {
    const directory = claimedBy({ pid: 2 ** 22 + 1 });
    writeFileSync(path.join(directory, LOCK), JSON.stringify({ ...(await ownClaim()), pid: 2 ** 22 + 2 }));
    await (await take(directory)).release();
    expect(readdirSync(directory)).toEqual([]);
  });

  it('that another process judges right now is left to it', async () => {
    const { pid } = await sleeper();
    const directory = claimedBy({ pid: 2 ** 22 + 1 });
    writeFileSync(
      path.join(directory, LOCK),
      JSON.stringify({ ...(await ownClaim()), pid, started: await startOf(pid) }),
    );
    expect(await refused(take(directory))).toContain('is in use');
    expect(readdirSync(directory).sort()).toEqual([CLAIM, LOCK]);
  });

  it('that never got its name is no content, and goes', async () => {
    const directory = fresh();
    mkdirSync(directory);
    writeFileSync(path.join(directory, '.nibble-claim.0123456789abcdef.tmp'), '');
    await (await take(directory)).release();
    expect(readdirSync(directory)).toEqual([]);
  });

  it('of a process that was killed while it wrote its first file is taken over, and the rest of that file goes', async () => {
    const directory = claimedBy({ pid: 2 ** 22 + 1 });
    writeFileSync(path.join(directory, 'config.yaml.0123456789ab.tmp'), 'half');
    const folder = await take(directory);
    expect(readdirSync(directory)).toEqual([CLAIM]);
    await folder.release();
    writeFileSync(path.join(directory, 'notes.tmp'), 'mine');
    expect(await refused(take(directory))).toContain('is not empty (it holds notes.tmp)');
  });

  it('of a dead run leaves what that run wrote to be judged', async () => {
    const directory = claimedBy({ pid: 2 ** 22 + 1 });
    writeFileSync(path.join(directory, 'config.yaml'), '');
    expect(await refused(take(directory))).toContain('is not empty (it holds config.yaml)');
  });
});

describe('folders of suites', () => {
  it('of one second stand beside one another', async () => {
    const parent = fresh();
    const folders = await Promise.all(['x', 'x', 'x'].map((name) => takeNewFolder(parent, name, '--output')));
    expect(folders.map(({ directory }) => path.basename(directory)).sort()).toEqual(['x', 'x-2', 'x-3']);
    await Promise.all(folders.map((folder) => folder.release()));
    // the one that made the folder above may have been the first to go
    expect(existsSync(parent) ? readdirSync(parent) : []).toEqual([]);
  });

  it('cannot lie below a file', async () => {
    const file = fresh();
    writeFileSync(file, '');
    expect(await refused(takeNewFolder(file, 'x', '--output'))).toMatch(/^--output: .* cannot be used/);
  });
});

describe('what takes the place of a folder', () => {
  it('comes as a whole, and without a claim', async () => {
    const [directory, other] = [fresh(), fresh()];
    const folder = await take(directory);
    mkdirSync(other);
    writeFileSync(path.join(other, 'config.json'), '{}');
    await folder.replaceBy(other);
    await folder.release();
    expect(readdirSync(directory)).toEqual(['config.json']);
    expect(existsSync(other)).toBe(false);
  });

  it('does not come over what was put there meanwhile, which stays', async () => {
    const [directory, other] = [fresh(), fresh()];
    const folder = await take(directory);
    for (const at of [directory, other]) {
      mkdirSync(at, { recursive: true });
      writeFileSync(path.join(at, `${path.basename(at)}.txt`), '');
    }
    expect(await rejection(folder.replaceBy(other))).toMatchObject({ code: 'ENOTEMPTY' });
    await folder.release();
    expect(readdirSync(directory)).toEqual([`${path.basename(directory)}.txt`]);
    expect(readdirSync(other)).toHaveLength(1);
  });

  it('comes however many look at the folder in that moment', async () => {
    for (let round = 0; round < 20; round++) {
      const [directory, other] = [fresh(), fresh()];
      const folder = await take(directory);
      mkdirSync(other);
      writeFileSync(path.join(other, 'config.json'), '{}');
      const asked = Promise.allSettled(Array.from({ length: 10 }, () => take(directory)));
      await folder.replaceBy(other);
      await folder.release();
      expect((await asked).filter(({ status }) => status === 'fulfilled')).toEqual([]);
      expect(readdirSync(directory)).toEqual(['config.json']);
    }
  });

  it('is asked before the work whether it can: no link, no current folder, none above it, no mounted disk', async () => {
    const link = fresh();
    symlinkSync(root, link);
    expect(await refused(requireMovable(link, 'out'))).toContain(`out: ${link} is a symbolic link to ${root}`);
    expect(await refused(requireMovable('.', 'out'))).toContain('out: . is the current folder');
    expect(await refused(requireMovable('..', 'out'))).toContain('out: .. holds the current folder');
    if (process.platform === 'linux')
      expect(await refused(requireMovable('/proc', 'out'))).toContain('is where another disk is mounted');
    await requireMovable(fresh(), 'out');
    const directory = fresh();
    mkdirSync(directory);
    await requireMovable(directory, 'out');
  });
});
