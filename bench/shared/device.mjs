/** The device that a measurement runs on: NIBBLE_DEVICE chooses it, as for every command of nibble. */
import { deviceChoice } from '#dist/cli/shared/device-choice.js';
import { openDevice } from '#dist/node/device.js';
import { tuningDirectory } from '#dist/node/tuning.js';
import { wallSeconds } from './clock.mjs';
import { messageOf, refuse } from './options.mjs';

/** @typedef {import('#dist/gpu/device.js').Device} Device */
/** @typedef {import('#dist/node/device.js').DeviceChoice} DeviceChoice */

/**
 * @param {DeviceChoice} [otherwise] where NIBBLE_DEVICE is not set
 * @returns {DeviceChoice}
 */
export function chosenDevice(otherwise = 'auto') {
  try {
    return deviceChoice({ NIBBLE_DEVICE: process.env.NIBBLE_DEVICE || otherwise });
  } catch (error) {
    return refuse(messageOf(error));
  }
}

/**
 * Opened as runs open it: unchecked, with the tiles that `nibble tune-kernels` found.
 * @param {DeviceChoice} [otherwise] where NIBBLE_DEVICE is not set
 */
export function openTunedDevice(otherwise) {
  return openDevice({ adapter: chosenDevice(otherwise), unchecked: true, tuning: tuningDirectory(process.env) });
}

/** @param {Device} device */
export const nameOf = ({ adapter }) => adapter.description || adapter.device;

/**
 * Times work from its submit to its end.
 * @param {Device} device
 * @param {(encoder: GPUCommandEncoder) => void} encode
 * @param {number} [repeats] of it in one submit
 * @param {import('./clock.mjs').Clock} [clock]
 * @returns {Promise<number>} seconds of one
 */
export async function secondsOf(device, encode, repeats = 1, clock = wallSeconds) {
  const started = clock();
  const encoder = device.gpu.createCommandEncoder();
  for (let i = 0; i < repeats; i++) encode(encoder);
  device.gpu.queue.submit([encoder.finish()]);
  await device.gpu.queue.onSubmittedWorkDone();
  return (clock() - started) / repeats;
}
