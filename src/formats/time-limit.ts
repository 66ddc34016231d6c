/** A limit on the time of work whose end nobody can foresee: matching the patterns that files and settings hold. */

/** Runs `work`, and tells whether it came to its end; what it throws passes through. */
type Stopper = (work: () => void, limitMs: number) => boolean;

let stopper: Stopper | null = null;
/** Whether a clock runs already: within it, others are not worth their start. */
let isRunning = false;

/** Takes the platform's way to stop JavaScript. Where none was given, as in a browser, work takes as long as it takes. */
export function limitTimeBy(platform: Stopper): void {
  stopper = platform;
}

/** Inside another call's work, that one's limit holds alone. @throws what `work` throws; `late()` where it was stopped, which no catch or finally inside it hears of */
export function withinTime<T>(limitMs: number, work: () => T, late: () => Error): T {
  if (stopper === null || isRunning) return work();
  let result: { readonly value: T } | null = null;
  const store = (): void => {
    result = { value: work() };
  };
  isRunning = true;
  try {
    if (!stopper(store, limitMs)) throw late();
  } finally {
    isRunning = false;
  }
  return (result as unknown as { readonly value: T }).value;
}
