/** Examines this machine: facts, probe, findings. */
import type { DeviceChoice } from '../node/device-choice.ts';
import { thisMachine } from '../node/machine.ts';
import { diagnose } from './diagnose.ts';
import { machineFacts } from './machine-facts.ts';
import { probeInChild } from './probe-process.ts';
import type { Examination } from './types.ts';

/** Reads the machine's facts and tries the device that training would choose. Takes about 2 s on a software driver. */
export async function examine(
  choice: DeviceChoice,
  env: Readonly<Record<string, string | undefined>>,
): Promise<Examination> {
  const probe = await probeInChild(choice, env);
  return diagnose(machineFacts(thisMachine(env)), probe, choice);
}
