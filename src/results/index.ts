/** What other rooms and users of the library take from results: the schemas of files, and statistics over them. */

export { type Compared, judge, type Obstacles } from './judge.ts';
export { comparePairs, MIN_PAIRS, pairBySeed, SIGNIFICANCE, UNDECIDED } from './paired.ts';
export {
  type CategoryBytes,
  MEMORY_CATEGORIES,
  type MemoryCategory,
  RUN_SCHEMA_ID,
  type RunRecord,
  runJsonSchema,
  runSchema,
  SCHEMA_VERSION,
  totalBytes,
} from './run-schema.ts';
export { isIntact, sealed } from './seal.ts';
export { holm, signedRankInterval, signedRankP } from './signed-rank.ts';
export { distribution, medianInterval, summarizeValues } from './statistics.ts';
export { compareArms, metricOf, type SummarizeOptions, summarizeRuns } from './summarize.ts';
export {
  type Comparison,
  METRIC_NAMES,
  METRICS,
  type Metric,
  SUMMARY_VERSION,
  type SuiteManifest,
  type SuiteSummary,
  suiteManifestSchema,
  suiteSummarySchema,
} from './summary-schema.ts';
export { fitTokens, type TokenPoint, type TokensFit, tokensLaw, tokensPerMicroStep } from './tokens-fit.ts';
