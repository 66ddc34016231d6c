/** What a run is asked for, what it tells, and what it returns: plain data, without a name of WebGPU's. */
import type { CategoryBytes } from '../gpu/category.ts';
import type { RunRecord } from '../results/run-schema.ts';
import type { EvalResult, StepEvent, Timing, TrainEvent } from '../train/events.ts';
import type { DeviceChoice } from './device-choice.ts';
import type { FreeBytes } from './disk.ts';

/** What a run tells, in order: its device, its data, its plan, its training, and that it ended. `notes` are for a person. */
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
      /** What the run will need of the GPU at its peak. */
      readonly peakBytes: number;
      readonly byCategory: CategoryBytes;
      readonly notes: readonly string[];
    }
  | TrainEvent
  /** All that is kept is on the disk; the device closes next. */
  | { readonly type: 'end'; readonly error: unknown };

/** Where a run belongs among others: the first fields of its record. */
export type RunPlace = {
  readonly suite: string;
  readonly arm: string;
  readonly replicate: number;
  readonly division: 'closed' | 'open';
  /** The command that repeats it; empty where a program asked. */
  readonly command: readonly string[];
};

/** Rows that are no file: JSON lines, and the file of the run's folder that keeps them. */
export type RowsInMemory = { readonly bytes: Uint8Array; readonly file: string };

export type RunOptions = {
  readonly place: RunPlace;
  readonly device: DeviceChoice;
  readonly signal: AbortSignal;
  readonly onEvent: (event: RunEvent) => void;
  /** Receives the record; run.json in the run's folder where it is left out. */
  readonly recordFile?: string;
  /** Receives the GPU times of one more step, as a Chrome trace. */
  readonly profileFile?: string | undefined;
  /** Injected by tests. */
  readonly freeBytes?: FreeBytes;
  /** False keeps nothing on the disk: neither folder nor record. */
  readonly keep?: boolean;
  /** By the path that the configuration and messages call them. */
  readonly rows?: ReadonlyMap<string, RowsInMemory>;
};

export type Evaluation = { readonly step: number; readonly epoch: number; readonly result: EvalResult };

/** Absolute paths of what a run keeps. */
export type RunPaths = {
  readonly outputDir: string;
  /** adapter_model.safetensors; null in full training, which leaves a model directory. */
  readonly adapterFile: string | null;
  readonly recordFile: string;
};

export type RunOutcome = {
  readonly steps: readonly StepEvent[];
  /** In order; the one before the first step has step 0. */
  readonly evaluations: readonly Evaluation[];
  readonly timing: Timing;
  readonly trainableParams: number;
  readonly allParams: number;
  /** Live bytes of all GPU buffers at their peak, and what they were for. */
  readonly peakBytes: number;
  readonly byCategory: CategoryBytes;
  /** Null where nothing is kept. */
  readonly paths: RunPaths | null;
  /** As it is written to run.json. */
  readonly record: RunRecord;
};
