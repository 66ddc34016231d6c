/** The checkpoints of a run while it runs: when one is due, writing it, and which are kept. */
import type { TrainConfig } from '../config/settings.ts';
import { DataError } from '../errors.ts';
import type { RunBatches } from './batching.ts';
import { afterSaving, type BestState } from './best.ts';
import { type CheckpointStore, type CheckpointWriter, checkpointName, rotateCheckpoints } from './checkpoint-store.ts';

/** How a step ended, as far as it decides whether a checkpoint is due. */
export type StepEnd = {
  readonly step: number;
  readonly epoch: number;
  /** Whether an evaluation after it was the best so far. */
  readonly isBest: boolean;
  /** Whether no step comes after it. */
  readonly isLast: boolean;
};

/** Whether a checkpoint is due after a step. Every schedule but `best` has one at the last step, too. */
export function isSaveDue(
  { save_strategy }: Pick<TrainConfig, 'save_strategy'>,
  { saveSteps }: Pick<RunBatches, 'saveSteps'>,
  { step, epoch, isBest, isLast }: StepEnd,
): boolean {
  switch (save_strategy) {
    case 'no':
      return false;
    case 'best':
      return isBest;
    case 'epoch':
      return isLast || Number.isInteger(epoch);
    default:
      return isLast || step % saveSteps === 0;
  }
}

/** Writes checkpoints and deletes those beyond save_total_limit. */
export class Saver {
  readonly #store: CheckpointStore;
  readonly #limit: number | null;
  /** Name of the newest one; null before the first. */
  newest: string | null;

  constructor(
    store: CheckpointStore,
    { save_total_limit }: Pick<TrainConfig, 'save_total_limit'>,
    newest: string | null,
  ) {
    this.#store = store;
    this.#limit = save_total_limit;
    this.newest = newest;
  }

  /** The folder of a checkpoint, for messages; null for none. */
  pathOf(name: string | null): string | null {
    return name === null ? null : this.#store.pathOf(name);
  }

  /**
   * Saves the checkpoint of a step.
   * @param fill is given the state of the best evaluation with the checkpoint that is being written counted in
   * @returns that state
   * @throws DataError that names the last checkpoint, too
   */
  async save(
    step: number,
    best: BestState,
    fill: (folder: CheckpointWriter, best: BestState) => Promise<void>,
  ): Promise<BestState> {
    const name = checkpointName(step);
    const names = [...(await this.#store.names()), name];
    const counted = afterSaving(best, names, checkpointName);
    await this.#store.write(name, (folder) => fill(folder, counted)).catch((error: unknown) => this.#explain(error));
    this.newest = name;
    await rotateCheckpoints(this.#store, { limit: this.#limit, newest: name, best: counted.checkpoint });
    return counted;
  }

  /** At the end, save_total_limit: 1 leaves the best one alone, as in Trainer. */
  async keepBest({ checkpoint }: BestState): Promise<void> {
    if (this.#limit !== 1 || checkpoint === null) return;
    for (const name of await this.#store.names()) if (name !== checkpoint) await this.#store.remove(name);
  }

  #explain(error: unknown): never {
    if (!(error instanceof DataError) || this.newest === null) throw error;
    const detail = error.message.slice(error.file.length + 2);
    throw new DataError(error.file, `${detail} ${lastCheckpoint(this.#store.pathOf(this.newest))}`, { cause: error });
  }
}

/** Sentence about the checkpoint from which a run that failed can go on. */
export function lastCheckpoint(path: string): string {
  return `The last good checkpoint is ${path}; resume_from_checkpoint: true goes on from it.`;
}
