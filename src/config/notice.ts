/** A word on what was read otherwise than it was written. */
import type { ConfigProblem } from '../errors.ts';

export type Notice = ConfigProblem & {
  /** True where the run still does what was asked for, under another name or in the words of another trainer. */
  readonly isFollowed?: boolean;
};
