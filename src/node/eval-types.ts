/** What an evaluation is asked, told and made of, by names that its front door may show. */
import type { EvalConfig } from '../config/eval.ts';
import type { WorkEvent } from './call.ts';
import type { DeviceChoice } from './device-choice.ts';
import type { NamedFolder } from './prompts.ts';

export type EvalEvent = WorkEvent<'download' | 'load' | 'compile' | 'evaluate'>;

/** A model of the table: the base, or an adapter on it. */
export type EvalEntry = {
  readonly name: string;
  /** Name of the adapter; null for the base. */
  readonly adapter: string | null;
  /** Number of the adapter among the engine's; 0 for the base. */
  readonly number: number;
  readonly base: 'dense' | '4bit';
};

export type EvalJob = {
  readonly model: string;
  /** What messages call the model's folder. */
  readonly modelName: string;
  readonly adapters: readonly NamedFolder[];
  readonly config: EvalConfig;
  readonly device?: DeviceChoice | undefined;
};

export type Listener = Required<{ readonly onEvent: (event: EvalEvent) => void; readonly signal: AbortSignal }>;
