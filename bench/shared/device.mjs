/** The device that a measurement runs on: NIBBLE_DEVICE chooses it, as for every command of nibble. */

import { openDevice } from '#dist/node/device.js';
import { deviceChoice } from '#dist/node/device-choice.js';
import { tuningDirectory } from '#dist/node/tuning.js';
import { wallSeconds } from './clock.mjs';
import { messageOf, refuse } from './options.mjs';

/** @typedef {import('#dist/gpu/device.js').Device} Device */
/** @typedef {import('#dist/node/device-choice.js').DeviceChoice} DeviceChoice */

/**
 * @param {DeviceChoice} [otherwise] where NIBBLE_DEVICE is not set
 * @returns {DeviceChoice}
 */
export function chosenDevice(otherwise = 'auto') {
  try {
    const { NIBBLE_DEVICE, NIBBLE_ADAPTER } = process.env;
    if (NIBBLE_DEVICE === undefined && NIBBLE_ADAPTER === undefined) return otherwise;
    return deviceChoice(process.env, (note) => console.error(note));
  } catch (error) {
    return refuse(messageOf(error));
  }
}

/**
 * Opened as runs open it: unchecked, with the tiles that `nibble tune-kernels` found.
 * @param {DeviceChoice} [otherwise] where NIBBLE_DEVICE is not set
 */
export function openTunedDevice(otherwise) {
  const tuning = tuningDirectory(process.env);
  return openDevice({ device: chosenDevice(otherwise), unchecked: true, ...(tuning !== null && { tuning }) });
}

/** @param {Device} device */
export const nameOf = ({ info }) => info.description || info.device;

/** @typedef {import('#dist/gpu/submission.js').Submission} Submission */

/**
 * Times work from its submit to its end.
 * @param {import('#dist/gpu/machine.js').Machine} machine
 * @param {(submission: Submission) => unknown} add what is to be done once
 * @param {number} [repeats] of it in one submit
 * @param {import('./clock.mjs').Clock} [clock]
 * @returns {Promise<number>} seconds of one
 */
export async function secondsOf(machine, add, repeats = 1, clock = wallSeconds) {
  const started = clock();
  const submission = machine.submission('sample');
  for (let i = 0; i < repeats; i++) add(submission);
  submission.submit();
  await machine.device.gpu.queue.onSubmittedWorkDone();
  return (clock() - started) / repeats;
}
