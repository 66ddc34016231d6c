/** What has to hold of a command's folders after whatever happened to it. */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { words } from './commands.mjs';
import { filesBelow, halfWritten, isUnfinished } from './complete.mjs';
import { groupIsGone, started } from './process.mjs';

/** @typedef {import('./commands.mjs').Command} Command */
/** @typedef {import('./process.mjs').Ended} Ended */
/** @typedef {{ readonly seconds: number, readonly changes: number, readonly files: ReadonlyMap<string, string>, readonly bytes: number }} Measured */

/** Frames of a stack: a message for people has none. */
const STACK = /\n {4}at /;
/** Done, refused, ended by SIGINT or SIGTERM; 75: a checkpoint was saved before it ended. */
const ENDS = [0, 2, 75, 130, 143];
/** What a second start says of a folder that the first has written into. */
const OCCUPIED = /did not end|was interrupted|finished run|is not empty/;
/** The folder that `bench run` names after the second it started in. */
const STAMPED = /^kills-\d{8}-\d{6}(-\d+)?\//;

/** Names without what changes from run to run. @param {string} file */
export const plain = (file) => file.replace(STAMPED, '');

/** The folders of one trial: `out` is the command's, beside it there is nothing. */
export class Trial {
  /** @type {string[]} */
  faults = [];

  /**
   * @param {string} work inputs of all commands
   * @param {Command} command
   * @param {string} [above] where its folder is made; the work folder's `trials` otherwise
   */
  constructor(work, command, above = path.join(work, 'trials')) {
    mkdirSync(above, { recursive: true });
    this.work = work;
    this.command = command;
    this.home = mkdtempSync(path.join(above, 'trial-'));
    this.out = path.join(this.home, 'out');
    command.prepare?.(work, this.out);
    this.before = filesBelow(this.home).final;
  }

  /** @param {string} [out] */
  start(out = this.out) {
    return started(words(this.command.argv(this.work, out)), this.work);
  }

  /** @param {string} fault */
  fault(fault) {
    this.faults.push(`${this.command.name}: ${fault}`);
  }

  /**
   * After any end.
   * @param {Ended} ended
   * @param {Measured} measured
   * @param {{ mayLeave: boolean }} how whether files may stay that say they are not whole
   */
  check({ code, stdout, stderr }, measured, { mayLeave }) {
    const { final, unfinished } = filesBelow(this.home);
    for (const wrong of halfWritten(this.home, final.keys())) this.fault(`half written: ${wrong}`);
    if (!mayLeave) for (const left of unfinished) this.fault(`left behind: ${left}`);
    if (STACK.test(stderr)) this.fault(`a stack: ${stderr.slice(-400)}`);
    if (code !== null && !ENDS.includes(code)) this.fault(`exit code ${code}: ${stderr.slice(-400)}`);
    this.#requireOlder(final);
    if (code === 0 || stdout !== '') this.requireResult(this.out, measured);
  }

  /** What was there before and is no report is as it was. @param {ReadonlyMap<string, string>} final */
  #requireOlder(final) {
    for (const [file, hash] of this.before) {
      const now = final.get(file);
      if (now === undefined) this.fault(`lost: ${file}`);
      else if (now !== hash && !/(^|\/)(report[^/]*|runs\.csv)$/.test(file)) this.fault(`written over: ${file}`);
    }
  }

  /** Everything that a run reported as done has. @param {string} out @param {Measured} measured */
  requireResult(out, { files }) {
    const { final } = filesBelow(out);
    const names = [...final.keys()].map(plain);
    for (const result of this.command.results)
      if (!names.some((name) => result.test(name))) this.fault(`reported as done, and there is no ${result.source}`);
    for (const [file, hash] of final)
      if (file.endsWith('.safetensors') && files.get(plain(file)) !== hash)
        this.fault(`${file} differs from that of a run that nobody disturbed`);
  }

  /**
   * Starts the command once more on what is there: it takes over a claim, and writes over nothing.
   * @param {Measured} measured
   * @returns {Promise<'done' | 'refused'>}
   */
  async again(measured) {
    const { final: earlier } = filesBelow(this.out);
    const holdsResults = existsSync(this.out) && readdirSync(this.out).some((name) => !isUnfinished(name));
    const { pid, ended } = this.start();
    const { code, stdout, stderr } = await ended;
    if (!(await groupIsGone(pid))) this.fault('a second start left a process behind');
    if (code !== 0 && !(code === 2 && OCCUPIED.test(stderr)))
      this.fault(`a second start ends with ${code}: ${stderr.slice(-400)}`);
    if (code !== 0 && !holdsResults) this.fault(`nothing was written, and a second start is refused: ${stderr}`);
    const { final, unfinished } = filesBelow(this.out);
    for (const file of unfinished) if (file.includes('.nibble-claim')) this.fault(`a claim stays: ${file}`);
    if (code !== 0)
      for (const [file, hash] of earlier) if (final.get(file) !== hash) this.fault(`a refused start changed ${file}`);
    for (const wrong of halfWritten(this.out, final.keys())) this.fault(`half written by a second start: ${wrong}`);
    if (code === 0 || stdout !== '') this.requireResult(this.out, measured);
    return code === 0 ? 'done' : 'refused';
  }

  remove() {
    rmSync(this.home, { recursive: true, force: true });
  }
}
