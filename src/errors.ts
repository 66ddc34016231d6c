/**
 * The kinds of failure nibble knows. The first three are the user's to mend and print without a stack; a run that was
 * stopped is none.
 */

/** One problem in a configuration: where it stands, what was found and wanted, what to do next. */
export type ConfigProblem = { readonly path: string; readonly message: string };

/** Problems that a message lists: past these, the first ones have to be mended anyway, and the rest may be their echo. */
const LISTED_PROBLEMS = 20;
/** A key of a file that is none of ours can be as long as the file. */
const PATH_CHARACTERS = 120;

/** A configuration that cannot be run. Carries every problem found; its message lists the first 20. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly problems: readonly ConfigProblem[];

  constructor(problems: readonly ConfigProblem[]) {
    const more = problems.length - LISTED_PROBLEMS;
    const lines = problems.slice(0, LISTED_PROBLEMS).map(inOneLine);
    super([...lines, ...(more > 0 ? [`and ${more} more`] : [])].join('\n'));
    this.problems = problems;
  }
}

function inOneLine({ path, message }: ConfigProblem): string {
  if (path === '') return message;
  const short = path.length > PATH_CHARACTERS ? `${path.slice(0, PATH_CHARACTERS)}…` : path;
  // keys of a file may hold what a terminal follows
  return `${short.replaceAll(/\p{Cc}/gu, '\ufffd')}: ${message}`;
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

/**
 * Waits for packages that an install with --omit=optional leaves out.
 * @param purpose what they are for, as the message says it: "charts"
 * @throws ConfigError where they are not installed
 */
export async function optionalPackages<T>(loading: Promise<T>, names: string, purpose: string): Promise<T> {
  try {
    return await loading;
  } catch (error) {
    if ((error as Partial<NodeError>).code !== 'ERR_MODULE_NOT_FOUND') throw error;
    const message = `${purpose}: the optional packages ${names} are not installed; run \`npm install\` without --omit=optional`;
    throw new ConfigError([{ path: '', message }]);
  }
}

/** Codes of the system's refusals that no check of ours can foresee: the machine is to be mended, not nibble. */
const REFUSALS = 'EACCES EPERM EROFS ENOSPC EDQUOT EIO ENOMEM EMFILE ENFILE EAGAIN EBUSY ELOOP'.split(' ');

/** Whether an error is such a refusal, thrown by Node as it came. */
export function isRefusal(error: unknown): error is NodeError {
  const { syscall, code } = (error ?? {}) as Partial<NodeError>;
  return error instanceof Error && syscall !== undefined && code !== undefined && REFUSALS.includes(code);
}

/** An error of the system as Node throws it. */
export type NodeError = Error & { readonly code: string; readonly syscall: string; readonly path?: string };

/** Exit code of the command line: 2 for what the user can mend, 1 for a bug of ours. */
export function exitCodeOf(error: unknown): 1 | 2 {
  const isOurs = error instanceof ConfigError || error instanceof DataError || error instanceof DeviceError;
  return isOurs || isRefusal(error) ? 2 : 1;
}
