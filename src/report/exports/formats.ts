/** Formats of others that results are written in. */
export const EXPORT_FORMATS = ['peft', 'ibm', 'github-action-benchmark', 'csv'] as const;
export type ExportFormat = (typeof EXPORT_FORMATS)[number];
