/** One run of a suite, as it is handed to the process that makes it. */
import type { ResolvedConfig } from '../config/index.ts';
import type { DeviceChoice } from '../node/device-choice.ts';

/** What the parent process hands to the child, as JSON. */
export type RunJob = {
  readonly suite: string;
  readonly arm: string;
  readonly replicate: number;
  readonly division: 'closed' | 'open';
  readonly config: ResolvedConfig;
  readonly device: DeviceChoice;
  readonly command: readonly string[];
  /** File that receives the run's JSON. */
  readonly recordFile: string;
};
