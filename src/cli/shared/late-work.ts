/** Progress of work that is mostly over before anyone would look for it. */
import type { WorkEvent } from '../../node/call.ts';
import type { CliContext } from './context.ts';
import { createProgress, type Progress, type ProgressTask } from './progress.ts';

/** Work that takes longer than this shows that it goes on. */
const QUIET_MS = 2000;

export type LateWork = {
  readonly hear: (event: WorkEvent<string>) => void;
  /** Must be called on every way out. */
  readonly stop: () => void;
};

/** Shows pieces of work on stderr once they have taken two seconds. */
export function lateWork(label: string, { stderr, env }: Pick<CliContext, 'stderr' | 'env'>): LateWork {
  const startMs = performance.now();
  let progress: Progress | null = null;
  let task: ProgressTask | null = null;
  return {
    hear: (event) => {
      if (event.type !== 'progress' || performance.now() - startMs < QUIET_MS) return;
      progress ??= createProgress(stderr, env);
      task ??= progress.start(label);
      task.advance(1, event.label);
    },
    stop: () => progress?.stop(),
  };
}
