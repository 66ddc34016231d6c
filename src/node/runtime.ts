/** The platform of a run in Node: Dawn, files, and quantizer workers. */

import type { Runtime } from '../train/session.ts';
import { Codec } from '../wasm/codec.ts';
import { createQuantizerPool, loadWasmModule } from './codec.ts';
import { closeDevice, openDevice } from './device.ts';
import type { DeviceChoice } from './device-choice.ts';
import { nodeReader } from './files.ts';
import { tuningDirectory } from './tuning.ts';

export type NodeRuntime = Runtime & { close(): Promise<void> };

/** Opens the device and starts the workers; `close` ends both, or the process does not exit. @throws DeviceError */
export async function openNodeRuntime(choice: DeviceChoice = 'auto'): Promise<NodeRuntime> {
  // the module first: where it is missing, no device is left open to keep the process alive
  const module = await loadWasmModule();
  const tuning = tuningDirectory(process.env);
  const device = await openDevice({ device: choice, unchecked: true, ...(tuning !== null && { tuning }) });
  const quantizer = createQuantizerPool(module);
  const close = async (): Promise<void> => {
    await quantizer.close();
    await closeDevice(device);
  };
  return { device, quantizer, codec: new Codec(module), readerOf: nodeReader, close };
}
