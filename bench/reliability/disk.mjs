/** Commands on disks that become full: a file system in memory of every size from nothing to enough. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync, statfsSync } from 'node:fs';
import path from 'node:path';
import { messageOf } from '../shared/options.mjs';
import { Trial } from './trial.mjs';

/** @typedef {import('./commands.mjs').Command} Command */
/** @typedef {import('./trial.mjs').Measured} Measured */

const PAGE_BYTES = 4096;
/** A file system in memory of this size is large enough for anything here. */
const PLENTY_BYTES = 2 ** 26;
/** What is written is at most this many times what stands there in the end, most of it beside what it replaces. */
const ENOUGH = 1.6;
const IN_PLACE = 0.6;
const SAYS_WHY = /disk is full|ENOSPC|are free/;

/** Whether this user may mount; the reason where not. @param {string} work */
export function cannotMount(work) {
  try {
    onDisk(work, PLENTY_BYTES, () => undefined);
    return null;
  } catch (error) {
    return messageOf(error);
  }
}

/**
 * @template T
 * @param {string} work
 * @param {number} bytes
 * @param {(disk: string) => T} job
 * @returns {T}
 */
function onDisk(work, bytes, job) {
  const disk = mounted(work, bytes);
  try {
    return job(disk);
  } finally {
    unmounted(disk);
  }
}

/** @param {string} work @param {number} bytes */
function mounted(work, bytes) {
  const disk = path.join(work, 'disk');
  mkdirSync(disk, { recursive: true });
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${bytes}`, 'tmpfs', disk], { stdio: 'pipe' });
  return disk;
}

/** @param {string} disk */
function unmounted(disk) {
  execFileSync('umount', [disk], { stdio: 'pipe' });
  rmSync(disk, { recursive: true, force: true });
}

/** @param {string} disk */
function usedBytes(disk) {
  const { blocks, bfree, bsize } = statfsSync(disk);
  return (blocks - bfree) * bsize;
}

/**
 * @param {string} work
 * @param {Command} command
 * @param {Measured} measured
 * @param {number} count of sizes
 */
export async function onFullDisks(work, command, measured, count) {
  const { least, most } = await range(work, command);
  /** @type {{ command: string, bytes: number, code: number | null, faults: readonly string[] }[]} */
  const rows = [];
  for (let i = 0; i < count; i++) {
    const pages = Math.round(((most - least) * i) / Math.max(1, count - 1) / PAGE_BYTES) + 1;
    const bytes = least + pages * PAGE_BYTES;
    rows.push(await onOneDisk(work, command, measured, bytes));
  }
  return rows;
}

/** Bytes that the command's folder takes before and at most after. @param {string} work @param {Command} command */
async function range(work, command) {
  const disk = mounted(work, PLENTY_BYTES);
  try {
    const trial = new Trial(work, command, disk);
    const least = usedBytes(disk);
    await trial.start().ended;
    const after = usedBytes(disk);
    return { least, most: least + Math.max(ENOUGH * (after - least), IN_PLACE * after) };
  } finally {
    unmounted(disk);
  }
}

/** @param {string} work @param {Command} command @param {Measured} measured @param {number} bytes */
async function onOneDisk(work, command, measured, bytes) {
  const disk = mounted(work, bytes);
  try {
    const trial = new Trial(work, command, disk);
    const ended = await trial.start().ended;
    trial.check(ended, measured, { mayLeave: false });
    if (ended.code !== 0 && ended.code !== 2)
      trial.fault(`a full disk ends with ${ended.code ?? ended.signal}: ${ended.stderr}`);
    if (ended.code === 2 && !SAYS_WHY.test(ended.stderr)) trial.fault(`does not say why: ${ended.stderr}`);
    for (const fault of trial.faults) console.log(`  ${fault} (a disk of ${bytes} bytes)`);
    return { command: command.name, bytes, code: ended.code, faults: trial.faults };
  } finally {
    unmounted(disk);
  }
}
