/** Node's way to stop JavaScript that runs too long, regular expressions included; patterns are limited by it. */
import { type Context, createContext, Script } from 'node:vm';
import { limitTimeBy } from '../formats/time-limit.ts';

const script = new Script('run()');
let context: Context | undefined;

/** Runs `work` for `limitMs` at most; starting the clock costs about 30 microseconds. @returns whether it came to its end */
export function endsInTime(work: () => void, limitMs: number): boolean {
  context ??= createContext({ run: null });
  context.run = work;
  try {
    script.runInContext(context, { timeout: limitMs });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_SCRIPT_EXECUTION_TIMEOUT') return false;
    throw error;
  } finally {
    context.run = null;
  }
}

limitTimeBy(endsInTime);
