#!/usr/bin/env node
/** `node bench/gpu-host/table.mjs FOLDER`: what a GPU host was promised to reach and what it reached, from bench/gpu-host/gpu-host.sh. */
import { existsSync } from 'node:fs';
import { misses } from '../shared/records.mjs';
import { readResults } from './figures.mjs';

const folder = process.argv[2];
if (folder === undefined || !existsSync(folder)) {
  console.error('gpu-host-table: give the folder that bench/gpu-host/gpu-host.sh wrote');
  process.exit(2);
}

let results;
try {
  results = readResults(folder);
} catch (error) {
  console.error(`gpu-host-table: ${error.message}`);
  process.exit(2);
}
const { hosts, rehearsed, figures, facts } = results;

function verdict(figure) {
  if (figure.reached === null) return 'not measured';
  if (rehearsed) return 'rehearsed';
  return misses(figure) ? 'MISS' : 'PASS';
}

const shown = (value) => (value === null ? '–' : Number(value.toPrecision(4)).toString());
const print = (rows) => {
  const widths = rows[0].map((_, i) => Math.max(...rows.map((row) => row[i].length)));
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
  ['row', '', 'what', 'bar', 'wanted', 'reached', '', ''],
  ...figures.map((figure) => {
    const side = figure.least ? 'at least ' : 'at most ';
    const { row, what, bound, wanted, reached, unit, note } = figure;
    return [`${row}`, verdict(figure), what, side + bound, shown(wanted), shown(reached), unit, note ?? ''];
  }),
]);
console.log('');
print(facts);
