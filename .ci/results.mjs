/** Reads vitest's JSON report. */
import { readFileSync } from 'node:fs';
import path from 'node:path';

/** @returns {{ passed: number, failed: number, skipped: number, files: Map<string, number> }} files: passed tests by path from the repository */
export function readResults(file) {
  const report = JSON.parse(readFileSync(file, 'utf8'));
  const files = new Map(
    report.testResults.map(({ name, assertionResults }) => [
      path.relative(process.cwd(), name).replaceAll('\\', '/'),
      assertionResults.filter((test) => test.status === 'passed').length,
    ]),
  );
  const { numPassedTests: passed, numFailedTests: failed, numPendingTests: skipped } = report;
  return { passed, failed, skipped, files };
}
