/** The file that a run leaves when it ends before its last step. */

/** Says why a run stopped early: a file of its own, since trainer_state.json has Hugging Face's fields only. */
export const INTERRUPTED_FILE = 'interrupted.json';
export type Interruption = {
  readonly reason: string;
  readonly step: number;
  readonly max_steps: number;
  /** Folder of the newest checkpoint; null where there is none. */
  readonly checkpoint: string | null;
};
