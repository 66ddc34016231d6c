/** One run of a suite, as it is handed to the process that makes it. */
import type { ResolvedConfig } from '../config/index.ts';
import type { DeviceChoice } from '../node/device-choice.ts';
import type { RunPlace } from '../node/run-types.ts';

/** What the parent process hands to the child, as JSON. */
export type RunJob = RunPlace & {
  readonly config: ResolvedConfig;
  readonly device: DeviceChoice;
  /** File that receives the run's JSON. */
  readonly recordFile: string;
};
