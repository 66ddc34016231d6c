/** CPU time of a group of processes, by /proc; on systems without it, time on the wall. */
import { readdirSync, readFileSync } from 'node:fs';

/** USER_HZ of Linux on every machine that Node runs on. */
const TICKS_PER_SECOND = 100;
const hasProc = process.platform === 'linux';

/** @param {number} group @returns {number} seconds of its processes, and of their children that have ended */
export function groupSeconds(group) {
  if (!hasProc) return performance.now() / 1000;
  let ticks = 0;
  for (const pid of readdirSync('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    const fields = statOf(pid);
    // pgrp is field 5; utime, stime, cutime and cstime are fields 14 to 17: proc_pid_stat(5)
    if (Number(fields[2]) === group) for (const field of fields.slice(11, 15)) ticks += Number(field);
  }
  return ticks / TICKS_PER_SECOND;
}

/** @param {string} pid @returns the fields of its stat file behind the name, from the third on */
function statOf(pid) {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return text.slice(text.lastIndexOf(')') + 2).split(' ');
  } catch {
    return []; // it has ended meanwhile
  }
}
