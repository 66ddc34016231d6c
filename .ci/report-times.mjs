/**
 * report-times.mjs STAGES REPORT...: where the time went. STAGES has a line a stage, its seconds and its name; of the test files of all
 * reports the slowest are named. Says, and never fails, where npm test took more than its budget.
 */
import { readFileSync } from 'node:fs';
import path from 'node:path';

/** What `npm test` on SwiftShader and the whole of CI should stay within on two cores that nobody else uses. */
const BUDGET_SECONDS = { 'tests on SwiftShader': 480, whole: 1680 };
const SLOWEST = 10;

const [stagesFile, ...reports] = process.argv.slice(2);
const stages = readFileSync(stagesFile, 'utf8')
  .trimEnd()
  .split('\n')
  .map((line) => ({ seconds: Number(line.slice(0, line.indexOf(' '))), name: line.slice(line.indexOf(' ') + 1) }));
const files = reports.flatMap((report) =>
  JSON.parse(readFileSync(report, 'utf8')).testResults.map(({ name, startTime, endTime }) => ({
    seconds: (endTime - startTime) / 1000,
    name: `${path.relative(process.cwd(), name)} (${path.basename(report, '.json')})`,
  })),
);

const lines = (rows) => rows.map(({ seconds, name }) => `${seconds.toFixed(0).padStart(6)} s  ${name}`).join('\n');
const whole = stages.reduce((sum, { seconds }) => sum + seconds, 0);
console.log(`time per stage\n${lines([...stages, { seconds: whole, name: 'whole' }])}`);
console.log(`slowest test files\n${lines([...files].sort((a, b) => b.seconds - a.seconds).slice(0, SLOWEST))}`);
for (const [name, budget] of Object.entries(BUDGET_SECONDS)) {
  const took = name === 'whole' ? whole : stages.find((stage) => stage.name.startsWith(name))?.seconds;
  if (took === undefined) throw new Error(`no stage is called ${name}`);
  if (took > budget)
    console.log(`notice: ${name}: ${took} s, the budget is ${budget} s (a busy machine, or tests that grew?)`);
}
