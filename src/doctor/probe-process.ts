/** Tries the device in a process of its own, which a crashing driver takes down alone, and whose stderr is kept. */
import { type ChildEnd, runScript } from '../node/child.ts';
import { closeDevice, openDevice } from '../node/device.ts';
import type { DeviceChoice } from '../node/device-choice.ts';
import { probeDevice } from './probe.ts';
import type { DeviceFacts, Probe } from './types.ts';

/** Software drivers answer within 2 s; a GPU's first shader compilation may take much longer. */
const PROBE_TIMEOUT_MS = 120_000;
const BACKENDS: Readonly<Record<string, string>> = { darwin: 'metal', win32: 'd3d12' };

type ProbeMessage = { readonly device: DeviceFacts } | { readonly error: string };

/** Opens and tries the device in this process. Never throws. */
export async function probeHere(choice: DeviceChoice): Promise<ProbeMessage> {
  try {
    const device = await openDevice({ device: choice });
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

/** Does the same in a child that runs `script`, with the Vulkan loader set to report what it cannot load. */
export async function probeInChild(
  choice: DeviceChoice,
  env: Readonly<Record<string, string | undefined>>,
  script = CHILD,
): Promise<Probe> {
  const ended = await runScript<ProbeMessage>(script, {
    args: [choice],
    env: { ...env, VK_LOADER_DEBUG: env.VK_LOADER_DEBUG ?? 'error' },
    output: 'collected',
    timeoutMs: PROBE_TIMEOUT_MS,
  });
  return { driverLog: ended.stderr, ...outcome(ended) };
}

function outcome({ message, code, signal }: ChildEnd<ProbeMessage>): Pick<Probe, 'device' | 'error'> {
  if (message !== null) return 'device' in message ? { ...message, error: null } : { ...message, device: null };
  const how =
    signal === 'SIGKILL'
      ? `was ended after ${PROBE_TIMEOUT_MS / 1000} s without an answer`
      : `ended with ${signal ?? code}`;
  return { device: null, error: `the process that tried the device ${how}` };
}
