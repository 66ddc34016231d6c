/** Entry of a run's own process: takes a job from its parent, and sends back events and how it ended. */
import { exitCodeOf } from '../errors.ts';
import type { HubEvent } from '../node/hub-access.ts';
import { run } from '../node/run.ts';
import type { RunEvent } from '../node/run-types.ts';
import { endWithParent } from '../node/watch.ts';
import type { TrainEvent } from '../train/events.ts';
import { otherDevice } from './device-state.ts';
import type { RunJob } from './job.ts';

/** Messages from child to parent. */
export type WorkerMessage =
  | { readonly kind: 'event'; readonly event: TrainEvent | HubEvent }
  | { readonly kind: 'device'; readonly name: string }
  | { readonly kind: 'other-device'; readonly message: string }
  | { readonly kind: 'done' }
  | {
      readonly kind: 'failed';
      /** Class of the error. */
      readonly name: string;
      readonly message: string;
      /** Null for errors that the user can mend. */
      readonly stack: string | null;
    };

const controller = new AbortController();
process.on('SIGTERM', () => controller.abort(new Error('stopped')));
// a terminal sends SIGINT to the whole group; the parent decides what becomes of its children
process.on('SIGINT', () => undefined);
// the parent is gone; process.exit would take the device down first, which was seen to hang (webgpu 0.6.2)
const orphaned = (): boolean => process.kill(process.pid, 'SIGKILL');
process.on('disconnect', orphaned);
if (!process.connected) orphaned();
// the same where this thread is too busy to hear of it
endWithParent();

// Nobody reads them any more: no reason to end in the middle of a step.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined);

const send = (message: WorkerMessage): void => {
  process.send?.(message);
};

process.once('message', (job: RunJob) => {
  void work(job);
});

/** Runs the job and tells how it ended. The parent kills this process then, so nothing is closed here. */
async function work({ config, device, recordFile, profileFile, mustBe = null, ...place }: RunJob): Promise<void> {
  const { signal } = controller;
  const onEvent = (event: RunEvent): void => tell(event, mustBe);
  const files = { recordFile, profileFile: profileFile ?? undefined };
  await run(config, { place, device, ...files, signal, startedMs: 0, onEvent }).catch(fail);
}

function tell(event: RunEvent, mustBe: string | null): void {
  switch (event.type) {
    case 'device':
      // told before anything is written, and the parent ends this process
      if (mustBe !== null && event.name !== mustBe)
        send({ kind: 'other-device', message: otherDevice(mustBe, event.name) });
      else send({ kind: 'device', name: event.name });
      return;
    case 'data':
    case 'plan':
    case 'advice':
      return; // the same for all runs of an arm
    case 'log':
      return; // a suite shows the steps
    case 'end':
      // told before the device closes, which was seen to hang (webgpu 0.6.2)
      if (event.error === null) send({ kind: 'done' });
      else fail(event.error);
      return;
    default:
      send({ kind: 'event', event });
  }
}

function fail(error: unknown): void {
  const { name, message, stack } = error as Error;
  send({ kind: 'failed', name, message, stack: exitCodeOf(error) === 1 ? (stack ?? message) : null });
}
