/** How fast a run goes, and how long it will still take, from its own events. */
import type { HubEvent } from '../../node/hub-access.ts';
import type { StepEvent, TrainEvent } from '../../train/events.ts';

/** Steps that the speed shown is the mean of. */
const WINDOW = 20;

export class Pace {
  readonly #recent: StepEvent[] = [];
  #steps = 0;
  #busyMs = 0;

  /** Takes in a step, or an evaluation, which is part of the time that steps take. */
  hear(event: TrainEvent | HubEvent): void {
    if (event.type === 'eval' && event.step > 0) this.#busyMs += event.result.seconds * 1000;
    if (event.type !== 'step') return;
    this.#recent.push(event);
    if (this.#recent.length > WINDOW) this.#recent.shift();
    this.#steps++;
    this.#busyMs += event.stepMs;
  }

  /** Tokens without padding of the last steps. */
  get tokensPerSecond(): number {
    return tokensPerSecond(this.#recent);
  }

  /** Milliseconds from a step to the last one, evaluations in between included. */
  leftMs({ step, totalSteps }: StepEvent): number {
    return (this.#busyMs / this.#steps) * (totalSteps - step);
  }
}

/** Tokens without padding of steps, over the time they took. */
export function tokensPerSecond(steps: readonly StepEvent[]): number {
  const tokens = steps.reduce((sum, step) => sum + step.tokens, 0);
  return tokens / (steps.reduce((sum, { stepMs }) => sum + stepMs, 0) / 1000);
}
