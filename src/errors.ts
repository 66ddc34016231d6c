/**
 * The kinds of failure nibble knows. The first three are the user's to mend and print without a stack; a run that was
 * stopped is none.
 */

/** One problem in a configuration: where it stands, what was found and wanted, what to do next. */
export type ConfigProblem = { readonly path: string; readonly message: string };

/** A configuration that cannot be run. Carries every problem found, not just the first. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly problems: readonly ConfigProblem[];

  constructor(problems: readonly ConfigProblem[]) {
    super(problems.map((p) => (p.path === '' ? p.message : `${p.path}: ${p.message}`)).join('\n'));
    this.problems = problems;
  }
}

/** A file whose content is not what it has to be. The message says file, offset or key, got, wanted and what to do. */
export class DataError extends Error {
  override readonly name = 'DataError';
  readonly file: string;

  constructor(file: string, detail: string, options?: ErrorOptions) {
    super(`${file}: ${detail}`, options);
    this.file = file;
  }
}

/** The GPU, its driver or its memory refused. The message names the buffer or pipeline and what to try. */
export class DeviceError extends Error {
  override readonly name = 'DeviceError';
}

/** A wrong call into a kernel, a plan or a quantizer: shape, name or size. It is our own bug, so its stack is shown. */
export class KernelCallError extends Error {
  override readonly name = 'KernelCallError';

  constructor(where: string, detail: string) {
    super(`${where}: ${detail}`);
  }
}

/** A run that was told to end before its last step. Its checkpoint has all that was done, and the run can go on from it. */
export class RunStopped extends Error {
  override readonly name = 'RunStopped';
  /** The folder of the checkpoint. */
  readonly checkpoint: string;

  constructor(reason: string, checkpoint: string) {
    super(`${reason}: ${checkpoint} holds the run up to there; resume_from_checkpoint: true goes on with it`);
    this.checkpoint = checkpoint;
  }
}

/** Exit code of the command line: 2 for what the user can mend, 1 for a bug of ours. */
export function exitCodeOf(error: unknown): 1 | 2 {
  const mendable = error instanceof ConfigError || error instanceof DataError || error instanceof DeviceError;
  return mendable ? 2 : 1;
}
