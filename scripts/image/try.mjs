#!/usr/bin/env node
/**
 * Carries out the Dockerfile without docker, on Debian as root: debootstrap makes the base, every RUN and COPY is done in it by
 * chroot. Then, as the image's user: a fine-tune of the tiny model is sent SIGTERM, started again, and has to end with the
 * adapter of one that nobody stopped.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { admitted, readDockerfile, variablesOf } from './dockerfile.mjs';
import { copyContext, copyInto, makeBase, megabytes, signalInside, start } from './root.mjs';

const USAGE = `usage: node scripts/image/try.mjs FOLDER [--node BINARY] [--mirror URL] [--again]

FOLDER        is made, outside the repository; a base that is there from an earlier try is used again
--node BINARY the Node of the image instead of this one
--mirror URL  where debootstrap has Debian from, instead of its own choice
--again       carries out no step, and runs once more in what an earlier try has made`;

/** A shell reports a process that signal n ended as 128 + n. */
const SIGNALLED = 128;
const REPOSITORY = fileURLToPath(new URL('../../', import.meta.url));
const { values, positionals } = parseArgs({
  options: {
    node: { type: 'string' },
    mirror: { type: 'string' },
    again: { type: 'boolean', default: false },
    help: { type: 'boolean', short: 'h' },
  },
  allowPositionals: true,
});
if (values.help === true) {
  console.log(USAGE);
  process.exit(0);
}
const [given] = positionals;
if (given === undefined || process.getuid?.() !== 0) {
  console.error(`try-image: wanted a folder, and to be root\n${USAGE}`);
  process.exit(2);
}
const folder = path.resolve(given);
if (!path.relative(REPOSITORY, folder).startsWith('..')) {
  console.error(`try-image: ${folder} is in the repository; give a folder elsewhere`);
  process.exit(2);
}

const read = (/** @type {string} */ name) => readFileSync(path.join(REPOSITORY, name), 'utf8');
const stages = readDockerfile(read('Dockerfile'));
const image = stages.at(-1);
if (image === undefined) throw new Error('Dockerfile: no stage');
const rootOf = (/** @type {string} */ name) => path.join(folder, `stage-${name}`);
const setting = {
  env: /** @type {Record<string, string>} */ ({}),
  user: 'root',
  cwd: '/',
  entry: ['sh'],
  command: [''],
};

const base = path.join(folder, 'base');
mkdirSync(base, { recursive: true });
const [, suite = ''] = /-([a-z]+)-slim$/.exec(image.base) ?? [];
const npm = path.join(execFileSync('npm', ['root', '--global'], { encoding: 'utf8' }).trim(), 'npm');
makeBase(base, { suite, node: values.node ?? process.execPath, npm, mirror: values.mirror });
console.log(
  `base: Debian ${suite}, Node ${insideBase(['node', '--version'])}, npm ${insideBase(['npm', '--version'])}`,
);

const context = path.join(folder, 'context');
rmSync(context, { recursive: true, force: true });
copyContext(REPOSITORY, admitted(read('.dockerignore')), context);
for (const stage of stages) await build(stage);
const root = rootOf(image.name);
printSizes(root);
await tryRuns(root);

/** @param {string[]} command */
function insideBase(command) {
  return execFileSync('chroot', [base, ...command], { encoding: 'utf8' }).trim();
}

/** @param {import('./dockerfile.mjs').Stage} stage */
async function build({ name, steps }) {
  const at = rootOf(name);
  if (!values.again) {
    rmSync(at, { recursive: true, force: true });
    execFileSync('cp', ['-a', '--reflink=auto', base, at]);
  }
  Object.assign(setting, { env: {}, user: 'root', cwd: '/' });
  for (const step of steps) {
    if (values.again && (step.kind === 'RUN' || step.kind === 'COPY')) continue;
    const startedMs = performance.now();
    await carryOut(step, at);
    if (step.kind === 'RUN' || step.kind === 'COPY')
      console.log(
        `${name}: ${step.kind} ${step.text.slice(0, 90)}  ${((performance.now() - startedMs) / 1000).toFixed(1)} s`,
      );
  }
}

/**
 * @param {import('./dockerfile.mjs').Step} step
 * @param {string} at
 */
async function carryOut({ kind, text, from, sources = [], target = '' }, at) {
  const within = (/** @type {string} */ name) => `${path.resolve(setting.cwd, name)}${name.endsWith('/') ? '/' : ''}`;
  if (kind === 'ENV') Object.assign(setting.env, Object.fromEntries(variablesOf(text)));
  else if (kind === 'USER') setting.user = text;
  else if (kind === 'WORKDIR') {
    setting.cwd = text;
    mkdirSync(path.join(at, text), { recursive: true });
  } else if (kind === 'ENTRYPOINT') setting.entry = JSON.parse(text);
  else if (kind === 'CMD') setting.command = JSON.parse(text);
  else if (kind === 'COPY') {
    const isFolder = sources.length > 1 || /^\.{0,2}\/?$|\/$/.test(target);
    copyInto(
      from === undefined ? context : rootOf(from),
      sources,
      path.join(at, within(target)) + (isFolder ? '/' : ''),
    );
  } else if (kind === 'RUN') await runStep(text, at);
}

/**
 * @param {string} text
 * @param {string} at
 */
async function runStep(text, at) {
  // the certificates of a network with a proxy of its own
  const extra = process.env.NODE_EXTRA_CA_CERTS;
  const inside = '/run/extra-certificates.pem';
  if (extra !== undefined && existsSync(extra)) writeFileSync(path.join(at, inside), readFileSync(extra));
  const proxies = Object.entries(process.env).filter(([name]) => /^(https?|no)_proxy$/i.test(name));
  const env = {
    ...setting.env,
    ...Object.fromEntries(proxies),
    ...(extra === undefined ? {} : { NODE_EXTRA_CA_CERTS: inside }),
  };
  const log = path.join(folder, 'steps.log');
  const child = start(at, ['sh', '-c', text], {
    env: /** @type {Record<string, string>} */ ({ ...env, DEBIAN_FRONTEND: 'noninteractive' }),
    cwd: setting.cwd,
    user: setting.user,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  /** @type {Buffer[]} */
  const said = [];
  child.stdout?.on('data', (chunk) => said.push(chunk));
  child.stderr?.on('data', (chunk) => said.push(chunk));
  const code = await exitOf(child);
  rmSync(path.join(at, inside), { force: true });
  writeFileSync(log, Buffer.concat(said));
  if (code !== 0) throw new Error(`RUN ${text}\nended with ${code}:\n${Buffer.concat(said).toString().slice(-3000)}`);
}

/**
 * Exit code of a program once its output has ended, as a shell says it.
 * @param {import('node:child_process').ChildProcess} child
 * @returns {Promise<number>}
 */
function exitOf(child) {
  return new Promise((resolve) =>
    child.once('close', (code, signal) =>
      resolve(code ?? SIGNALLED + (signal === null ? 0 : os.constants.signals[signal])),
    ),
  );
}

/** @param {string} at */
function printSizes(at) {
  const modules = '/app/node_modules';
  const own = ['dist', 'build', 'shaders', 'schemas', 'bench', 'package.json', 'README.md', 'LICENSE'];
  const libraries = readdirSync(path.join(at, 'usr/lib/x86_64-linux-gnu'));
  const llvm = libraries
    .filter((name) => /^lib(LLVM|z3)/.test(name))
    .map((name) => `/usr/lib/x86_64-linux-gnu/${name}`);
  const node = ['/usr/local/bin/node', '/usr/local/lib/node_modules'];
  const total = megabytes(at, ['/']);
  const rows = /** @type {[string, number][]} */ ([
    [
      'nibble: code, shaders, tiny model',
      megabytes(
        at,
        own.map((name) => `/app/${name}`),
      ),
    ],
    ["WebGPU (npm's webgpu)", megabytes(at, [`${modules}/webgpu`])],
    ['other packages of npm', megabytes(at, [modules]) - megabytes(at, [`${modules}/webgpu`])],
    ['Node and npm', megabytes(at, node)],
    ['LLVM, of Mesa', megabytes(at, llvm)],
    ['Debian, before apt-get', megabytes(base, ['/']) - megabytes(base, node)],
  ]);
  const rest = total - rows.reduce((sum, [, size]) => sum + size, 0);
  rows.splice(5, 0, ['Mesa, Vulkan, glvnd and what they need', rest]);
  for (const [name, size] of [...rows, ['in all', total]])
    console.log(`${Number(size).toFixed(1).padStart(8)} MB  ${name}`);
}

/** @param {string} at */
async function tryRuns(at) {
  const rows = Array.from({ length: 16 }, (_, i) => JSON.stringify({ text: `Row ${i}: it was the best of times.` }));
  for (const name of readdirSync(path.join(at, 'output'))) rmSync(path.join(at, 'output', name), { recursive: true });
  writeFileSync(path.join(at, 'data/rows.jsonl'), `${rows.join('\n')}\n`);
  const config = {
    model_name_or_path: '/app/bench/models/tiny',
    method: 'qlora',
    lora_r: 4,
    lora_dropout: 0.1,
    datasets: [{ path: 'rows.jsonl' }],
    max_length: 32,
    per_device_train_batch_size: 2,
    logging_steps: 1,
    max_steps: 24,
    save_steps: 100,
    learning_rate: 1e-3,
    bf16: true,
  };
  for (const [command, env] of /** @type {[string[], Record<string, string>][]} */ ([
    [['doctor'], {}],
    [['bench', 'run', '--output', '/output'], {}],
    [['doctor'], { NIBBLE_DEVICE: 'swiftshader' }],
  ])) {
    const { code, text } = await inside(at, command, env);
    console.log(`$ nibble ${command.join(' ')} ${JSON.stringify(env)}\n${text.trim()}\nexit code ${code}\n`);
  }
  const env = { NIBBLE_CONFIG: JSON.stringify(config), NIBBLE_OUTPUT_DIR: '/output/whole' };
  const cut = { ...env, NIBBLE_OUTPUT_DIR: '/output/cut' };
  const killed = { ...env, NIBBLE_OUTPUT_DIR: '/output/killed', NIBBLE_SAVE_STEPS: '2' };
  const { command } = setting;
  const atStep = (/** @type {number} */ step) => (/** @type {Record<string, unknown>} */ line) =>
    line.type === 'log' && line.step === step;
  const outcomes = [
    { name: 'whole', wanted: 0, ...(await inside(at, command, env)) },
    { name: 'SIGTERM', wanted: 75, ...(await inside(at, command, cut, 'SIGTERM', atStep(3))) },
    { name: 'started again', wanted: 0, ...(await inside(at, command, cut)) },
    { name: 'and again', wanted: 0, ...(await inside(at, command, cut)) },
    {
      name: 'SIGKILL',
      wanted: SIGNALLED + os.constants.signals.SIGKILL,
      ...(await inside(at, command, killed, 'SIGKILL', atStep(3))),
    },
    { name: 'started again', wanted: 0, ...(await inside(at, command, killed)) },
    { name: 'other settings', wanted: 2, ...(await inside(at, command, { ...cut, NIBBLE_LORA_R: '8' })) },
  ];
  for (const { name, code, wanted, lines, seconds, text } of outcomes) {
    console.log(`${name}: exit code ${code} after ${seconds.toFixed(1)} s\n  ${JSON.stringify(lines.at(-1))}`);
    if (code !== wanted) throw new Error(`${name}: wanted exit code ${wanted}\n${text.slice(-2000)}`);
  }
  const hashes = ['whole', 'cut', 'killed'].map((name) =>
    sha256(path.join(at, 'output', name, 'adapter_model.safetensors')),
  );
  console.log(`adapters of whole, cut and killed:\n${hashes.join('\n')}`);
  if (new Set(hashes).size !== 1) throw new Error('the adapters differ');
}

/** @param {string} file */
function sha256(file) {
  return createHash('sha256').update(readFileSync(file)).digest('hex');
}

/**
 * Runs the image's entry point; the first line of its log that `stopsAt` takes brings the signal.
 * @param {string} at
 * @param {readonly string[]} command
 * @param {Record<string, string>} more
 * @param {NodeJS.Signals} signal
 * @param {(line: Record<string, unknown>) => boolean} stopsAt
 */
async function inside(at, command, more, signal = 'SIGTERM', stopsAt = () => false) {
  const { user, cwd } = setting;
  const env = { ...setting.env, ...more };
  const startedMs = performance.now();
  const child = start(at, [...setting.entry, ...command], { env, cwd, user, stdio: ['ignore', 'pipe', 'pipe'] });
  const lines = /** @type {Record<string, unknown>[]} */ ([]);
  const ending = exitOf(child);
  let text = '';
  let isTold = false;
  child.stderr?.on('data', (chunk) => {
    text += chunk;
  });
  for await (const line of createInterface({ input: /** @type {import('node:stream').Readable} */ (child.stdout) })) {
    text += `${line}\n`;
    if (!line.startsWith('{')) continue;
    lines.push(JSON.parse(line));
    if (isTold || !stopsAt(lines.at(-1) ?? {})) continue;
    isTold = true;
    signalInside(child, signal);
  }
  const ended = await ending;
  // unshare of util-linux 2.38 has no exit code for a program that a signal ended
  const code = isTold && signal === 'SIGKILL' ? SIGNALLED + os.constants.signals.SIGKILL : ended;
  return { code, lines, text, seconds: (performance.now() - startedMs) / 1000 };
}
