/** nibble's library: train, estimate and measure from TypeScript. What is not exported here is private. */

export { loadTrainConfig, type ResolvedConfig, type TrainConfig } from './config/index.ts';
export { ConfigError, DataError, DeviceError, KernelCallError } from './errors.ts';
export { type Estimate, estimateModel } from './estimate/estimate.ts';
export { type ModelConfig, parseModelConfig } from './formats/hf-config.ts';
export type { FileReader, FileWriter } from './formats/reader.ts';
export { type DeviceProfile, KNOWN_PROFILES } from './gpu/device-profile.ts';
export { loadShaders } from './node/device.ts';
export type { DeviceChoice } from './node/device-choice.ts';
export { nodeReader, nodeWriter } from './node/files.ts';
export {
  type DatasetOption,
  type FinetuneEvent,
  type FinetuneOptions,
  type FinetuneResult,
  finetune,
  type TrainRow,
} from './node/finetune.ts';
export type { Evaluation, RunPaths } from './node/run-types.ts';
export { type NodeRuntime, openNodeRuntime } from './node/runtime.ts';
export { type RunRecord, runSchema } from './results/run-schema.ts';
export type { EvalResult, StepEvent, Timing, TrainEvent } from './train/events.ts';
export { type TrainOptions, type TrainResult, train } from './train/run.ts';
export { type RunInput, type Runtime, readRunInput } from './train/session.ts';
