/** The work of `nibble train`. */
import { readdir } from 'node:fs/promises';
import writeFileAtomic from 'write-file-atomic';
import { codeInfo, gpuInfo, nvidiaSmi, runtimeInfo } from '../bench/environment.ts';
import { estimatePlan } from '../bench/estimate.ts';
import { printConfig } from '../config/index.ts';
import type { MicroBatch } from '../data/batch.ts';
import { START } from '../data/batches.ts';
import { ConfigError, DeviceError } from '../errors.ts';
import { nodeReader, nodeWriter } from '../formats/node.ts';
import { chromeTrace } from '../gpu/profiler.ts';
import { formatBytes } from '../report/format.ts';
import { withAdapterSettings } from '../train/adapter-settings.ts';
import type { Engine } from '../train/engine.ts';
import { openNodeRuntime } from '../train/node.ts';
import { train, writeRunHead } from '../train/run.ts';
import { type RunInput, readRunInput } from '../train/session.ts';
import { adapterChoice } from './adapter-choice.ts';
import type { CliContext } from './context.ts';
import { createProgress } from './progress.ts';
import type { TrainArgs } from './train.ts';
import { trainProgress } from './train-progress.ts';

export async function runTrain({ config: given, profile }: TrainArgs, context: CliContext): Promise<void> {
  const config = await withAdapterSettings(given, nodeReader);
  const { values } = config;
  await requireEmpty(values.output_dir);
  const progress = createProgress(context.stderr, context.env);
  const runtime = await openNodeRuntime(adapterChoice(context.env));
  try {
    if (runtime.device.profile.software)
      progress.note(`no GPU: computing on ${runtime.device.profile.name}, a software driver`);
    const input = await readRunInput(values, runtime.readerOf);
    tellData(progress.note, input);
    // The plan without the device: what it cannot do is said before anything is written.
    const { device } = runtime;
    if (profile !== undefined && !device.profile.timestampQuery)
      throw new DeviceError(`--profile needs timestamp queries, which ${device.profile.name} lacks: leave it out`);
    const { peakBytes } = estimatePlan(input.plan, values, input.batches.shapes, device.profile, device.shaders);
    progress.note(`GPU memory needed: ${formatBytes(peakBytes)}`);
    const writer = nodeWriter(values.output_dir);
    const environment = {
      code: await codeInfo(),
      gpu: gpuInfo(runtime.device),
      nvidia_smi: await nvidiaSmi(),
      runtime: runtimeInfo(),
    };
    await writeRunHead(writer, values, printConfig(config), environment);
    const draw = trainProgress(progress, progress);
    const running = train(runtime, input, { signal: context.signal, writer });
    let next = await running.next();
    for (; !next.done; next = await running.next()) draw(next.value);
    draw(null);
    const { ledger, steps, evalAfter, engine } = next.value;
    const last =
      evalAfter === null ? `loss ${steps.at(-1)?.loss.toFixed(4)}` : `eval_loss ${evalAfter.evalLoss.toFixed(4)}`;
    context.stdout.write(
      `${values.output_dir}: ${last}, ${steps.length} steps, peak GPU memory ${formatBytes(ledger.peak.peakBytes)}\n`,
    );
    if (profile !== undefined) await writeProfile(engine, input, profile);
    engine.destroy();
  } finally {
    progress.stop();
    await runtime.close();
  }
}

/** Opens in chrome://tracing or Perfetto. */
async function writeProfile(engine: Engine, { batches }: RunInput, file: string): Promise<void> {
  const [batch] = batches.train.step(START).microBatches as [MicroBatch];
  const spans = await engine.profileStep({ ...batch, S: batch.T });
  await writeFileAtomic(file, `${JSON.stringify(chromeTrace(spans))}\n`);
}

/** A run never writes over another. */
async function requireEmpty(directory: string): Promise<void> {
  const entries = await readdir(directory).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw new ConfigError([
      { path: 'output_dir', message: `${directory} cannot be used: ${error.code}; give a new folder` },
    ]);
  });
  if (entries.length > 0) {
    throw new ConfigError([
      {
        path: 'output_dir',
        message: `${directory} is not empty (it holds ${entries[0]}); give a new folder, or empty it`,
      },
    ]);
  }
}

function tellData(
  note: (text: string) => void,
  { train: data, evaluation, batches }: Awaited<ReturnType<typeof readRunInput>>,
): void {
  note(`train: ${data.rows.length} rows, ${data.tokens.toLocaleString('en-US')} tokens, ${batches.totalSteps} steps`);
  if (evaluation.rows.length > 0)
    note(`eval: ${evaluation.rows.length} rows, ${evaluation.tokens.toLocaleString('en-US')} tokens`);
  for (const [name, set] of Object.entries({ train: data, eval: evaluation })) {
    if (set.truncatedRows > 0)
      note(`${name}: ${set.truncatedRows} rows were cut to max_length, ${set.truncatedTokens} tokens left out`);
    if (set.rowsWithoutLoss > 0) note(`${name}: ${set.rowsWithoutLoss} rows have no token to learn from`);
  }
  if (batches.padToMultipleOf > 1)
    note(`rows are padded to multiples of ${batches.padToMultipleOf} tokens, so that few shapes need a plan`);
}
