/** Makes one run of a suite in a process of its own, and leaves its record whether it ends well or not. */
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { writeText } from '../formats/reader.ts';
import { runScript } from '../node/child.ts';
import { nodeWriter } from '../node/files.ts';
import type { HubEvent } from '../node/hub-access.ts';
import type { TrainEvent } from '../train/events.ts';
import { failedRecord, type RunFailure } from './failed-record.ts';
import type { RunJob } from './job.ts';
import type { WorkerMessage } from './worker.ts';

/** Kind of error for a run whose process ended by itself without a message, which is a bug. */
export const CRASH = 'Crash';
/** Kind of error for a run whose process the system or its driver ended: a signal came from outside. */
export const KILLED = 'Killed';

export const WORKER = fileURLToPath(new URL('./worker.js', import.meta.url));

/** The device is not the one that the suite's other runs were made on. */
export class OtherDevice extends Error {}

export type Surroundings = {
  readonly worker: string;
  readonly signal: AbortSignal;
  readonly onDevice: (name: string) => void;
  readonly onEvent: (event: TrainEvent | HubEvent) => void;
};

/** Runs one job and leaves its record, whether it ends well or not. @throws OtherDevice; the signal's reason */
export async function runOrRecord(job: RunJob, surroundings: Surroundings): Promise<void> {
  const createdAt = new Date().toISOString();
  const started = performance.now();
  const failure = await runInChild(job, surroundings);
  if (failure === null) return;
  const record = await failedRecord(job, failure, { createdAt, totalSeconds: (performance.now() - started) / 1000 });
  const { dir, base } = path.parse(job.recordFile);
  await writeText(nodeWriter(dir), base, `${JSON.stringify(record, null, 2)}\n`);
}

/**
 * Runs a job in a process of its own, with which Dawn's memory goes, and in which no other arm has warmed a cache.
 * @returns what went wrong; null where nothing did
 */
async function runInChild(
  job: RunJob,
  { worker, signal, onDevice, onEvent }: Surroundings,
): Promise<RunFailure | null> {
  signal.throwIfAborted();
  const ended = await runScript<WorkerMessage>(worker, {
    job,
    output: 'inherited',
    signal,
    onMessage: (message) => {
      if (message.kind === 'event') onEvent(message.event);
      if (message.kind === 'device') onDevice(message.name);
    },
    isLast: ({ kind }) => kind !== 'event' && kind !== 'device',
  });
  signal.throwIfAborted();
  const { message: ending, code, signal: how } = ended;
  if (ending?.kind === 'other-device') throw new OtherDevice(ending.message);
  if (ending?.kind === 'failed') return { kind: ending.name, message: ending.message, stack: ending.stack };
  if (ending !== null) return null;
  const message = `its process ended with ${how ?? `code ${code}`} and no word of why${how === null ? '' : hintOf(how)}`;
  return { kind: how === null ? CRASH : KILLED, message, stack: null };
}

function hintOf(signal: NodeJS.Signals): string {
  if (signal === 'SIGKILL')
    return ' (the system may have had no memory left: lower per_device_train_batch_size or max_length)';
  if (signal === 'SIGSEGV' || signal === 'SIGABRT' || signal === 'SIGBUS')
    return ' (a driver may have crashed: nibble doctor tries it, NIBBLE_DEVICE chooses another)';
  return ' (somebody sent it)';
}
