/** Writes run.html: at every checkpoint, at the end, and when a run stops before it. */
import { type ResolvedConfig, type SettingKey, settingKeys, wasSet } from '../config/index.ts';
import { type FileWriter, writeText } from '../formats/reader.ts';
import { type RunView, renderRunPage } from '../report/run-page.ts';
import { afterEvaluation, afterSaving, type BestState, NOTHING_YET } from '../train/best.ts';
import { checkpointName } from '../train/checkpoint-store.ts';
import { type Progress, stepsOf } from '../train/resume-file.ts';
import type { RunEvent } from './run-types.ts';

export const PAGE_FILE = 'run.html';

type Basis = Pick<RunView, 'environment' | 'command' | 'totalSteps'> & {
  readonly writer: FileWriter;
  /** With paths as they were given. */
  readonly config: ResolvedConfig;
  /** What the run goes on from. */
  readonly progress: Progress | null;
  readonly startedMs: number;
};

/** Hears a run's events, and keeps what its page shows of them. */
export class RunPage {
  readonly #basis: Basis;
  readonly #steps: RunView['steps'][number][];
  readonly #evaluations: RunView['evaluations'][number][];
  readonly #samples: RunView['samples'][number][];
  readonly #checkpoints: string[];
  #best: BestState;
  #peak: RunView['peak'] = null;
  #earlierSeconds = 0;

  constructor(basis: Basis) {
    const { progress } = basis;
    this.#basis = basis;
    this.#steps = progress === null ? [] : stepsOf(progress.steps, basis.totalSteps);
    this.#evaluations = (progress?.evaluations ?? []).map(({ step, epoch, result }) => ({ step, epoch, ...result }));
    this.#samples = [...(progress?.samples ?? [])];
    this.#checkpoints = (progress?.checkpoints ?? []).map(({ step }) => `checkpoint-${step}`);
    this.#best = progress?.best ?? NOTHING_YET;
    if (progress !== null) {
      const { train_s, eval_s, checkpoint_s } = progress.seconds;
      this.#earlierSeconds = train_s + eval_s + checkpoint_s;
    }
  }

  hear(event: RunEvent): void {
    if (event.type === 'step') this.#steps.push(event);
    else if (event.type === 'sample') for (const sample of event.samples) this.#samples.push(sample);
    else if (event.type === 'memory') this.#peak = event.byCategory;
    else if (event.type === 'eval') {
      const { step, epoch, result } = event;
      this.#evaluations.push({ step, epoch, ...result });
      if (step > 0) this.#best = afterEvaluation(this.#best, this.#basis.config.values, step, result).state;
    } else if (event.type === 'checkpoint') {
      this.#checkpoints.push(checkpointName(event.step));
      this.#best = afterSaving(this.#best, this.#checkpoints, checkpointName);
    }
  }

  /** Writes the page of a run that goes on. @throws DataError */
  write(): Promise<void> {
    const { totalSteps } = this.#basis;
    return this.#write(`after step ${this.#steps.length} of ${totalSteps}, going on when this page was written`);
  }

  /** Writes the page of a run that came to its end. @throws DataError */
  end(): Promise<void> {
    const [done, all] = [this.#steps.length, this.#basis.totalSteps];
    return this.#write(done < all ? `stopped early after step ${done} of ${all}` : `finished after step ${done}`);
  }

  /** Writes the page of a run that ended before its last step, unless it has no step. @throws DataError */
  async stop(error: unknown): Promise<void> {
    if (this.#steps.length === 0) return;
    const reason = error instanceof Error ? error.message.split('\n')[0] : String(error);
    await this.#write(`ended after step ${this.#steps.length} of ${this.#basis.totalSteps}: ${reason}`);
  }

  #write(state: string): Promise<void> {
    const { writer, config, environment, command, totalSteps, startedMs } = this.#basis;
    const page = renderRunPage({
      method: config.values.method,
      state,
      writtenAt: new Date().toISOString(),
      totalSteps,
      steps: this.#steps,
      evaluations: this.#evaluations.map(({ step, epoch, evalLoss, perplexity }) => ({
        step,
        epoch,
        evalLoss,
        perplexity,
      })),
      samples: this.#samples,
      best: this.#best.metric === null ? null : this.#best,
      settings: settingKeys.map((name) => rowOf(config, name)),
      peak: this.#peak,
      seconds: this.#earlierSeconds + (performance.now() - startedMs) / 1000,
      command,
      environment,
    });
    return writeText(writer, PAGE_FILE, page);
  }
}

function rowOf(config: ResolvedConfig, name: SettingKey): RunView['settings'][number] {
  const value = config.values[name];
  const { where, note } = config.origins[name];
  const text = typeof value === 'object' ? JSON.stringify(value) : String(value);
  return { name, value: text, where: [where, note].filter(Boolean).join(', '), isSet: wasSet(config, name) };
}
