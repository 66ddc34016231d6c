#!/usr/bin/env node
import { existsSync } from 'node:fs';
/** What a GPU host was promised to reach and what it reached, from the folder of gpu-host.sh. */
import { max as largest } from 'simple-statistics';
import { messageOf, readArguments, refuse } from '../shared/options.mjs';
import { misses } from '../shared/records.mjs';
import { readResults } from './results.mjs';

const USAGE = 'usage: node bench/gpu-host/table.mjs FOLDER   FOLDER is what bench/gpu-host/gpu-host.sh wrote';
const [folder] = readArguments(USAGE, {}).positionals;
if (folder === undefined || !existsSync(folder)) refuse(`wanted a folder that is there\n${USAGE}`);

function results() {
  try {
    return readResults(folder);
  } catch (error) {
    return refuse(messageOf(error));
  }
}
const { hosts, rehearsed, figures, facts } = results();

/** @param {import('./figures.mjs').Promised} figure */
function verdict(figure) {
  if (figure.reached === null) return 'not measured';
  if (rehearsed) return 'rehearsed';
  return misses(figure) ? 'MISS' : 'PASS';
}

const shown = (/** @type {number | null} */ value) => (value === null ? '–' : Number(value.toPrecision(4)).toString());
const print = (/** @type {readonly (readonly string[])[]} */ rows) => {
  const widths = rows[0].map((_, i) => largest(rows.map((row) => row[i].length)));
  for (const row of rows)
    console.log(
      row
        .map((cell, i) => cell.padEnd(widths[i]))
        .join('  ')
        .trimEnd(),
    );
};

for (const { gpu, driver, cpu, cores, commit, torch } of hosts.slice(-1))
  console.log(`${gpu}, driver ${driver}; ${cpu}, ${cores} cores; commit ${commit}; torch ${torch || 'none'}\n`);
if (rehearsed) console.log('REHEARSAL on software or at tiny sizes: these figures mean nothing\n');
print([
  ['', 'what', 'bar', 'wanted', 'reached', '', ''],
  ...figures.map((figure) => {
    const side = figure.least ? 'at least ' : 'at most ';
    const { what, bound, wanted, reached, unit, note } = figure;
    return [verdict(figure), what, side + bound, shown(wanted), shown(reached), unit, note ?? ''];
  }),
]);
console.log('');
print(facts);
