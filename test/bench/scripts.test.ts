/** Every script of the workshop starts, and every path into dist/ that it names is one that the build makes. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { ROOT, textFiles } from '../structure/files.ts';

const run = promisify(execFile);

const files = new Map(
  ['bench', 'scripts', '.ci'].flatMap((folder) =>
    [...textFiles(folder, '.mjs')].map(([file, text]) => [`${folder}/${file}`, text] as const),
  ),
);
const workshop = [...files].filter(([file]) => file.startsWith('bench/'));
const commands = workshop.filter(([, text]) => text.startsWith('#!')).map(([file]) => file);
const modules = workshop.filter(([, text]) => !text.startsWith('#!')).map(([file]) => file);

/** `#dist/X.js` in an import, and dist/X.js anywhere else: a script to start, say. */
const distPaths = (text: string): string[] => [
  ...new Set([...text.matchAll(/\bdist\/[\w./-]+?\.js\b/g)].map(([path]) => path)),
];

/** Imports of dist/ by any way but the `imports` of package.json, which the type checker follows into src. */
const untyped = (text: string): string[] =>
  [...text.matchAll(/(?:from|import\()\s*['"`](\.[^'"`]*\bdist\/[^'"`]*)/g)].map(([, path = '']) => path);

describe('paths into dist', () => {
  const named = [...files].flatMap(([file, text]) => distPaths(text).map((path) => ({ file, path })));

  test('were found', () => {
    expect(new Set(named.map(({ file }) => file)).size).toBeGreaterThan(25);
    expect(new Set(named.map(({ path }) => path)).size).toBeGreaterThan(45);
  });

  test('lead to what the build makes', () => {
    const dead = named.filter(({ path }) => !existsSync(new URL(path, ROOT)));
    expect(dead).toEqual([]);
  });

  test('are imported as #dist/, which the type checker reads', () => {
    expect([...files].flatMap(([file, text]) => untyped(text).map((path) => `${file}: ${path}`))).toEqual([]);
    expect(untyped("import { x } from '../../dist/gpu/tier.js';")).toEqual(['../../dist/gpu/tier.js']);
    expect(untyped('await import(`./dist/a.js`)')).toHaveLength(1);
  });
});

describe('scripts of bench', () => {
  test('were found', () => {
    expect(commands.length).toBeGreaterThanOrEqual(20);
    expect(modules.length).toBeGreaterThanOrEqual(15);
  });

  test.concurrent.each(commands)('node %s --help', async (file) => {
    const { stdout } = await run(process.execPath, [file, '--help'], { cwd: ROOT, encoding: 'utf8' });
    expect(stdout).toMatch(/^usage: /);
  });

  test('modules load', async () => {
    const code = modules.map((file) => `await import('./${file}');`).join('\n');
    await run(process.execPath, ['--input-type=module', '--eval', code], { cwd: ROOT, encoding: 'utf8' });
  });

  test('a wrong argument ends with 2 and says what is wanted', async () => {
    const failed = run(process.execPath, ['bench/performance/matmul.mjs', '--shapes', '4x4'], { cwd: ROOT });
    await expect(failed).rejects.toMatchObject({
      code: 2,
      stderr: 'matmul.mjs: --shapes: got 4x4, wanted MxNxK in whole numbers\n',
    });
  });
});
