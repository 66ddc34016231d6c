/** The time that max_minutes leaves a run, with what it takes to end in it. */

/** Checkpoints are expected to be written at this rate before one was; a second more for what is small. */
const BYTES_PER_MS = 100_000;
const SMALL_MS = 1000;

export class TimeLimit {
  readonly #endMs: number;
  #checkpointMs: number;
  #stepMs = 0;
  #evaluationMs = 0;

  /**
   * @param maxMinutes null for no limit
   * @param startedMs of `performance.now`
   * @param checkpointBytes size of a checkpoint, roughly
   */
  constructor(maxMinutes: number | null, startedMs: number, checkpointBytes: number) {
    this.#endMs = maxMinutes === null ? Number.POSITIVE_INFINITY : startedMs + maxMinutes * 60_000;
    this.#checkpointMs = SMALL_MS + checkpointBytes / BYTES_PER_MS;
  }

  /** Takes in how long a part of the run took; what takes longest counts. */
  took({ step = 0, evaluation = 0, checkpoint }: { step?: number; evaluation?: number; checkpoint?: number }): void {
    this.#stepMs = Math.max(this.#stepMs, step);
    this.#evaluationMs = Math.max(this.#evaluationMs, evaluation);
    if (checkpoint !== undefined) this.#checkpointMs = Math.max(SMALL_MS, checkpoint);
  }

  /** Whether another step would leave too little time for a checkpoint. @param evaluates whether an evaluation follows it */
  isNear(evaluates: boolean): boolean {
    const next = 2 * this.#stepMs + (evaluates ? this.#evaluationMs : 0) + 2 * this.#checkpointMs;
    return performance.now() + next >= this.#endMs;
  }
}
