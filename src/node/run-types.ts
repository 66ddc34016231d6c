/** Options, events and outcome of a run: plain data, whose types name nothing of WebGPU. */
import type { TrainConfig } from '../config/index.ts';
import type { CategoryBytes } from '../gpu/category.ts';
import type { RunRecord } from '../results/run-schema.ts';
import type { Evaluation, LogRow, Sample, StepEvent, Timing, TrainEvent } from '../train/events.ts';
import type { DeviceChoice } from './device-choice.ts';
import type { FreeBytes } from './disk.ts';
import type { HubEvent } from './hub-access.ts';

/** Events of a run, in order: device, data, plan, advice, training, end. `notes` are lines for a person. */
export type RunEvent =
  | { readonly type: 'device'; readonly name: string; readonly software: boolean; readonly notes: readonly string[] }
  | {
      readonly type: 'data';
      readonly trainRows: number;
      readonly evalRows: number;
      readonly totalSteps: number;
      readonly notes: readonly string[];
    }
  | {
      readonly type: 'plan';
      /** GPU memory that the run needs at its peak. */
      readonly peakBytes: number;
      readonly byCategory: CategoryBytes;
      readonly notes: readonly string[];
    }
  | TrainEvent
  | HubEvent
  /** A row of log.jsonl: Trainer's names and means, every logging_steps and at evaluations. */
  | { readonly type: 'log'; readonly row: LogRow }
  /** The last event: all that is kept is on the disk, and the device closes next. */
  | { readonly type: 'end'; readonly error: unknown };

/** Place of a run among others: the first fields of its record. */
export type RunPlace = {
  readonly suite: string;
  readonly arm: string;
  /** Settings that the arms of a suite share; null, or absent, outside cases. */
  readonly case?: string | null;
  readonly replicate: number;
  readonly division: 'closed' | 'open';
  /** Command that repeats it; empty where a program called. */
  readonly command: readonly string[];
  /** Part of a suite that the run belongs to, i from 1; absent where the suite is whole. */
  readonly shard?: Shard | null;
  /** Identity of what a suite asked for, by which it finds the run again. */
  readonly planId?: string;
  /** What the record calls model, adapter, rows, template and folder, where paths of this machine mean nothing to others. */
  readonly names?: Partial<TrainConfig>;
  /** Evaluation loss whose time of arrival is recorded. */
  readonly target?: { readonly eval_loss: number } | null;
};

export type Shard = { readonly i: number; readonly n: number };

/** Rows from memory as JSON lines, and the file of the run's folder that keeps them. */
export type RowsInMemory = { readonly bytes: Uint8Array; readonly file: string };

export type RunOptions = {
  readonly place: RunPlace;
  readonly device: DeviceChoice;
  readonly signal: AbortSignal;
  readonly onEvent: (event: RunEvent) => void;
  /** File for the record; by default run.json in the run's folder. */
  readonly recordFile?: string;
  /** File for the GPU times of one more step, as a Chrome trace. */
  readonly profileFile?: string | undefined;
  /**
   * When the run's time began, by `performance.now`: 0 where the process exists for the run alone, so that loading its code
   * counts; the moment of the call by default.
   */
  readonly startedMs?: number;
  /** Injected by tests. */
  readonly freeBytes?: FreeBytes;
  /** Whether folder and record are written; true by default. */
  readonly keep?: boolean;
  /** Rows from memory, by the path that stands for them in the configuration and in messages. */
  readonly rows?: ReadonlyMap<string, RowsInMemory>;
};

export type { Evaluation };

/** Absolute paths of what a run keeps. */
export type RunPaths = {
  readonly outputDir: string;
  /** adapter_model.safetensors; null in full training, which leaves a model directory. */
  readonly adapterFile: string | null;
  readonly recordFile: string;
  /** Folder of the best checkpoint; null where evaluations are not compared, or none was saved. */
  readonly bestCheckpoint: string | null;
};

export type RunOutcome = {
  readonly steps: readonly StepEvent[];
  /** Evaluations in order; the one before the first step has step 0. */
  readonly evaluations: readonly Evaluation[];
  /** Texts of eval_generate in order; those before the first step have step 0. */
  readonly samples: readonly Sample[];
  readonly timing: Timing;
  readonly trainableParams: number;
  readonly allParams: number;
  /** Live bytes of all GPU buffers at their peak, in all and by category. */
  readonly peakBytes: number;
  readonly byCategory: CategoryBytes;
  /** Null where nothing is kept. */
  readonly paths: RunPaths | null;
  /** The content of run.json. */
  readonly record: RunRecord;
};
