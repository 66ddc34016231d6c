/** Where checkpoints lie. node/checkpoint-store.ts keeps them in folders of the run's own. */
import type { FileReader, FileWriter } from '../formats/reader.ts';

/** Files of a checkpoint that were written, by name. */
export type WrittenFiles = Readonly<Record<string, { readonly bytes: number; readonly sha256: string }>>;

export type CheckpointWriter = FileWriter & {
  /** What was written so far. */
  written(): WrittenFiles;
};

/** Checkpoints of one run, by the names of their folders. */
export interface CheckpointStore {
  /** As messages and trainer_state.json name it. */
  pathOf(name: string): string;
  /** Complete ones, the oldest first. */
  names(): Promise<readonly string[]>;
  /**
   * Writes a checkpoint beside its place and puts it there once it is complete and on the disk; one of the same name gives way.
   * @throws what `fill` throws, with nothing left of it
   */
  write(name: string, fill: (folder: CheckpointWriter) => Promise<void>): Promise<void>;
  reader(name: string): FileReader;
  remove(name: string): Promise<void>;
}

/** Name of a checkpoint's folder, as transformers gives it. */
export const checkpointName = (step: number): string => `checkpoint-${step}`;

/** Step of a folder with such a name; null for any other. */
export function stepOfCheckpoint(name: string): number | null {
  const step = /^checkpoint-(\d{1,15})$/.exec(name)?.[1];
  return step === undefined ? null : Number(step);
}

/**
 * Deletes the oldest checkpoints as transformers' rotate_checkpoints does: the one just written and the best one stay, and so
 * at least these two.
 */
export async function rotateCheckpoints(
  store: CheckpointStore,
  { limit, newest, best }: { readonly limit: number | null; readonly newest: string; readonly best: string | null },
): Promise<void> {
  if (limit === null) return;
  const names = await store.names();
  const kept = new Set(best === null ? [newest] : [newest, best]);
  let left = names.length;
  for (const name of names) {
    if (left <= Math.max(limit, kept.size)) return;
    if (kept.has(name)) continue;
    await store.remove(name);
    left--;
  }
}
