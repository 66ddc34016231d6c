/** What a training run is given besides its input: where results and checkpoints go, and what it goes on from. */
import type { FileReader, FileWriter } from '../formats/reader.ts';
import type { CheckpointStore } from './checkpoint-store.ts';
import type { LogRow } from './events.ts';
import type { ResumeFile } from './resume-file.ts';

/** A checkpoint that a run goes on from. */
export type ResumePoint = { readonly name: string; readonly reader: FileReader; readonly file: ResumeFile };

export type TrainOptions = {
  readonly signal: AbortSignal;
  /** Folder for the results; null keeps nothing. */
  readonly writer: FileWriter | null;
  /** Where checkpoints are saved; left out, none are. */
  readonly checkpoints?: CheckpointStore | null;
  /** What the run is made from; every checkpoint has it. */
  readonly origin?: Pick<ResumeFile, 'nibble_version' | 'run'>;
  readonly resume?: ResumePoint | null;
  /** Told of every row of the log as it is made. */
  readonly onLogRow?: (row: LogRow) => void;
  /** When max_minutes began, by `performance.now`; now by default. */
  readonly startedMs?: number;
};
