/** A run before its first step: loads weights, compiles pipelines meanwhile, and warms both up. */
import { trainableParametersLine } from '../adapters/files.ts';
import type { LoadTimes } from '../model/load.ts';
import type { Engine } from './engine.ts';
import type { Timing, TrainEvent } from './events.ts';
import { loadNote, NOTHING_LOADED, type Timed, timed } from './load-times.ts';
import { countParameters } from './model-layout.ts';
import { startsByPissa } from './pissa.ts';
import { allocate, fill, initialize, type RunInput, type Runtime } from './session.ts';

type Preparing = {
  readonly runtime: Runtime;
  readonly input: RunInput;
  readonly signal: AbortSignal;
  /** Filled in. */
  readonly timing: Timing;
};

type Prepared = { readonly engine: Engine } & Pick<LoadTimes, 'quantErrors'>;

/**
 * Allocates and fills an engine. Pipelines are compiled while weights are loaded; the weights decide when the phase ends.
 * @throws DataError, DeviceError; the signal's reason
 */
export async function* prepareEngine(preparing: Preparing): AsyncGenerator<TrainEvent, Prepared> {
  const { runtime, input, timing } = preparing;
  const started = performance.now();
  const engine = await allocate(runtime, input);
  const compiling = timed(engine.compile());
  let { quantErrors } = NOTHING_LOADED;
  try {
    const { quantizeSeconds, quantizeBusySeconds, ...times } = yield* load(preparing, engine, compiling);
    quantErrors = times.quantErrors;
    const loaded = performance.now();
    timing.quantize_s = quantizeSeconds;
    timing.quantize_busy_s = quantizeBusySeconds;
    timing.load_s = (loaded - started) / 1000 - quantizeSeconds;
    yield* compile(preparing, engine, compiling, loaded);
  } finally {
    // A run that stops here closes the device next.
    await compiling.ended;
  }
  yield* warmUp(preparing, engine);
  return { engine, quantErrors };
}

async function* load(
  { runtime, input, signal }: Preparing,
  engine: Engine,
  compiling: Timed<void>,
): AsyncGenerator<TrainEvent, LoadTimes> {
  const { declared } = engine;
  const { layout, config } = input;
  const decomposed = startsByPissa(config) ? (layout.lora?.layout.targets.length ?? 0) : 0;
  yield { type: 'phase', phase: 'load', total: decomposed + declared.weights.size + declared.vectors.size };
  const filling = fill(runtime, input, engine, signal);
  try {
    let next = await filling.next();
    for (; !next.done; next = await filling.next()) {
      signal.throwIfAborted();
      // What does not compile need not wait for gigabytes.
      compiling.throwIfFailed();
      yield { type: 'progress', phase: 'load', label: next.value };
    }
    return next.value;
  } finally {
    await filling.return(NOTHING_LOADED);
  }
}

async function* compile(
  { input, signal, timing }: Preparing,
  engine: Engine,
  compiling: Timed<void>,
  loaded: number,
): AsyncGenerator<TrainEvent, void> {
  yield { type: 'phase', phase: 'compile', total: 0 };
  await compiling.result;
  const { from, to } = await compiling.ended;
  timing.compile_overlapped_s = (Math.min(to, loaded) - from) / 1000;
  await initialize(input, engine);
  timing.compile_s = secondsSince(loaded);
  signal.throwIfAborted();
  yield { type: 'note', text: loadNote(timing) };
  const { trainable, all } = countParameters(input.layout);
  yield { type: 'note', text: trainableParametersLine(trainable, all) };
}

async function* warmUp({ signal, timing }: Preparing, engine: Engine): AsyncGenerator<TrainEvent, void> {
  yield { type: 'phase', phase: 'warmup', total: engine.warmUpNames.length };
  const started = performance.now();
  for await (const label of engine.warmUp()) {
    signal.throwIfAborted();
    yield { type: 'progress', phase: 'warmup', label };
  }
  timing.warmup_s = secondsSince(started);
}

export function secondsSince(started: number): number {
  return (performance.now() - started) / 1000;
}
