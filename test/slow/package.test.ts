/** The package in a project that is not ours: compiled strictly by two TypeScripts, run by three Nodes. */
import { readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { MAJORS, Nodes } from './nodes.ts';
import { ENTRIES, MODEL, Project } from './project.ts';

const ROOT = new URL('../../', import.meta.url).pathname;
/** As package.json installs them, and what they are. */
const COMPILERS = [
  ['typescript-5.9', '5.9.'],
  ['typescript', '6.0.'],
] as const;

/** What the program of the README prints, and what one that quantizes too prints beside. */
const README_OUTPUT = /^lora: \d+ bytes .*\nqlora: \d+ bytes .*\nfull: \d+ bytes .*\nloss \d\.\d{3} after 3 steps\n$/;
const OUTPUT = new RegExp(`${README_OUTPUT.source.slice(0, -1)}\\d+ weights in 4\\.\\d+ bits a parameter\\n$`);

let project: Project;
const nodes = new Nodes();

beforeAll(() => {
  project = new Project();
});

afterAll(() => {
  project?.remove();
  nodes.remove();
});

test('every entry has exports, and a module that names them all', () => {
  const counts = project.writeExports();
  console.log(`exports: ${[...counts].map(([entry, count]) => `${entry} ${count}`).join(', ')}`);
  expect([...counts.keys()]).toEqual([...ENTRIES]);
  // floors near today's counts: an entry whose exports are not found must not pass as compiled
  expect([...counts.values()].map((count, i) => count >= [30, 80, 20, 1, 1][i]!)).toEqual(ENTRIES.map(() => true));
});

describe('a strict project without DOM types and with library checks on compiles with', () => {
  test.each(COMPILERS)('%s', (name, version) => {
    const manifest = path.join(ROOT, 'node_modules', name, 'package.json');
    expect((JSON.parse(readFileSync(manifest, 'utf8')) as { version: string }).version).toMatch(version);
    const { code, stdout } = project.compile(name);
    expect({ code, stdout }).toEqual({ code: 0, stdout: '' });
  });
});

describe('programs run on Node', () => {
  const outputs = new Map<string, string>();

  test.for(MAJORS)('%s', (major, { skip }) => {
    const node = nodes.get(major);
    if ('reason' in node) {
      console.warn(`Node ${major} was not tried: ${node.reason}`);
      return skip(node.reason);
    }
    expect(project.run(node.path, '--version').stdout).toMatch(new RegExp(`^v${major}\\.`));
    const { code, stdout, stderr } = project.run(node.path, 'out/program.js', MODEL, `quantized-${major}`);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(OUTPUT);
    const readme = project.run(node.path, 'out/readme.js');
    rmSync(path.join(project.folder, 'adapter'), { recursive: true });
    expect({ code: readme.code, stderr: readme.stderr }).toEqual({ code: 0, stderr: '' });
    expect(readme.stdout).toMatch(README_OUTPUT);
    outputs.set(major, stdout + readme.stdout);
  });

  test('and says the same on each', () => {
    expect(outputs.size).toBeGreaterThan(0);
    expect(new Set(outputs.values()).size).toBe(1);
  });
});
