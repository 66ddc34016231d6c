/** `nibble bench list`: the suites that come with the package, for people and as JSON. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { benchCommand } from '../../src/cli/bench/command.ts';
import { listSuites } from '../../src/cli/bench/run.ts';
import { packageRoot } from '../../src/node/package-root.ts';
import { nibble } from './fakes.ts';

const list = (...more: string[]) => nibble(['bench', 'list', ...more], [(c) => benchCommand(c, { list: listSuites })]);

const folder = path.join(packageRoot(), 'bench', 'suites');
const files = readdirSync(folder).filter((file) => file.endsWith('.yaml'));
const suites = files.sort().map((file) => ({ file, ...parse(readFileSync(path.join(folder, file), 'utf8')) }));

test('a line each, descriptions in one column', async () => {
  expect(suites.length).toBeGreaterThanOrEqual(5);
  const { code, stdout } = await list();
  expect(code).toBe(0);
  const lines = stdout.trimEnd().split('\n');
  expect(lines.map((line) => line.split(/ {2,}/))).toEqual(
    suites.map(({ suite, description }) => [suite, description]),
  );
  const column = Math.max(...suites.map(({ suite }) => suite.length)) + 2;
  for (const [i, line] of lines.entries()) expect(line.indexOf(suites[i]!.description)).toBe(column);
});

test('JSON says where each is', async () => {
  const { code, stdout } = await list('--json');
  expect(code).toBe(0);
  const rows = JSON.parse(stdout) as { suite: string; description: string; file: string }[];
  expect(rows.map(({ suite, description }) => ({ suite, description }))).toEqual(
    suites.map(({ suite, description }) => ({ suite, description })),
  );
  for (const { file } of rows) expect(existsSync(path.join(packageRoot(), file)), file).toBe(true);
});
