/** A copy of the working tree in which one mutation stands at a time, and the tests that run on it. */
import { execFileSync, spawn } from 'node:child_process';
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import ts from 'typescript';
import { groupSeconds } from './cpu.mjs';
import { applied } from './sites.mjs';

/** A file that takes this many times the CPU time that it took before, and these seconds more, hangs. */
const SLOWER = 4;
const GRACE_S = 20;
/** CPU seconds of a file that has not passed yet. */
const UNKNOWN_S = 20;
const LOOK_MS = 1000;

/**
 * @typedef {{ readonly state: 'failed' | 'hung', readonly by: string, readonly test: string, readonly message: string }} Failure
 * @typedef {{ readonly state: 'passed' } | Failure} Outcome
 */

/** @param {string} root @returns {string[]} what git knows or would take */
export function filesOf(root) {
  const listed = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], {
    cwd: root,
    encoding: 'utf8',
  });
  return listed.split('\n').filter((file) => file !== '' && existsSync(path.join(root, file)));
}

/** @param {string} root @param {readonly string[]} files @returns {string} the copy's folder */
export function copyOf(root, files) {
  const scratch = mkdtempSync(path.join(tmpdir(), 'nibble-mutation-'));
  for (const file of files) {
    mkdirSync(path.dirname(path.join(scratch, file)), { recursive: true });
    copyFileSync(path.join(root, file), path.join(scratch, file));
  }
  for (const built of ['build', 'dist']) cpSync(path.join(root, built), path.join(scratch, built), { recursive: true });
  symlinkSync(path.join(root, 'node_modules'), path.join(scratch, 'node_modules'));
  return scratch;
}

/** Where a source file lies in dist, which the processes that tests start run; null for shaders. @param {string} file */
const compiledOf = (file) => (file.startsWith('src/') ? file.replace(/^src/, 'dist').replace(/\.ts$/, '.js') : null);

/** @param {string} text of a source file */
function javascriptOf(text) {
  const compilerOptions = {
    target: ts.ScriptTarget.ES2023,
    module: ts.ModuleKind.ESNext,
    verbatimModuleSyntax: true,
    rewriteRelativeImportExtensions: true,
  };
  return ts.transpileModule(text, { compilerOptions }).outputText;
}

export class Runner {
  /** CPU seconds that each test file took when it passed. @type {Map<string, number>} */
  seconds = new Map();
  #scratch;
  /** @type {import('node:child_process').ChildProcess | null} */
  #child = null;

  /** @param {string} scratch */
  constructor(scratch) {
    this.#scratch = scratch;
  }

  /**
   * @param {import('./sites.mjs').Mutation} mutation
   * @param {readonly string[]} tests
   * @param {readonly string[]} through a command that starts Node
   * @returns {Promise<Outcome>}
   */
  async withMutation(mutation, tests, through) {
    const file = path.join(this.#scratch, mutation.file);
    const text = readFileSync(file, 'utf8');
    const put = (/** @type {string} */ content) => {
      writeFileSync(file, content);
      const compiled = compiledOf(mutation.file);
      if (compiled !== null) writeFileSync(path.join(this.#scratch, compiled), javascriptOf(content));
    };
    put(applied(text, mutation));
    try {
      return await this.run(tests, through);
    } finally {
      put(text);
    }
  }

  /**
   * @param {readonly string[]} tests in this order, until one fails
   * @param {readonly string[]} through
   * @param {number} [mayTake] CPU seconds of each; otherwise by what it took before
   * @returns {Promise<Outcome>}
   */
  async run(tests, through, mayTake) {
    const node = through.length === 0 ? process.execPath : 'node';
    const command = [...through, node, 'node_modules/vitest/vitest.mjs', 'run', '--config', CONFIG];
    const child = spawn(/** @type {string} */ (command[0]), command.slice(1), {
      cwd: this.#scratch,
      env: { ...process.env, MUTATION_TESTS: JSON.stringify(tests), NO_COLOR: '1' },
      stdio: ['ignore', 'pipe', 'pipe'],
      // a group of its own, so that workers end with it
      detached: true,
    });
    this.#child = child;
    const group = child.pid ?? 0;
    const watch = new Watch(
      (file) => mayTake ?? this.limitOf(file),
      this.seconds,
      tests[0] ?? '',
      () => groupSeconds(group),
    );
    const clock = setInterval(() => watch.look() && this.stop(), LOOK_MS);
    child.stderr.on('data', (data) => watch.heard(String(data)));
    for await (const line of createInterface({ input: child.stdout })) watch.line(line);
    const code = await new Promise((done) =>
      child.exitCode === null ? child.once('close', done) : done(child.exitCode),
    );
    clearInterval(clock);
    this.#child = null;
    return watch.outcome(code);
  }

  /** CPU seconds after which a test file counts as hung. @param {string} file */
  limitOf(file) {
    return GRACE_S + SLOWER * (this.seconds.get(file) ?? UNKNOWN_S);
  }

  /** Ends what runs. */
  stop() {
    if (this.#child?.pid === undefined) return;
    try {
      process.kill(-this.#child.pid, 'SIGKILL');
    } catch {
      // it has ended by itself
    }
  }
}

const CONFIG = 'bench/mutation/vitest.config.mjs';

/** What vitest.config.mjs tells, and whether a file takes too long by the CPU: other work on the machine does not count. */
class Watch {
  #limitOf;
  #seconds;
  #cpu;
  #at;
  #since = 0;
  #words = '';
  /** @type {Outcome | null} */
  #failure = null;

  /**
   * @param {(file: string) => number} limitOf
   * @param {Map<string, number>} seconds
   * @param {string} first
   * @param {() => number} cpu
   */
  constructor(limitOf, seconds, first, cpu) {
    this.#limitOf = limitOf;
    this.#seconds = seconds;
    this.#cpu = cpu;
    this.#at = first;
  }

  /** @returns whether it is time to end it */
  look() {
    const limit = this.#limitOf(this.#at);
    if (this.#cpu() - this.#since < limit) return false;
    const message = `no end within ${limit.toFixed(0)} s of CPU time`;
    this.#failure ??= { state: 'hung', by: this.#at, test: '', message };
    return true;
  }

  /** @param {string} words on standard error */
  heard(words) {
    this.#words = (this.#words + words).slice(-2000);
  }

  /** @param {string} line */
  line(line) {
    if (!line.startsWith('\u001e')) return this.heard(`${line}\n`);
    const { start, end, ok, test, message, over } = JSON.parse(line.slice(1));
    if (start !== undefined) this.#at = start;
    const now = this.#cpu();
    if (end !== undefined && ok) this.#seconds.set(end, now - this.#since);
    if (end !== undefined && !ok) this.#failure ??= { state: 'failed', by: end, test, message: short(message) };
    // an error outside any test: of a device, say
    if (over === false) this.#failure ??= { state: 'failed', by: this.#at, test: '', message: short(message) };
    this.#since = now;
  }

  /** @param {number | null} code @returns {Outcome} */
  outcome(code) {
    if (this.#failure !== null) return this.#failure;
    if (code === 0) return { state: 'passed' };
    return { state: 'failed', by: this.#at, test: '', message: short(`exit code ${code}: ${this.#words}`) };
  }
}

/** @param {string} message */
const short = (message) => message.slice(0, 300);
