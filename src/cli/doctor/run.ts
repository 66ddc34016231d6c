/** Does the work of `nibble doctor`: examines, prints, and ends with 2 where training cannot run. */
import { examine } from '../../doctor/examine.ts';
import type { Examination } from '../../doctor/types.ts';
import { DeviceError } from '../../errors.ts';
import type { CliContext } from '../shared/context.ts';
import { askedDevice } from '../shared/device-choice.ts';
import { wantsColor } from '../shared/terminal.ts';
import type { DoctorArgs } from './command.ts';
import { printExamination } from './print.ts';

/** Examines the machine and prints the result. @throws DeviceError after printing, when no device computes correctly */
export async function runDoctor(
  { json }: DoctorArgs,
  { stdout, stderr, env }: CliContext,
  look: (...args: Parameters<typeof examine>) => Promise<Examination> = examine,
): Promise<void> {
  const examination = await look(askedDevice({ env, stderr }), env);
  const color = wantsColor(stdout as { isTTY?: boolean }, env);
  stdout.write(json ? `${JSON.stringify(examination, null, 2)}\n` : printExamination(examination, color));
  if (!examination.canTrain) throw new DeviceError('no usable WebGPU device; what to do is said above');
}
