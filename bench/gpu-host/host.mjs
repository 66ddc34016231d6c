#!/usr/bin/env node
/** What the results of one call of gpu-host.sh were measured on, as JSON. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { readArguments, refuse } from '../shared/options.mjs';
import { commitOf, ROOT, webgpuVersion } from '../shared/record.mjs';

const USAGE = 'usage: node bench/gpu-host/host.mjs PYTHON [--rehearsed]';
const PEERS = ['torch', 'transformers', 'peft', 'bitsandbytes'];
const { values, positionals } = readArguments(USAGE, { rehearsed: { type: 'boolean', default: false } });
const python = positionals[0] ?? refuse(`wanted the Python of the peers\n${USAGE}`);

/** @param {string} command @param {string[]} args */
const said = (command, ...args) => {
  const { status, stdout } = spawnSync(command, args, { encoding: 'utf8', cwd: ROOT });
  return status === 0 ? stdout.trim() : null;
};

// what nibble itself opens; a driver that cannot be opened leaves its name to nvidia-smi, and a doctor with findings exits with 1
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

const facts = {
  at: new Date().toISOString(),
  gpu: card || profile?.name || 'none',
  driver: driver || doctor.probe?.device?.adapter?.description || 'unknown',
  adapter: doctor.probe?.device?.adapter?.description ?? null,
  software: profile?.software ?? true,
  rehearsed: values.rehearsed,
  tier: profile?.tier ?? null,
  commit: commitOf(ROOT, '--dirty'),
  nibble: JSON.parse(readFileSync(path.join(ROOT, 'package.json'), 'utf8')).version,
  os: `${os.type()} ${os.release()}`,
  cpu: os.cpus()[0]?.model ?? 'unknown',
  cores: os.availableParallelism(),
  ram_gib: Math.round(os.totalmem() / 2 ** 30),
  node: process.versions.node,
  webgpu: webgpuVersion(),
  ...JSON.parse(versions ?? '{}'),
};
console.log(JSON.stringify(facts, null, 2));
