/** No list that data can make long is spread into the arguments of a call. */
import { describe, expect, test } from 'vitest';
import { textFiles } from './files.ts';
import { spreadsOf } from './spreads.ts';

/** What is spread here has a fixed size, or that of a kernel's text. */
const ALLOWED = [
  'src/gpu/program.ts: pass.dispatchWorkgroups(...step.grid)',
  'src/report/sections/memory.ts: paragraph(...outcome(base, workspace, net))',
  'src/report/sections/memory.ts: paragraph(...share)',
  'src/report/sections/memory.ts: paragraph(...payoff(summary))',
  'src/report/sections/speed.ts: paragraph(...thinningSentence(rows.map(({ stepsMs }) => stepsMs.length)))',
  'src/report/sections/speed.ts: paragraph(...ratioSentence(summary))',
  'bench/fidelity/smollm2.mjs: path.join(...parts)',
  'bench/static-gpu/assembly/program.mjs: open.push(...(program.get(at)?.predecessors ?? []))',
  'bench/static-gpu/budget.mjs: Math.min(...rates)',
  'bench/static-gpu/rate.mjs: Math.max(...loops.map(({ products }) => products))',
  'bench/static-gpu/replay.mjs: Math.max(...drain(queues, queue, leave))',
  'bench/static-gpu/replay.mjs: Math.max(...pending)',
  "bench/static-gpu/table.mjs: Math.max(...lines.map((line) => (line[i] ?? '').length))",
  'scripts/build.mjs: path.join(...names)',
];

const FOLDERS = [
  ['src', '.ts'],
  ['bench', '.mjs'],
  ['scripts', '.mjs'],
] as const;

describe('lists spread into arguments', () => {
  test('are those of a fixed size alone', () => {
    const files = FOLDERS.flatMap(([folder, ending]) =>
      [...textFiles(folder, ending)].map(([path, text]) => [`${folder}/${path}`, text] as const),
    );
    expect(files.length).toBeGreaterThan(250);
    const found = files.flatMap(([path, text]) =>
      spreadsOf(path, text).map(({ callee, spread }) => `${path}: ${callee}(...${spread})`),
    );
    expect(found.sort()).toEqual([...ALLOWED].sort());
  });

  test('are seen in every form, and no other spread is', () => {
    const seen = [
      'Math.max(...values)',
      'list.push(1,\n  ...more)',
      'new Set2(...pair)',
      'String.fromCharCode.apply(null, bytes)',
      'list?.push(...more)',
    ];
    expect(seen.flatMap((text) => spreadsOf('a.ts', text).map(({ callee }) => callee))).toEqual([
      'Math.max',
      'list.push',
      'Set2',
      'String.fromCharCode.apply',
      'list?.push',
    ]);
    const others = [
      '[...a, ...b]',
      '({ ...a })',
      '(...args: number[]) => args',
      'new Set([...a])',
      'f.apply(x)',
      '// f(...a)',
    ];
    expect(others.flatMap((text) => spreadsOf('a.ts', text))).toEqual([]);
  });
});
