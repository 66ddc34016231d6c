/** What other rooms and users of the library take from results: the schemas of files, and statistics over them. */
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
export { bootstrapMedianInterval, comparePaired, decideWinner, distribution, summarizeValues } from './statistics.ts';
export { metricOf, type SummarizeOptions, summarizeRuns } from './summarize.ts';
export {
  METRIC_NAMES,
  METRICS,
  type Metric,
  type SuiteManifest,
  type SuiteSummary,
  suiteManifestSchema,
  suiteSummarySchema,
} from './summary-schema.ts';
