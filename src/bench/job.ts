/** One run of a suite, as its own process receives it. */
import type { ResolvedConfig } from '../config/index.ts';
import type { DeviceChoice } from '../node/device-choice.ts';
import type { RunPlace } from '../node/run-types.ts';

/** Message from parent to child, as JSON. */
export type RunJob = RunPlace & {
  readonly config: ResolvedConfig;
  readonly device: DeviceChoice;
  /** Name of the device that the suite's other runs were made on; null for its first run. */
  readonly mustBe?: string | null;
  /** File for the GPU times of its kernels; null where it is not profiled. */
  readonly profileFile?: string | null;
  /** File for the run's record. */
  readonly recordFile: string;
};
