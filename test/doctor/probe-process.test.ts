import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { probeHere, probeInChild } from '../../src/doctor/probe-process.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(path.join(os.tmpdir(), 'nibble-probe-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

/** Probes with a child that runs these lines instead of opening a device. */
function child(lines: string, env = {}) {
  const script = path.join(folder, 'child.mjs');
  writeFileSync(script, lines);
  return probeInChild('auto', { PATH: process.env.PATH, ...env }, pathToFileURL(script));
}

describe('the process that tries the device', () => {
  it('hands over what it found, and what was written meanwhile', async () => {
    const probe = await child(
      "console.error('layer missing'); process.send({ device: { backend: process.argv[2] } });",
    );
    expect(probe).toEqual({ device: { backend: 'auto' }, error: null, driverLog: 'layer missing\n' });
  });

  it('asks the loader for its errors, unless somebody asked for more', async () => {
    const say = 'process.send({ error: process.env.VK_LOADER_DEBUG });';
    expect(await child(say)).toMatchObject({ device: null, error: 'error' });
    expect(await child(say, { VK_LOADER_DEBUG: 'all' })).toMatchObject({ error: 'all' });
  });

  it('may crash or leave without a word', async () => {
    const crash = await child("process.kill(process.pid, 'SIGSEGV'); setInterval(() => {}, 1000);");
    expect(crash).toMatchObject({ device: null, error: 'the process that tried the device ended with SIGSEGV' });
    expect(await child('process.exit(7);')).toMatchObject({ error: expect.stringContaining('ended with 7') });
  });
});

it('a device that cannot be had is an answer, not an exception', async () => {
  process.env.VK_DRIVER_FILES = path.join(folder, 'gone.json');
  const message = await probeHere('lavapipe');
  expect(message).toMatchObject({ error: expect.stringContaining('no WebGPU adapter for lavapipe') });
});
