/** The work of `nibble train`. */
import writeFileAtomic from 'write-file-atomic';
import { printConfig, wasSet } from '../../config/index.ts';
import type { MicroBatch } from '../../data/batch.ts';
import { START } from '../../data/batches.ts';
import { DeviceError } from '../../errors.ts';
import { estimateThatFits } from '../../estimate/fit.ts';
import { chromeTrace } from '../../gpu/profiler.ts';
import { codeInfo, gpuInfo, nvidiaSmi, runtimeInfo } from '../../node/environment.ts';
import { nodeReader, nodeWriter } from '../../node/files.ts';
import { requireInputs, withAbsolutePaths } from '../../node/inputs.ts';
import { openNodeRuntime } from '../../node/runtime.ts';
import { formatBytes } from '../../report/format.ts';
import { withAdapterSettings } from '../../train/adapter-settings.ts';
import type { Engine } from '../../train/engine.ts';
import { train, writeRunHead } from '../../train/run.ts';
import { type RunInput, readRunInput } from '../../train/session.ts';
import { runTiers } from '../../train/tiers.ts';
import type { CliContext } from '../shared/context.ts';
import { deviceChoice } from '../shared/device-choice.ts';
import { requireUsable } from '../shared/output-folder.ts';
import { createProgress } from '../shared/progress.ts';
import { counted, tellRun, tellTiers } from '../shared/tell-run.ts';
import { trainProgress } from '../shared/train-progress.ts';
import type { TrainArgs } from './command.ts';
import { logRows } from './log.ts';

export async function runTrain({ config: given, profile }: TrainArgs, context: CliContext): Promise<void> {
  const { output_dir } = given.values;
  await requireInputs(given);
  await requireUsable(output_dir);
  const config = withAbsolutePaths(await withAdapterSettings(given, nodeReader));
  const { values } = config;
  const progress = createProgress(context.stderr, context.env);
  const runtime = await openNodeRuntime(deviceChoice(context.env));
  try {
    if (runtime.device.profile.software)
      progress.note(`no GPU: computing on ${runtime.device.profile.name}, a software driver`);
    for (const notice of runtime.device.notices) progress.note(notice);
    const input = await readRunInput(values, runtime.readerOf);
    context.signal.throwIfAborted();
    tellRun(progress.note, input, wasSet(config, 'max_length'));
    // The plan without the device: what it cannot do is said before anything is written.
    const { device } = runtime;
    if (profile !== undefined && !device.profile.timestampQuery)
      throw new DeviceError(`--profile needs timestamp queries, which ${device.profile.name} lacks: leave it out`);
    const tiers = runTiers(device.profile, values, input.plan.spec.config.head_dim);
    for (const line of tellTiers(tiers)) progress.note(line);
    const { peakBytes } = await estimateThatFits(input, device);
    progress.note(`GPU memory needed: ${formatBytes(peakBytes)}`);
    const writer = nodeWriter(output_dir);
    const environment = {
      code: await codeInfo(),
      gpu: gpuInfo(runtime.device),
      ...tiers,
      tiles: device.profile.tiles ?? null,
      nvidia_smi: await nvidiaSmi(),
      runtime: runtimeInfo(),
    };
    await writeRunHead(writer, printConfig(config), environment);
    const draw = trainProgress(progress, progress, logRows(values.logging_steps));
    const running = train(runtime, input, { signal: context.signal, writer });
    let next = await running.next();
    for (; !next.done; next = await running.next()) draw(next.value);
    draw(null);
    const { ledger, steps, evalAfter, engine } = next.value;
    const last =
      evalAfter === null ? `loss ${steps.at(-1)?.loss.toFixed(4)}` : `eval_loss ${evalAfter.evalLoss.toFixed(4)}`;
    context.stdout.write(
      `${output_dir}: ${last}, ${counted(steps.length, 'step')}, peak GPU memory ${formatBytes(ledger.peak.peakBytes)}\n`,
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
  const spans = await engine.profileStep(batch);
  await writeFileAtomic(file, `${JSON.stringify(chromeTrace(spans))}\n`);
}
