#!/usr/bin/env node
/** `facts.mjs PYTHON [--rehearsed]`: what the results of one call of gpu-host.sh were measured on, as JSON. */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const PEERS = ['torch', 'transformers', 'peft', 'bitsandbytes'];
const [python, mode] = process.argv.slice(2);

const said = (command, ...args) => {
  const { status, stdout } = spawnSync(command, args, { encoding: 'utf8', cwd: ROOT });
  return status === 0 ? stdout.trim() : null;
};

/** What nibble itself opens; a driver that cannot be opened leaves its name to nvidia-smi. A doctor with findings exits with 1. */
const { stdout } = spawnSync(process.execPath, ['dist/cli/main.js', 'doctor', '--json'], {
  encoding: 'utf8',
  cwd: ROOT,
});
const doctor = stdout.startsWith('{') ? JSON.parse(stdout) : {};
const profile = doctor.probe?.device?.profile;
const [card, driver] = (said('nvidia-smi', '--query-gpu=name,driver_version', '--format=csv,noheader') ?? '')
  .split('\n')[0]
  .split(', ');
const versions = said(
  python,
  '-c',
  `import importlib.metadata as m, json
found = {}
for name in ${JSON.stringify(PEERS)}:
    try: found[name] = m.version(name)
    except m.PackageNotFoundError: pass
print(json.dumps(found))`,
);
/** Of a packed copy; of a checkout otherwise. */
const packed = path.join(ROOT, 'packed.json');
const commit = existsSync(packed)
  ? JSON.parse(readFileSync(packed, 'utf8')).commit
  : said('git', 'describe', '--always', '--dirty');

const facts = {
  at: new Date().toISOString(),
  gpu: card || profile?.name || 'none',
  driver: driver || doctor.probe?.device?.adapter?.description || 'unknown',
  adapter: doctor.probe?.device?.adapter?.description ?? null,
  software: profile?.software ?? true,
  rehearsed: mode === '--rehearsed',
  tier: profile?.tier ?? null,
  commit,
  nibble: JSON.parse(readFileSync(path.join(ROOT, 'package.json'), 'utf8')).version,
  os: `${os.type()} ${os.release()}`,
  cpu: os.cpus()[0]?.model ?? 'unknown',
  cores: os.availableParallelism(),
  ram_gib: Math.round(os.totalmem() / 2 ** 30),
  node: process.versions.node,
  webgpu: JSON.parse(readFileSync(path.join(ROOT, 'node_modules/webgpu/package.json'), 'utf8')).version,
  ...JSON.parse(versions ?? '{}'),
};
console.log(JSON.stringify(facts, null, 2));
