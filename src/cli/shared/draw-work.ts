/** Draws the phases and notes of work that tells its progress tensor by tensor. */
import type { WorkEvent } from '../../node/call.ts';
import type { Progress, ProgressTask } from './progress.ts';

/** Makes a listener; a phase ends with its last piece. */
export function drawWork(progress: Progress): (event: WorkEvent<string>) => void {
  let task: ProgressTask | null = null;
  let left = 0;
  return (event) => {
    if (event.type === 'phase') {
      left = event.total;
      task = progress.start(event.phase === 'download' ? 'download (MiB)' : event.phase, event.total);
    } else if (event.type === 'progress') {
      task?.advance();
      if (--left === 0) task?.finish();
    } else progress.note(event.text);
  };
}
