/** What other rooms and users of the library take from the configuration. */
export { type AdapterFacts, adapterConfig } from './adapter.ts';
export { bytesOfSize, sizeInWords } from './bytes.ts';
export { settleComputeDtype } from './compute-dtype.ts';
export { type FileName, fileName } from './file-name.ts';
export { type FlagRow, flagTable, quietFlagNames } from './flags.ts';
export { configJsonSchema, type JsonSchema, suiteJsonSchema } from './json-schema.ts';
export { envName, flagName, type Origin, type SourceKind } from './layers.ts';
export { type ConfigSources, loadTrainConfig, type ResolvedConfig, wasSet, withValues } from './load.ts';
export type { Notice } from './notice.ts';
export { printConfig } from './print.ts';
export {
  checkQuantizeSettings,
  type QuantizeConfig,
  type QuantizeInput,
  type QuantizeKey,
  quantizeSettings,
} from './quantize.ts';
export { type Reporter, reportersOf } from './reporters.ts';
export type { Purpose } from './rules.ts';
export {
  type ComputeDtype,
  type DatasetSource,
  DEPARTURES,
  type Method,
  type SettingKey,
  settingKeys,
  type TrainConfig,
  type TrainSettings,
} from './settings.ts';
export { type Arm, type Case, loadSuite, type ResolvedSuite, type SuiteSources } from './suite.ts';
export type { Budget, Target } from './suite-shape.ts';
export { suiteText } from './suite-text.ts';
export { MOST_CONFIG_BYTES, type SourceFile, sizeProblem } from './yaml-file.ts';
