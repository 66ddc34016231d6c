/** Advice: what published practice would do otherwise. It changes nothing of a run, unless `strict` makes errors of it. */
import type { ConfigProblem } from '../errors.ts';

export type Advice = {
  /** Its name for programs. */
  readonly code: string;
  /** The setting it is about. */
  readonly path: string;
  /** What was found, with its arithmetic. */
  readonly message: string;
  /** What to do. */
  readonly fix: string;
};

export type AdviceEvent = { readonly type: 'advice' } & Advice;

/** One line for a person. */
export function adviceInWords({ path, message, fix }: Advice): string {
  return `${path}: ${message}; ${fix}`;
}

/** The same as a problem in a configuration, for `strict`. */
export function problemOf({ path, message, fix }: Advice): ConfigProblem {
  return { path, message: `${message}; ${fix}` };
}
