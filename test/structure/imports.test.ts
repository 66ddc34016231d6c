import { describe, expect, it } from 'vitest';
import { textFiles } from './files.ts';
import { fileCycles, type Import, importsOf, roomCycles, roomOf, violations } from './imports.ts';

const files = textFiles('src', '.ts');
const imports = [...files].flatMap(([path, text]) => importsOf(path, text));

describe('imports of src', () => {
  it('were all found', () => {
    // floors near today's counts: a reader that misses half of them must not pass as clean
    expect(files.size).toBeGreaterThan(110);
    expect(imports.length).toBeGreaterThan(400);
    const importing = new Set(imports.map((i) => i.from));
    const without = [...files].filter(([path, text]) => !importing.has(path) && /\bfrom '/.test(text));
    expect(without.map(([path]) => path)).toEqual([]);
    const missing = imports.filter((i) => i.to.endsWith('.ts') && !files.has(i.to));
    expect(missing).toEqual([]);
    console.log(
      `imports: ${imports.length} in ${files.size} files of ${new Set([...files.keys()].map(roomOf)).size} rooms`,
    );
  });

  it('point down only, and reach Node only from its edge', () => {
    expect(violations(imports)).toEqual([]);
  });

  it('make no cycle, neither of files nor of rooms', () => {
    expect(fileCycles(imports)).toEqual([]);
    expect(roomCycles(imports)).toEqual([]);
  });
});

describe('the reader of imports', () => {
  const targets = (text: string, path = 'gpu/a.ts') => importsOf(path, text).map((i) => i.to);

  it('sees every form, and nothing in comments', () => {
    const text = [
      "import './one.ts';",
      "import type { A } from '../errors.ts';",
      'import {\n  B,\n  type C,\n} from "../config/two.ts";',
      "export { D } from './three.ts';",
      "export * from './sub/four.ts';",
      "const late = await import('webgpu');",
      "import { e } from './five.ts'; import { f } from './six.ts';",
      'await import(`./seven.ts`);',
      "const { g } = require('./eight.js'), at = require.resolve('node:fs');",
      "import old = require('./nine.ts');",
      "type Later = import('./ten.ts').Ten;",
      "await import('#dist/node/device.js');",
      "import { finetune } from 'nibble-tune';",
      "export * from 'nibble-tune/core';",
      "import.meta.resolve('pkg');",
      "await import('./' + name);",
      'const text = \'import x from "./no.ts"\';',
      "// import { no } from './no.ts';",
      "/*\nimport { no } from './no.ts';\n*/",
    ].join('\n');
    expect(targets(text)).toEqual([
      'gpu/one.ts',
      'errors.ts',
      'config/two.ts',
      'gpu/three.ts',
      'gpu/sub/four.ts',
      'webgpu',
      'gpu/five.ts',
      'gpu/six.ts',
      'gpu/seven.ts',
      'gpu/eight.ts',
      'node:fs',
      'gpu/nine.ts',
      'gpu/ten.ts',
      'node/device.ts',
      'index.ts',
      'core.ts',
      'pkg',
      "(computed) './' + name",
    ]);
  });

  const planted: [what: string, path: string, text: string, complaint: string][] = [
    ['an upward import', 'gpu/a.ts', "import { x } from '../model/b.ts';", 'gpu may not import model'],
    ['an upward type', 'kernels/a.ts', "import type { X } from '../train/b.ts';", 'kernels may not import train'],
    ['a re-export from above', 'config/a.ts', "export * from '../gpu/b.ts';", 'config may not import gpu'],
    ['a late import from above', 'data/a.ts', "await import('../cli/b.ts');", 'data may not import cli'],
    [
      'one from above through the build',
      'gpu/a.ts',
      "import { x } from '#dist/model/b.js';",
      'gpu may not import model',
    ],
    ['the package by its own name', 'train/a.ts', "import { x } from 'nibble-tune';", 'train may not import index'],
    ['Node below the core', 'core.ts', "export * from './node/files.ts';", 'core may not import node'],
    ['a second import on a line', 'gpu/a.ts', "import './b.ts'; import '../train/c.ts';", 'gpu may not import train'],
    ['a name put together', 'gpu/a.ts', "await import('../' + room);", 'name the module'],
    ['a neighbour', 'gpu/a.ts', "import { x } from '../wasm/b.ts';", 'gpu may not import wasm'],
    ['the public index', 'train/a.ts', "import { x } from '../index.ts';", 'train may not import index'],
    ['a room nobody placed', 'attic/a.ts', "import { x } from '../errors.ts';", 'no room attic'],
    ['Node in the core', 'gpu/a.ts', "import { readFileSync } from 'node:fs';", 'may import Node'],
    ['Dawn in the core', 'train/a.ts', "await import('webgpu');", 'may import Node'],
    ['a type of Node in the core', 'train/a.ts', "import type { Stats } from 'node:fs';", 'may import Node'],
    ['a file that is only called node', 'gpu/node.ts', "import 'node:fs';", 'may import Node'],
    ['training in a report', 'report/a.ts', "import type { X } from '../train/b.ts';", 'report may not import train'],
    ['a kernel in a report', 'report/a.ts', "import { x } from '../wasm/b.ts';", 'stands on results alone'],
    ['a device in a report', 'report/a.ts', "import type { X } from '../gpu/device.ts';", 'stands on results alone'],
  ];
  for (const [what, path, text, complaint] of planted) {
    it(`refuses ${what}`, () => {
      const found = violations(importsOf(path, text));
      expect(found).toHaveLength(1);
      expect(found[0]).toContain(complaint);
    });
  }

  it('accepts what is allowed', () => {
    const fine = [
      ...importsOf('cli/a.ts', "import 'node:fs';\nimport '../report/b.ts';"),
      ...importsOf('node/device.ts', "import 'node:fs';\nimport 'webgpu';"),
      ...importsOf('bench/a.ts', "import type { Stats } from 'node:fs';"),
      ...importsOf('train/a.ts', "import type { X } from '../model/c.ts';\nimport '../errors.ts';\nimport './b.ts';"),
      ...importsOf('report/a.ts', "import '../results/b.ts';\nimport '../errors.ts';\nimport '../gpu/category.ts';"),
    ];
    expect(fine).toHaveLength(11);
    expect(violations(fine)).toEqual([]);
  });

  it('finds cycles of files and of rooms', () => {
    const line = (from: string, to: string): Import => ({ from, to });
    const ring = [line('gpu/a.ts', 'gpu/b.ts'), line('gpu/b.ts', 'gpu/c.ts'), line('gpu/c.ts', 'gpu/a.ts')];
    expect(fileCycles(ring)).toEqual([['gpu/a.ts', 'gpu/b.ts', 'gpu/c.ts']]);
    const types = [
      ...importsOf('gpu/a.ts', "import { b } from './b.ts';"),
      ...importsOf('gpu/b.ts', "import type { A } from './a.ts';"),
    ];
    expect(fileCycles(types)).toEqual([['gpu/a.ts', 'gpu/b.ts']]);
    expect(roomCycles([line('gpu/a.ts', 'kernels/b.ts'), line('kernels/c.ts', 'gpu/d.ts')])).toEqual([
      ['gpu', 'kernels'],
    ]);
    expect(
      fileCycles([line('gpu/a.ts', 'gpu/b.ts'), line('gpu/a.ts', 'gpu/c.ts'), line('gpu/b.ts', 'gpu/c.ts')]),
    ).toEqual([]);
  });
});
