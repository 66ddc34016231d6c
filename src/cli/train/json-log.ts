/** The events of a run as JSON lines. */
import { flagMessages } from '../../kernels/flags.ts';
import type { RunEvent } from '../../node/run-types.ts';
import type { WriteEvent } from '../shared/json-lines.ts';
import { skipMessage } from '../shared/train-progress.ts';

/** Returns a listener; a `log` line has the names of log.jsonl, whose row it is. */
export function jsonLog(write: WriteEvent): (event: RunEvent) => void {
  const note = (text: string): void => write('note', { text });
  let totalSteps = 0;
  return (event) => {
    switch (event.type) {
      case 'device':
        write('device', { name: event.name, software: event.software });
        event.notes.forEach(note);
        break;
      case 'data':
        totalSteps = event.totalSteps;
        write('data', { train_rows: event.trainRows, eval_rows: event.evalRows, total_steps: totalSteps });
        event.notes.forEach(note);
        break;
      case 'plan':
        write('plan', { peak_bytes: event.peakBytes, by_category: event.byCategory });
        event.notes.forEach(note);
        break;
      case 'advice':
        write('advice', { code: event.code, path: event.path, message: event.message, fix: event.fix });
        break;
      case 'phase':
        write('phase', { phase: event.phase });
        break;
      case 'log':
        write('log', { total_steps: totalSteps, ...event.row });
        break;
      case 'sample':
        write('sample', { step: event.step, samples: event.samples });
        break;
      case 'step':
        if (!event.finite) note(skipMessage(event));
        for (const what of flagMessages(event.flags)) note(`step ${event.step}: ${what}`);
        break;
      case 'checkpoint':
        write('checkpoint', { step: event.step, path: event.path, is_best: event.isBest, is_stop: event.isStop });
        break;
      case 'note':
        note(event.text);
        break;
      default: // progress within a phase, evaluations (which are rows of the log), and the end, which the command tells
    }
  };
}
