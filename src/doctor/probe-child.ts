/** Entry of the process that probe-process.ts starts: its argument is the device; it sends the answer to the parent. */
import type { DeviceChoice } from '../node/device-choice.ts';
import { probeHere } from './probe-process.ts';

// the parent ends this process once it has the answer
process.send?.(await probeHere(process.argv[2] as DeviceChoice));
