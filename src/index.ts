/** nibble's library: train, estimate and measure from TypeScript. What is not exported here is private. */
export { type Estimate, estimateModel } from './bench/estimate.ts';
export { type RunRecord, runSchema } from './bench/schema.ts';
export { loadTrainConfig, type ResolvedConfig, type TrainConfig } from './config/index.ts';
export { ConfigError, DataError, DeviceError, KernelCallError } from './errors.ts';
export { type ModelConfig, parseModelConfig } from './formats/hf-config.ts';
export { nodeReader, nodeWriter } from './formats/node.ts';
export type { FileReader, FileWriter } from './formats/reader.ts';
export { type DeviceProfile, KNOWN_PROFILES } from './gpu/device-profile.ts';
export { type AdapterChoice, loadShaders } from './gpu/node.ts';
export type { EvalResult } from './train/evaluate.ts';
export type { TrainEvent } from './train/events.ts';
export { type NodeRuntime, openNodeRuntime } from './train/node.ts';
export { type TrainOptions, type TrainResult, train } from './train/run.ts';
export { type RunInput, type Runtime, readRunInput } from './train/session.ts';
