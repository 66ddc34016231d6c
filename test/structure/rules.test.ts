import { existsSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { ROOT, textFiles } from './files.ts';

const sources = textFiles('src', '.ts');
const shaders = textFiles('shaders', '.wgsl');
const kernels = new Map([...shaders].filter(([path]) => !path.startsWith('lib/')));

const MAX_TS_LINES = 500;
const MAX_WGSL_LINES = 150;

const lineCount = (text: string): number => text.trimEnd().split('\n').length;

function tooLong(files: ReadonlyMap<string, string>, limit: number): string[] {
  return [...files].filter(([, text]) => lineCount(text) > limit).map(([path, text]) => `${path}: ${lineCount(text)}`);
}

/** The last line of a kernel's head: where its host half and its reference are. */
const PLACES = /^\/\/ Host: (\S+)\s+Reference: (\S+)$/m;

function headProblems(path: string, text: string): string[] {
  const name = path.replace(/\.wgsl$/, '');
  const [, host = '', reference = ''] = PLACES.exec(text) ?? [];
  if (host === '') return [`${path}: its head has no line "// Host: PATH   Reference: PATH"`];
  const problems = [host, reference]
    .filter((place) => !existsSync(new URL(place, ROOT)))
    .map((place) => `${path}: names ${place}, which is not there`);
  const half = sources.get(host.replace(/^src\//, ''));
  if (half !== undefined && !half.includes(`'${name}'`)) problems.push(`${path}: ${host} never names '${name}'`);
  return problems;
}

/** An object literal that is spread only to keep several keys on one line. */
const PACKED_KEYS = /\.\.\.\s*\(?\{/;
/** Lines, as `file:line`, that spread an object literal. */
function packedKeys(files: ReadonlyMap<string, string>): string[] {
  return [...files].flatMap(([path, text]) =>
    text.split('\n').flatMap((line, i) => (PACKED_KEYS.test(line) ? [`${path}:${i + 1}`] : [])),
  );
}

/** All TypeScript and JavaScript that people write here, by its path from the root. */
function writtenFiles(): Map<string, string> {
  const folders = ['src', 'test', 'bench'].flatMap((folder) =>
    ['.ts', '.mjs', '.js'].map((ending) => [folder, ending] as const),
  );
  return new Map(
    folders.flatMap(([folder, ending]) =>
      [...textFiles(folder, ending)].map(([path, text]) => [`${folder}/${path}`, text] as const),
    ),
  );
}

const MACHINE_PARTS = ['new Arena', 'Program.compile', 'new Residents', 'new Readback', 'makePlan', 'preparePlan'];

/** Which of a machine's parts a file puts together by itself; comments, imports and the parts' own declarations aside. */
function assemblies(text: string): string[] {
  const code = text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/'[^'\n]*'|`[^`\n]*`/g, "''");
  return MACHINE_PARTS.filter((part) =>
    new RegExp(`(?<!function |static async )\\b${part.replaceAll(/[ .]/g, '\\W\\s*')}\\(`).test(code),
  );
}

const everywhere = (folder: string, ending: string) =>
  [...textFiles(folder, ending)].map(([path, text]) => [`${folder}/${path}`, text] as const);

describe('house rules', () => {
  it('files stay short enough to read', () => {
    expect(sources.size).toBeGreaterThan(110);
    expect(shaders.size).toBeGreaterThan(30);
    expect(tooLong(sources, MAX_TS_LINES)).toEqual([]);
    expect(tooLong(shaders, MAX_WGSL_LINES)).toEqual([]);
  });

  it('every kernel names a host half that names it, and a reference', () => {
    expect(kernels.size).toBeGreaterThan(25);
    expect([...kernels].flatMap(([path, text]) => headProblems(path, text))).toEqual([]);
  });

  it('createBuffer is called in one file', () => {
    const calling = [...sources].filter(([, text]) => /\.\s*createBuffer\s*\(/.test(text));
    expect(calling.map(([path]) => path)).toEqual(['gpu/allocator.ts']);
  });

  it('what a machine is made of is put together in src/gpu alone', () => {
    const texts = [...everywhere('src', '.ts'), ...everywhere('test', '.ts'), ...everywhere('bench', '.mjs')];
    expect(texts.length).toBeGreaterThan(400);
    const assembling = texts.flatMap(([path, text]) => assemblies(text).map((what) => ({ path, what })));
    // a pattern that finds nothing must not pass: gpu has each of these, if only in its own tests
    expect([...new Set(assembling.map(({ what }) => what))].sort()).toEqual([...MACHINE_PARTS].sort());
    expect(assembling.filter(({ path }) => !/^(src|test)\/gpu\//.test(path))).toEqual([]);
  });

  it('kernels record, and know no gradient tape', () => {
    const naming = (what: string) => [...sources].filter(([, text]) => text.includes(what)).map(([path]) => path);
    expect(naming('gpu/recorder.ts').filter((path) => path.startsWith('kernels/')).length).toBeGreaterThan(20);
    expect(naming('gpu/tape.ts').filter((path) => !/^(model|train)\//.test(path))).toEqual([]);
  });

  it('GPU work is submitted by the engine, never by a kernel', () => {
    const submitting = [...sources].filter(
      ([path, text]) => path.startsWith('kernels/') && /\.submit\(|mapAsync/.test(text),
    );
    expect(submitting.map(([path]) => path)).toEqual([]);
  });
});

describe('keys of an object', () => {
  it('stand one by one, without a literal spread to pack them', () => {
    const files = writtenFiles();
    expect(files.size).toBeGreaterThan(300);
    expect(packedKeys(files)).toEqual([]);
  });
});

describe('the rules see what they are for', () => {
  it('a file past the limit', () => {
    const lines = (n: number) => 'x\n'.repeat(n);
    expect(
      tooLong(
        new Map([
          ['a.ts', lines(500)],
          ['b.ts', lines(501)],
        ]),
        MAX_TS_LINES,
      ),
    ).toEqual(['b.ts: 501']);
  });

  it('keys packed into a spread literal, and no spread that has a reason', () => {
    // in two parts, so that this line is not one of those it describes
    const literal = '..' + '.{ a, b },';
    const fine = ['{ ...rest, a },', '...(a === null ? {} : { a }),', 'f(...list)'];
    expect(packedKeys(new Map([['src/data/a.ts', ['x = {', literal, '}'].join('\n')]]))).toEqual(['src/data/a.ts:2']);
    expect(packedKeys(new Map([['src/data/a.ts', fine.join('\n')]]))).toEqual([]);
  });

  it('a machine put together by hand', () => {
    const byHand = 'const arena = new Arena(a, [makePlan("x", c)]);\nawait Program.compile(d, p, m);';
    expect(assemblies(byHand)).toEqual(['new Arena', 'Program.compile', 'makePlan']);
    expect(assemblies("/** new Readback(a) */ import { makePlan } from './plan.ts'; // 'preparePlan('")).toEqual([]);
  });

  it('a kernel without places, with dead ones, or unknown to its host', () => {
    const head = (host: string, reference: string) => `// sum\n// Host: ${host}   Reference: ${reference}\n`;
    expect(headProblems('x.wgsl', '// sum\n')[0]).toContain('no line');
    expect(headProblems('x.wgsl', head('src/gone.ts', 'test/ref/compare.ts'))[0]).toContain('src/gone.ts');
    expect(headProblems('x.wgsl', head('src/kernels/add.ts', 'test/ref/gone.ts'))[0]).toContain('test/ref/gone.ts');
    expect(headProblems('x.wgsl', head('src/kernels/add.ts', 'test/ref/compare.ts'))[0]).toContain("never names 'x'");
    expect(headProblems('add_fwd.wgsl', head('src/kernels/add.ts', 'test/ref/compare.ts'))).toEqual([]);
  });
});
