/**
 * nibble's library in Node: fine-tune, estimate, quantize, generate, evaluate, merge and export from TypeScript. Everything that it
 * does not export is private.
 */

export { loadTrainConfig, type ResolvedConfig, type TrainConfig, type TrainSettings } from './config/index.ts';
export { ConfigError, type ConfigProblem, DataError, DeviceError, KernelCallError, RunStopped } from './errors.ts';
export type { GenerateEstimateResult, GenerationFigures } from './estimate/generation-figures.ts';
export type {
  EstimatedMethod,
  EstimateResult,
  MethodEstimate,
  QloraRecipe,
  QuantizedFigures,
} from './estimate/types.ts';
export { type DeviceProfile, KNOWN_PROFILES } from './gpu/device-profile.ts';
export type { DeviceChoice } from './node/device-choice.ts';
export { type EstimateEvent, type EstimateOptions, estimate } from './node/estimate.ts';
export { estimateGenerate, type GenerateEstimateOptions } from './node/estimate-generate.ts';
export { type EvalEvent, type EvalOptions, type EvalSummary, evaluate } from './node/eval.ts';
export { type ExportEvent, type ExportOptions, type ExportSummary, exportAdapter } from './node/export.ts';
export {
  type DatasetOption,
  type FinetuneEvent,
  type FinetuneOptions,
  type FinetuneResult,
  finetune,
  type TrainRow,
} from './node/finetune.ts';
export {
  type GenerateEvent,
  type GenerateOptions,
  type GenerateSummary,
  type Generation,
  generate,
} from './node/generate.ts';
export { type MergeEvent, type MergeOptions, type MergeSummary, merge, type WeightUpdate } from './node/merge.ts';
export { type QuantizeEvent, type QuantizeOptions, type QuantizeSummary, quantize } from './node/quantize.ts';
export type { Evaluation, RunPaths } from './node/run-types.ts';
export { type Served, type ServeOptions, serve } from './node/serve.ts';
export { type RunRecord, runSchema } from './results/run-schema.ts';
export type { CheckpointEvent, EvalResult, StepEvent, Timing } from './train/events.ts';
