/** A limit on the time of work whose end nobody can foresee: matching the patterns that files and settings hold. */

/** Runs `work`, and tells whether it came to its end; what it throws passes through. */
type Stopper = (work: () => void, limitMs: number) => boolean;

let stopper: Stopper | null = null;

/** Takes the platform's way to stop JavaScript. Where none was given, as in a browser, work takes as long as it takes. */
export function limitTimeBy(platform: Stopper): void {
  stopper = platform;
}

/** @throws what `work` throws; `late()` where it was stopped, which no catch or finally inside it hears of */
export function withinTime<T>(limitMs: number, work: () => T, late: () => Error): T {
  if (stopper === null) return work();
  let result: { readonly value: T } | null = null;
  const store = (): void => {
    result = { value: work() };
  };
  if (!stopper(store, limitMs)) throw late();
  return (result as unknown as { readonly value: T }).value;
}
