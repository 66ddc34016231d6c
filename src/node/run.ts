/** One run in a process of its own: trains, measures, writes its folder and its JSON. */
import { stat } from 'node:fs/promises';
import path from 'node:path';
import { ADAPTER_FILE } from '../adapters/files.ts';
import type { RunJob } from '../bench/job.ts';
import { printConfig } from '../config/index.ts';
import { estimateThatFits } from '../estimate/fit.ts';
import { writeText } from '../formats/reader.ts';
import type { RunRecord } from '../results/run-schema.ts';
import { withAdapterSettings } from '../train/adapter-settings.ts';
import type { TrainEvent } from '../train/events.ts';
import { train, writeRunHead } from '../train/run.ts';
import { readRunInput } from '../train/session.ts';
import { codeInfo, gpuInfo, nvidiaSmi, runtimeInfo, sha256OfFile } from './environment.ts';
import { nodeReader, nodeWriter } from './files.ts';
import { driverMemory } from './gpu-memory.ts';
import { withAbsolutePaths } from './inputs.ts';
import { readMaterial } from './material.ts';
import { packageManifest } from './package-root.ts';
import { runRecord } from './record.ts';
import { openNodeRuntime } from './runtime.ts';

/**
 * Trains as the job says; yields the events of training. The device stays open: it ends with the process.
 * @throws as train() does; the record is then not written
 */
export async function* runOne(job: RunJob, signal: AbortSignal): AsyncGenerator<TrainEvent, RunRecord> {
  const started = performance.now();
  const createdAt = new Date().toISOString();
  const config = await withAdapterSettings(job.config, nodeReader);
  const { values } = config;
  const runtime = await openNodeRuntime(job.device);
  const input = await readRunInput(values, runtime.readerOf);
  const { device } = runtime;
  const predicted = await estimateThatFits(input, device, driverMemory);
  const material = await readMaterial(values);
  const meta = {
    model_info: material.modelInfo,
    dataset_info: material.datasetInfo,
    gpu: gpuInfo(device),
    nvidia_smi: await nvidiaSmi(),
    runtime: runtimeInfo(),
    package_info: { ...packageManifest().dependencies },
  };
  const code = await codeInfo();
  const writer = nodeWriter(values.output_dir);
  await writeRunHead(writer, printConfig(withAbsolutePaths(config)), { code, ...meta });
  const result = yield* train(runtime, input, { signal, writer });
  const adapter = path.join(values.output_dir, ADAPTER_FILE);
  const saved = input.plan.lora !== null;
  const record = runRecord(
    {
      ...{ suite: job.suite, arm: job.arm, replicate: job.replicate, division: job.division, command: job.command },
      ...{ createdAt, code, material, meta, predicted },
      totalSeconds: (performance.now() - started) / 1000,
      adapterBytes: saved ? (await stat(adapter)).size : null,
      adapterSha256: saved ? await sha256OfFile(adapter) : null,
    },
    input,
    result,
  );
  const directory = path.dirname(job.recordFile);
  await writeText(nodeWriter(directory), path.basename(job.recordFile), `${JSON.stringify(record, null, 2)}\n`);
  return record;
}
