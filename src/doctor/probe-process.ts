/** Tries the device in a process of its own: a driver that crashes takes that one down, and what it wrote is kept. */
import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { closeDevice, type DeviceChoice, openDevice } from '../node/device.ts';
import { probeDevice } from './probe.ts';
import type { DeviceFacts, Probe } from './types.ts';

/** Software drivers answer within 2 s; a GPU's first shader compilation may take much longer. */
const PROBE_TIMEOUT_MS = 120_000;
const BACKENDS: Readonly<Record<string, string>> = { darwin: 'metal', win32: 'd3d12' };

export type ProbeMessage = { readonly device: DeviceFacts } | { readonly error: string };

/** Opens and tries the device in this process. Never throws. */
export async function probeHere(adapter: DeviceChoice): Promise<ProbeMessage> {
  try {
    const device = await openDevice({ adapter });
    try {
      return { device: { ...(await probeDevice(device)), backend: BACKENDS[process.platform] ?? 'vulkan' } };
    } finally {
      await closeDevice(device);
    }
  } catch (error) {
    return { error: (error as Error).message };
  }
}

const CHILD = new URL('./probe-child.js', import.meta.url);

/** The same in a child, with the Vulkan loader told to say what it could not load. `script` is what the child runs. */
export function probeInChild(
  adapter: DeviceChoice,
  env: Readonly<Record<string, string | undefined>>,
  script = CHILD,
): Promise<Probe> {
  const child = fork(fileURLToPath(script), [adapter], {
    env: { ...env, VK_LOADER_DEBUG: env.VK_LOADER_DEBUG ?? 'error' },
    execArgv: [],
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    timeout: PROBE_TIMEOUT_MS,
    killSignal: 'SIGKILL',
  });
  let driverLog = '';
  let message: ProbeMessage | null = null;
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    driverLog += text;
  });
  child.on('message', (sent: ProbeMessage) => {
    message = sent;
    // nothing of it is needed any more, and webgpu 0.6.2 was seen to hang while a process took its device down
    child.kill('SIGKILL');
  });
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => {
      resolve({ driverLog, ...outcome(message, code, signal) });
    });
  });
}

function outcome(
  message: ProbeMessage | null,
  code: number | null,
  signal: NodeJS.Signals | null,
): Pick<Probe, 'device' | 'error'> {
  if (message !== null) return 'device' in message ? { ...message, error: null } : { ...message, device: null };
  const how =
    signal === 'SIGKILL'
      ? `was ended after ${PROBE_TIMEOUT_MS / 1000} s without an answer`
      : `ended with ${signal ?? code}`;
  return { device: null, error: `the process that tried the device ${how}` };
}
