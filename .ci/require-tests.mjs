/** require-tests.mjs REPORT FILE...: fails unless every FILE ran and passed at least one test. */
import { readResults } from './results.mjs';

const [report, ...wanted] = process.argv.slice(2);
const { files } = readResults(report);
const idle = wanted.filter((file) => !(files.get(file) > 0));
for (const file of wanted) console.log(`${file}: ${files.get(file) ?? 0} passed`);
if (wanted.length === 0 || idle.length > 0) {
  console.error(`ci: these ran no test: ${idle.join(', ') || '(none were asked for)'}`);
  process.exitCode = 1;
}
