/** The process that probe.node.ts starts: argument is the adapter, the answer goes to the parent. */
import type { AdapterChoice } from '../gpu/node.ts';
import { probeHere } from './probe.node.ts';

process.send?.(await probeHere(process.argv[2] as AdapterChoice), () => process.disconnect());
