/** count-tests.mjs REPORT...: the plain closing line over all reports; fails if a test failed or none ran. */
import { readResults } from './results.mjs';

const total = { passed: 0, failed: 0, skipped: 0 };
for (const file of process.argv.slice(2)) {
  const results = readResults(file);
  for (const key of Object.keys(total)) total[key] += results[key];
}
console.log(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
if (total.failed > 0 || total.passed === 0) process.exitCode = 1;
